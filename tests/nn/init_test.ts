/** Initialisers: PyTorch's fan rules, moments of the drawn values, orthogonality. */
import { Rng } from "../../engine/random/host_rng.ts";
import { ShapeError } from "../../engine/mod.ts";
import { type Init, init } from "../../nn/mod.ts";
import { assert, assertClose, assertEquals, assertThrows, test } from "../harness.ts";

function moments(values: Float32Array): { mean: number; std: number; low: number; high: number } {
  let sum = 0, squares = 0, low = Infinity, high = -Infinity;
  for (const v of values) {
    sum += v;
    squares += v * v;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  const mean = sum / values.length;
  return { mean, std: Math.sqrt(squares / values.length - mean * mean), low, high };
}

const draw = (make: Init, shape: number[]) => make(new Rng(11, "x"), shape);

test("fans() follows PyTorch", () => {
  assertEquals(init.fans([10, 4]), { fanIn: 4, fanOut: 10 });
  assertEquals(init.fans([10, 4, 3, 3]), { fanIn: 36, fanOut: 90 });
  assertEquals(init.fans([5, 8, 2]), { fanIn: 16, fanOut: 10 }); // stacked experts: out * in
  assertThrows(() => init.fans([3]), ShapeError);
});

// 90,000 values: the mean is known to std/300 and the deviation to std/424; five of those are allowed.
const SHAPE = [300, 100, 3];
const CASES: [name: string, make: Init, std: number][] = [
  ["normal", init.normal(0.3), 0.3],
  ["truncNormal, bounds far out", init.truncNormal(0.02), 0.02],
  ["truncNormal at one deviation", init.truncNormal(1, 0, -1, 1), 0.53956],
  ["uniform", init.uniform(-1, 1), Math.sqrt(1 / 3)],
  ["kaimingUniform", init.kaimingUniform(), Math.sqrt(2 / 300)],
  [
    "kaimingUniform a, fan_out",
    init.kaimingUniform({ a: 1, mode: "fan_out" }),
    Math.sqrt(1 / 900),
  ],
  ["kaimingNormal relu", init.kaimingNormal({ nonlinearity: "relu" }), Math.sqrt(2 / 300)],
  ["xavierUniform", init.xavierUniform(), Math.sqrt(2 / 1200)],
  ["xavierNormal gain", init.xavierNormal(5 / 3), 5 / 3 * Math.sqrt(2 / 1200)],
  ["linearWeight", init.linearWeight, Math.sqrt(1 / 900)],
];

for (const [name, make, std] of CASES) {
  test(`${name} has the deviation its rule gives`, () => {
    const got = moments(draw(make, SHAPE));
    assert(Math.abs(got.mean) < 5 * std / 300, `mean ${got.mean}`);
    assert(Math.abs(got.std / std - 1) < 5 / 424, `std ${got.std}, want ${std}`);
  });
}

test("uniform initialisers stay within their bound", () => {
  const { low, high } = moments(draw(init.linearWeight, [64, 100]));
  assert(low >= -0.1 && high < 0.1 && low < -0.0995 && high > 0.0995, `${low} ${high}`);
  const bias = moments(draw(init.linearBias(25), [10000]));
  assert(bias.low >= -0.2 && bias.high < 0.2 && bias.high > 0.199);
});

test("constants", () => {
  assertEquals(draw(init.ones, [2]), Float32Array.of(1, 1));
  assertEquals(draw(init.zeros, []), Float32Array.of(0));
  assertEquals(draw(init.constant(0.5), []), Float32Array.of(0.5));
});

for (const shape of [[12, 1, 48], [48, 12], [7, 7], [1, 5]]) {
  test(`orthogonal [${shape}] has orthonormal rows or columns`, () => {
    const q = draw(init.orthogonal(), shape);
    const rows = shape[0], columns = q.length / rows;
    const at = rows <= columns
      ? (k: number, i: number) => q[k * columns + i]
      : (k: number, i: number) => q[i * columns + k];
    const count = Math.min(rows, columns), length = Math.max(rows, columns);
    for (let k = 0; k < count; k++) {
      for (let j = 0; j <= k; j++) {
        let dot = 0;
        for (let i = 0; i < length; i++) dot += at(k, i) * at(j, i);
        assertClose([dot], [j === k ? 1 : 0], { atol: 1e-6 });
      }
    }
  });
}

test("orthogonal needs two dimensions", () => {
  assertThrows(() => draw(init.orthogonal(), [4]), ShapeError);
});
