import { assert, assertEquals, assertThrows, test } from "../harness.ts";
import { toFloat32 } from "../../io/convert.ts";
import {
  elementCount,
  elementsOf,
  type FileDType,
  type NamedArray,
  namedArray,
} from "../../io/named_array.ts";
import { CheckpointError, DTypeError, ShapeError } from "../../engine/errors.ts";

const bitsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** A binary float's value from its definition: powers of two and small integers, so a double holds it exactly. */
function defined(
  bits: number,
  exponentBits: number,
  fractionBits: number,
  infinities: boolean,
): number {
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits >>> (exponentBits + fractionBits) ? -1 : 1;
  const exponent = (bits >>> fractionBits) & (2 ** exponentBits - 1);
  const fraction = bits & (2 ** fractionBits - 1);
  if (infinities && exponent === 2 ** exponentBits - 1) return fraction ? NaN : sign * Infinity;
  if (!infinities && (bits & 0x7f) === 0x7f) return NaN;
  const scale = 2 ** ((exponent || 1) - bias - fractionBits);
  return sign * (exponent ? 2 ** fractionBits + fraction : fraction) * scale;
}

function checkAll(dtype: FileDType, exponentBits: number, fractionBits: number): void {
  const wide = exponentBits + fractionBits === 15;
  const all = upTo(wide ? 65536 : 256);
  const got = toFloat32(
    namedArray(wide ? Uint16Array.from(all) : Uint8Array.from(all), undefined, dtype),
  );
  for (const bits of all) {
    const want = defined(bits, exponentBits, fractionBits, dtype !== "F8_E4M3");
    assert(Object.is(got[bits], want), `${dtype} ${bits}: got ${got[bits]}, want ${want}`);
  }
}

test("toFloat32() is exact for every F16, BF16, F8_E5M2 and F8_E4M3", () => {
  checkAll("F16", 5, 10);
  checkAll("BF16", 8, 7);
  checkAll("F8_E5M2", 5, 2);
  checkAll("F8_E4M3", 4, 3);
});

test("toFloat32() keeps sign and payload of NaNs", () => {
  const half = toFloat32(namedArray(Uint16Array.of(0x7e01, 0xfd55), [2], "F16"));
  assertEquals([...bitsOf(half)], [0x7fc02000, 0xffaaa000]);
  const brain = toFloat32(namedArray(Uint16Array.of(0x7fc1, 0xff81), [2], "BF16"));
  assertEquals([...bitsOf(brain)], [0x7fc10000, 0xff810000]);
});

test("toFloat32() is exact for every FNUZ float8 and every E8M0", () => {
  const every = Uint8Array.from(upTo(256));
  for (const [dtype, fractionBits] of [["F8_E5M2FNUZ", 2], ["F8_E4M3FNUZ", 3]] as const) {
    const got = toFloat32(namedArray(every, undefined, dtype));
    for (const bits of every) {
      const bias = 2 ** (6 - fractionBits);
      const exponent = (bits & 0x7f) >>> fractionBits;
      const fraction = bits & (2 ** fractionBits - 1);
      const scale = 2 ** ((exponent || 1) - bias - fractionBits);
      const size = (exponent ? 2 ** fractionBits + fraction : fraction) * scale;
      const want = bits === 0x80 ? NaN : bits & 0x80 ? -size : size;
      assert(Object.is(got[bits], want), `${dtype} ${bits}: got ${got[bits]}, want ${want}`);
    }
  }
  const powers = toFloat32(namedArray(every, undefined, "F8_E8M0"));
  assertEquals([...powers], upTo(256).map((bits) => bits === 255 ? NaN : 2 ** (bits - 127)));
});

test("toFloat32() rounds F64 once, to nearest even", () => {
  const values = [
    1 + 2 ** -24,
    1 + 2 ** -24 + 2 ** -50,
    1 + 3 * 2 ** -24,
    1e300,
    -1e300,
    1e-300,
    -0,
  ];
  const got = toFloat32(namedArray(Float64Array.from(values)));
  const want = [1, 1 + 2 ** -23, 1 + 2 ** -22, Infinity, -Infinity, 0, -0];
  assertEquals(bitsOf(got), bitsOf(Float32Array.from(want)));
});

test("toFloat32() rounds 64-bit integers once", () => {
  // At 2^60 floats are 2^37 apart. Half of that plus 1 rounds up; by way of a double the 1 is lost and it would not.
  const cases: [bigint, number][] = [
    [0n, 0],
    [-1n, -1],
    [2n ** 24n + 1n, 2 ** 24],
    [2n ** 24n + 3n, 2 ** 24 + 4],
    [2n ** 60n + 2n ** 36n, 2 ** 60],
    [2n ** 60n + 2n ** 36n + 1n, 2 ** 60 + 2 ** 37],
    [-(2n ** 60n + 2n ** 36n + 1n), -(2 ** 60 + 2 ** 37)],
    [2n ** 60n + 3n * 2n ** 36n - 1n, 2 ** 60 + 2 ** 37],
    [2n ** 63n - 1n, 2 ** 63],
    [-(2n ** 63n), -(2 ** 63)],
  ];
  const got = toFloat32(namedArray(BigInt64Array.from(cases.map(([value]) => value))));
  assertEquals([...got], cases.map(([, want]) => want));
  assertEquals([...toFloat32(namedArray(BigUint64Array.of(2n ** 64n - 1n)))], [2 ** 64]);
});

test("toFloat32() takes small integers, BOOL and F32 as they are", () => {
  assertEquals([...toFloat32(namedArray(Int8Array.of(-128, 127)))], [-128, 127]);
  assertEquals([...toFloat32(namedArray(Uint8Array.of(255)))], [255]);
  assertEquals([...toFloat32(namedArray(Int16Array.of(-32768)))], [-32768]);
  assertEquals([...toFloat32(namedArray(Uint16Array.of(65535)))], [65535]);
  assertEquals([...toFloat32(namedArray(Int32Array.of(-(2 ** 31), 2 ** 24 + 1)))], [
    -(2 ** 31),
    2 ** 24,
  ]);
  assertEquals([...toFloat32(namedArray(Uint32Array.of(2 ** 32 - 1)))], [2 ** 32]);
  assertEquals([...toFloat32(namedArray(Uint8Array.of(0, 1), [2], "BOOL"))], [0, 1]);
  assertThrows(
    () => toFloat32(namedArray(Uint8Array.of(2), [1], "BOOL")),
    CheckpointError,
    "byte 2",
  );
  const values = Float32Array.of(1.5, NaN, -0);
  assertEquals(toFloat32(namedArray(values)).buffer, values.buffer);
});

test("elementsOf() reads bytes at any address and shares them where it can", () => {
  const buffer = new Uint8Array(9);
  buffer.set(new Uint8Array(Float32Array.of(1, -2).buffer), 1);
  const odd: NamedArray = { dtype: "F32", shape: [2], data: buffer.subarray(1) };
  assertEquals(elementsOf(odd), Float32Array.of(1, -2));
  const even: NamedArray = { dtype: "U16", shape: [2], data: buffer.subarray(4, 8) };
  assertEquals(elementsOf(even).buffer, buffer.buffer);
  assertThrows(() => elementsOf({ ...odd, shape: [3] }), CheckpointError, "needs 12 bytes, has 8");
  assertEquals(
    elementsOf({ dtype: "I64", shape: [], data: new Uint8Array(8) }),
    BigInt64Array.of(0n),
  );
});

test("namedArray() checks size and element type", () => {
  assertEquals(namedArray(new Float32Array(6)).shape, [6]);
  assertEquals(namedArray(new Float32Array(0), [0, 4]).shape, [0, 4]);
  assertEquals(namedArray(new Float32Array(1), []).shape, []);
  assertThrows(() => namedArray(new Float32Array(6), [2, 2]), ShapeError, "does not fit 6");
  assertThrows(() => namedArray(new Float32Array(6), [6], "I32"), DTypeError, "cannot hold I32");
  assertThrows(() => namedArray(new Uint8ClampedArray(2) as unknown as Uint8Array), DTypeError);
});

test("elementCount() refuses sizes that are no sizes", () => {
  assertEquals([elementCount([]), elementCount([2, 3]), elementCount([2 ** 52, 0])], [1, 6, 0]);
  for (const shape of [[-1], [1.5], [NaN], [2 ** 53], [2 ** 32, 2 ** 32, 0], [-0]]) {
    assertThrows(() => elementCount(shape), ShapeError);
  }
});
