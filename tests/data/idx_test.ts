import { assert, assertEquals, assertRejects, assertThrows, test } from "../harness.ts";
import { parseIdx, readIdx } from "../../data/idx.ts";
import { Rng } from "../../data/random.ts";
import { DataError } from "../../engine/errors.ts";
import { gzip, idxFile } from "./support.ts";

test("parseIdx() reads each element type, big-endian", () => {
  const cases: [number, number[], object][] = [
    [0x08, [0, 255], Uint8Array.of(0, 255)],
    [0x09, [0x80, 0x7f], Int8Array.of(-128, 127)],
    [0x0b, [0xff, 0xfe, 0x01, 0x02], Int16Array.of(-2, 258)],
    [0x0c, [0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff], Int32Array.of(256, -1)],
    [0x0d, [0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0], Float32Array.of(1, -2)],
    [0x0e, [0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0], Float64Array.of(1, -2)],
  ];
  for (const [type, bytes, want] of cases) {
    const file = idxFile([2], bytes, type);
    const shifted = new Uint8Array(file.length + 1);
    shifted.set(file, 1);
    for (const source of [file, shifted.subarray(1)]) {
      const { shape, data } = parseIdx(source);
      assertEquals(shape, [2]);
      assertEquals(data, want);
    }
  }
});

test("parseIdx() reads shapes of several dimensions, and empty ones", () => {
  assertEquals(parseIdx(idxFile([2, 1, 3], [1, 2, 3, 4, 5, 6])).shape, [2, 1, 3]);
  assertEquals(parseIdx(idxFile([0, 28, 28], [])).data.length, 0);
});

test("parseIdx() says what is wrong with a file", () => {
  const good = idxFile([2, 2], [1, 2, 3, 4]);
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "truncated"],
    [good.subarray(0, 3), "truncated"],
    [good.subarray(0, 11), "needs more for its header; it is truncated"],
    [good.subarray(0, 15), "has 15 bytes, needs 16; it is truncated"],
    [Uint8Array.of(...good, 9), "has 17 bytes, its header speaks of 16"],
    [idxFile([1], [0], 0x0a), "starts with 00 00 0a 01"],
    [Uint8Array.of(1, 0, 8, 1, 0, 0, 0, 0), "no IDX file"],
    [Uint8Array.of(0, 0, 8, 0), "no IDX file"],
    [new TextEncoder().encode("<html>not found</html>"), "no IDX file: it starts with 3c 68 74 6d"],
    [idxFile([2 ** 32 - 1, 2 ** 32 - 1], []), "larger than any file"],
    [idxFile([2 ** 32 - 1, 2], []), "it is truncated"],
  ];
  for (const [file, message] of cases) {
    const error = assertThrows(() => parseIdx(file, "some/file"), DataError, message);
    assert(error.message.startsWith("some/file: "), error.message);
  }
});

test("readIdx() unpacks gzip, and reads what is not packed", async () => {
  const data = Array.from({ length: 100_000 }, (_, i) => (i * i) & 255);
  const file = idxFile([100, 1000], data);
  for (const source of [file, await gzip(file)]) {
    const array = await readIdx(source);
    assertEquals(array.shape, [100, 1000]);
    assertEquals(array.data, Uint8Array.from(data));
  }
});

test("readIdx() refuses damaged, truncated and endless gzip data", async () => {
  const rng = new Rng(1, "noise");
  const file = idxFile([5000], Array.from({ length: 5000 }, () => rng.integer(256)));
  const packed = await gzip(file);
  const damaged = packed.slice();
  damaged[2500] ^= 0x55;
  await assertRejects(() => readIdx(damaged, "f.gz"), DataError, "f.gz: the gzip data is damaged");
  for (const length of [2, 10, 20, 2500, packed.length - 1]) {
    await assertRejects(() => readIdx(packed.subarray(0, length), "f.gz"), DataError, "f.gz");
  }
  await assertRejects(() => readIdx(Uint8Array.of(...packed, 1, 2, 3), "f.gz"), DataError, "f.gz");
  const long = await gzip(Uint8Array.of(...file, 0));
  await assertRejects(() => readIdx(long, "f.gz"), DataError, "f.gz");
  // 64 MB of zeros behind a header that speaks of 5,000 bytes: it is stopped early, not unpacked.
  const bomb = new Uint8Array(2 ** 26);
  bomb.set(file);
  const start = performance.now();
  const packedBomb = await gzip(bomb);
  const packing = performance.now() - start;
  const before = performance.now();
  await assertRejects(
    () => readIdx(packedBomb, "b.gz"),
    DataError,
    "more than the 5008 bytes its header speaks of",
  );
  assert(performance.now() - before < 1000 + packing, "a bomb must be refused quickly");
});

test("readIdx() answers any damaged byte with an array or a DataError", async () => {
  const rng = new Rng(2, "damage");
  const file = idxFile([3, 2], [1, 2, 3, 4, 5, 6]);
  const packed = await gzip(file);
  for (let i = 0; i < 300; i++) {
    const damaged = (i % 2 ? file : packed).slice();
    damaged[rng.integer(damaged.length)] = rng.integer(256);
    try {
      await readIdx(damaged);
    } catch (error) {
      assert(error instanceof DataError, `damage ${i}: ${error}`);
    }
  }
});
