import { assert, assertClose, assertEquals, assertThrows, test } from "../../harness.ts";
import { Rng, type RngState } from "../../../engine/random/host_rng.ts";
import { DTypeError, ShapeError } from "../../../engine/errors.ts";

const UNIT = 2 ** -21;
const words = (rng: Rng, count: number): number[] =>
  Array.from({ length: count }, () => rng.word());

test("Rng lays seed, stream, cell and position into Philox as its header says", () => {
  // The third known answer of Random123: counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0.
  const rng = Rng.restore({
    seed: String(0x03707344a4093822n),
    stream: 0x299f31d0,
    cell: [0x85a308d3, 0x13198a2e],
    position: 4 * 0x243f6a88,
  });
  assertEquals(words(rng, 4), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
  assertEquals(words(new Rng(0), 4), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
});

// The next four tests pin streams that a Python program made (arbitrary-size integers, SciPy's ndtri for the table):
// they hold in every engine, or saved seeds no longer mean the same run.
test("Rng.normal() of seed 42, stream weights is pinned", () => {
  const rng = new Rng(42, "weights");
  const first = Array.from({ length: 8 }, () => rng.normal() / UNIT);
  assertEquals(first, [
    -3939304,
    1961510,
    895414,
    -2684104,
    485543,
    -1588672,
    -1041376,
    2309709,
  ]);
  const again = new Rng(42, "weights");
  let sum = 0;
  for (let i = 0; i < 10_000; i++) sum = (Math.imul(sum, 31) + again.normal() / UNIT) | 0;
  assertEquals(sum >>> 0, 0x8d0031e0);
});

test("Rng.integer() of a named stream's cell is pinned, rejected words included", () => {
  const rng = new Rng(7, "order/a").cell(3, 9);
  const digits = Array.from({ length: 12 }, () => rng.integer(10));
  assertEquals(digits, [1, 1, 9, 8, 5, 9, 9, 4, 2, 8, 7, 1]);
  const large = Array.from({ length: 6 }, () => rng.integer(3 * 2 ** 30));
  assertEquals(large, [524715569, 885230110, 2589210672, 2033600785, 1217925336, 2469559235]);
  assertEquals(rng.state().position, 25); // 18 results, 7 words were above 3 * 2^30
});

test("Rng.permutation() of a 64-bit seed and a stream beyond ASCII is pinned", () => {
  const rng = new Rng(2n ** 63n + 5n, "é");
  assertEquals([...rng.permutation(12)], [10, 0, 9, 8, 5, 2, 7, 1, 4, 3, 6, 11]);
});

test("Rng.uniform() is a multiple of 2^-24 in [0, 1)", () => {
  const rng = new Rng(1), check = new Rng(1);
  for (let i = 0; i < 1000; i++) {
    const u = rng.uniform();
    assertEquals(u * 2 ** 24, Math.floor(check.word() / 256));
    assertEquals(Math.fround(u), u);
  }
});

test("Rng.uniform(), integer() and normal() fall evenly into equal classes", () => {
  // 64 classes, 64,000 draws: chi-square has 63 degrees of freedom; 120 is passed once in 10^5 seeds.
  const rng = new Rng(3, "even");
  const uniform = new Array(64).fill(0), integer = new Array(64).fill(0), normal = [0, 0, 0, 0];
  const quartile = 0.6744897501960817; // SciPy: ndtri(0.75)
  for (let i = 0; i < 64_000; i++) {
    uniform[Math.floor(rng.uniform() * 64)]++;
    integer[rng.integer(64)]++;
    const z = rng.normal();
    normal[(z < 0 ? 0 : 1) + (Math.abs(z) < quartile ? 0 : 2)]++;
  }
  assert(chiSquare(uniform) < 120, `uniform: ${chiSquare(uniform)}`);
  assert(chiSquare(integer) < 120, `integer: ${chiSquare(integer)}`);
  assert(chiSquare(normal) < 25, `normal: ${chiSquare(normal)}`); // 3 degrees of freedom: once in 10^5
});

test("Rng.integer() covers its limits and refuses others", () => {
  const rng = new Rng(5);
  for (let i = 0; i < 20; i++) assertEquals(rng.integer(1), 0);
  assert(Array.from({ length: 20 }, () => rng.integer(2 ** 32)).some((n) => n >= 2 ** 31));
  for (const n of [0, -1, 1.5, 2 ** 32 + 1, NaN, Infinity]) {
    assertThrows(() => rng.integer(n), ShapeError, `got ${n}`);
  }
});

test("Rng.shuffle() gives each order of three equally often, in any kind of array", () => {
  const rng = new Rng(11, "orders");
  const counts = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const letters = ["a", "b", "c"];
    rng.shuffle(letters);
    const order = letters.join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assertEquals(counts.size, 6);
  assert(chiSquare([...counts.values()]) < 30, `chi-square ${chiSquare([...counts.values()])}`);
  const numbers = Float64Array.of(5, 6, 7, 8);
  rng.shuffle(numbers);
  assertEquals([...numbers].sort(), [5, 6, 7, 8]);
});

test("Rng.permutation() holds each number once, and none for 0", () => {
  const order = new Rng(1, "p").permutation(1009);
  assertEquals([...order].sort((a, b) => a - b), Array.from({ length: 1009 }, (_, i) => i));
  assertEquals(new Rng(1, "p").permutation(0).length, 0);
  assertThrows(() => new Rng(1).permutation(-1), ShapeError);
});

test("Rng.truncatedNormal() stays inside and has the truncated variance", () => {
  const rng = new Rng(9, "trunc");
  let sum = 0, square = 0;
  const count = 100_000;
  for (let i = 0; i < count; i++) {
    const z = rng.truncatedNormal();
    assert(z >= -2 && z <= 2);
    sum += z / count;
    square += z * z / count;
  }
  // Variance of a normal within 2 standard deviations: 0.773741. Four standard errors of 100,000 draws.
  assertClose([sum, square], [0, 0.773741], { atol: 0.012 });
  assertThrows(() => rng.truncatedNormal(2, 2), ShapeError, "not an interval");
  assertThrows(() => rng.truncatedNormal(NaN, 2), ShapeError);
  assertThrows(() => rng.truncatedNormal(8, 9), ShapeError, "widen it");
});

test("Rng.fork() and cell() are independent of where the parent stands, and of each other", () => {
  const rng = new Rng(4, "root");
  const fork = words(rng.fork("x"), 8), cell = words(rng.cell(1, 2), 8);
  rng.word();
  assertEquals(words(rng.fork("x"), 8), fork);
  assertEquals(words(rng.cell(1, 2), 8), cell);
  assertEquals(words(new Rng(4, "root/x"), 8), fork);
  const all = [
    fork,
    cell,
    words(new Rng(4, "root"), 8),
    words(rng.fork("y"), 8),
    words(rng.cell(2, 1), 8),
  ];
  assertEquals(new Set(all.flat()).size, 40);
});

test("Rng.restore() goes on where state() stood, at every place in a block", () => {
  for (let used = 0; used < 9; used++) {
    const rng = new Rng(123n << 40n, "s").cell(7, 8);
    words(rng, used);
    const state = JSON.parse(JSON.stringify(rng.state())) as RngState;
    assertEquals(words(Rng.restore(state), 5), words(rng, 5));
  }
});

test("Rng refuses bad seeds, streams, cells and states", () => {
  for (const seed of [-1, 0.5, NaN, 2 ** 53, -1n, 2n ** 64n]) {
    assertThrows(() => new Rng(seed), ShapeError, "seed");
  }
  assertThrows(() => new Rng(0, -1), ShapeError, "stream");
  assertThrows(() => new Rng(0).cell(2 ** 32), ShapeError, "cell");
  const state: RngState = new Rng(1).state();
  const restore = (change: object) => () => Rng.restore({ ...state, ...change });
  assertThrows(restore({ seed: 1 }), DTypeError);
  assertThrows(restore({ seed: "-1" }), DTypeError);
  assertThrows(restore({ stream: null }), DTypeError);
  assertThrows(restore({ cell: [1] }), DTypeError);
  assertThrows(restore({ cell: ["a", 0] }), ShapeError, "cell");
  assertThrows(restore({ position: -1 }), ShapeError, "position");
  assertThrows(() => Rng.restore({ ...state, position: 2 ** 34 }).word(), ShapeError, "used up");
});

function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((a, b) => a + b, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}
