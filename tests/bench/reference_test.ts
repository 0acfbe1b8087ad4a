import { elements, type HostTensor, uniform } from "../../bench/host_tensor.ts";
import type { Ops } from "../../bench/ops/ops.ts";
import { ComposedOps } from "../../bench/ops/composed.ts";
import { product } from "../../bench/reference/product.ts";
import { Tape, type Value } from "../../bench/reference/tape.ts";
import { assert, assertClose, assertEquals, test } from "../harness.ts";

/** Operations with awkward shapes; inputs a, b, c of these. */
const CASES: readonly {
  readonly name: string;
  readonly shapes: readonly (readonly number[])[];
  readonly compute: <T>(ops: Ops<T>, x: readonly T[]) => T;
}[] = [
  { name: "add", shapes: [[2, 3], [3]], compute: (ops, [a, b]) => ops.add(a, b) },
  { name: "sub", shapes: [[2, 1], [2, 3]], compute: (ops, [a, b]) => ops.sub(a, b) },
  { name: "mul", shapes: [[2, 3], [1, 3]], compute: (ops, [a, b]) => ops.mul(a, b) },
  {
    name: "div",
    shapes: [[2, 3], [2, 1]],
    compute: (ops, [a, b]) => ops.div(a, ops.shift(b, 3)),
  },
  { name: "gelu", shapes: [[7]], compute: (ops, [a]) => ops.gelu(a) },
  { name: "exp", shapes: [[7]], compute: (ops, [a]) => ops.exp(a) },
  { name: "relu", shapes: [[7]], compute: (ops, [a]) => ops.relu(a) },
  { name: "sqrt", shapes: [[5]], compute: (ops, [a]) => ops.sqrt(ops.shift(a, 2)) },
  { name: "permute", shapes: [[2, 3, 4]], compute: (ops, [a]) => ops.permute(a, [2, 0, 1]) },
  { name: "slice", shapes: [[2, 5, 2]], compute: (ops, [a]) => ops.slice(a, 1, 1, 4) },
  { name: "concat", shapes: [[2, 1], [2, 3]], compute: (ops, x) => ops.concat(x, 1) },
  { name: "broadcastTo", shapes: [[1, 3]], compute: (ops, [a]) => ops.broadcastTo(a, [4, 3]) },
  { name: "sum", shapes: [[2, 3, 2]], compute: (ops, [a]) => ops.sum(a, 1) },
  { name: "softmax", shapes: [[2, 3, 2]], compute: (ops, [a]) => ops.softmax(a, 1) },
  { name: "logSoftmax", shapes: [[2, 5]], compute: (ops, [a]) => ops.logSoftmax(a, 1) },
  { name: "matmul", shapes: [[2, 3, 4], [2, 4, 5]], compute: (ops, [a, b]) => ops.matmul(a, b) },
  {
    name: "matmul, both transposed",
    shapes: [[2, 4, 3], [2, 5, 4]],
    compute: (ops, [a, b]) => ops.matmul(a, b, { transposeA: true, transposeB: true }),
  },
  {
    name: "linear",
    shapes: [[2, 3, 4], [5, 4], [5]],
    compute: (ops, [x, w, b]) => ops.linear(x, w, b, "gelu"),
  },
  {
    name: "groupedLinear",
    shapes: [[2, 3, 4], [2, 5, 4], [2, 5]],
    compute: (ops, [x, w, b]) => ops.groupedLinear(x, w, b),
  },
  {
    name: "layerNorm",
    shapes: [[3, 5], [5], [5]],
    compute: (ops, [x, w, b]) => ops.layerNorm(x, w, b, 1e-5),
  },
  { name: "attention", shapes: [[2, 3, 12]], compute: (ops, [qkv]) => ops.attention(qkv, 2) },
  { name: "l2Normalize", shapes: [[3, 4]], compute: (ops, [x]) => ops.l2Normalize(x, 1e-6) },
  { name: "entmax15", shapes: [[3, 7]], compute: (ops, [x]) => ops.entmax15(x) },
  {
    name: "crossEntropy",
    shapes: [[3, 4], [3, 4]],
    compute: (ops, [x, target]) => ops.crossEntropy(x, target, 0.1),
  },
  { name: "patchify", shapes: [[2, 3, 4, 6]], compute: (ops, [x]) => ops.patchify(x, 2) },
];

function run(
  tape: Tape,
  inputs: readonly HostTensor[],
  compute: (typeof CASES)[number]["compute"],
  dOut?: ArrayLike<number>,
): { y: Value; gradients: Float64Array[] } {
  const x = inputs.map((input) => tape.input(input, true));
  const y = compute(tape, x);
  if (dOut) tape.backward(y, dOut);
  return { y, gradients: x.map(({ grad, data }) => grad ?? new Float64Array(data.length)) };
}

for (const { name, shapes, compute } of CASES) {
  test(`the reference's gradient of ${name} agrees with central differences`, () => {
    const inputs = shapes.map((shape, i) => uniform(shape, 10 + i));
    const size = run(new Tape(), inputs, compute).y.data.length;
    const dOut = uniform([size], 3).data;
    const { gradients } = run(new Tape(), inputs, compute, dOut);
    inputs.forEach((input, k) => {
      for (let i = 0; i < input.data.length; i++) {
        // Inputs are f32, so the step is made of what they really became.
        const at = [1, -1].map((sign) => {
          const data = input.data.slice();
          data[i] += sign * 2 ** -10;
          const moved = inputs.with(k, { shape: input.shape, data });
          const { y } = run(new Tape(), moved, compute);
          return { x: data[i], loss: y.data.reduce((sum, v, j) => sum + v * dOut[j], 0) };
        });
        const slope = (at[0].loss - at[1].loss) / (at[0].x - at[1].x);
        // The error of a central difference is of the order of the step squared, 1e-6 times a third derivative.
        const off = Math.abs(slope - gradients[k][i]);
        assert(off < 1e-4, `d/d input ${k}[${i}] is ${gradients[k][i]}, slope ${slope}`);
      }
    });
  });
}

/** The tape with the composed operations in place of its own. */
class ComposedTape extends Tape {
  override layerNorm = ComposedOps.prototype.layerNorm;
  override entmax15 = ComposedOps.prototype.entmax15;
}

for (const name of ["layerNorm", "entmax15"]) {
  test(`the composed ${name}, which peers run, agrees with the reference's own`, () => {
    const { compute, shapes } = CASES.find((c) => c.name === name)!;
    const inputs = [shapes[0].with(-1, 37), ...shapes.slice(1).map(() => [37])]
      .map((shape, i) => uniform(shape, 20 + i, 3));
    const size = elements(inputs[0].shape), dOut = uniform([size], 4).data;
    const own = run(new Tape(), inputs, compute, dOut);
    const composed = run(new ComposedTape(), inputs, compute, dOut);
    assertClose(composed.y.data, own.y.data, { atol: 1e-9 });
    composed.gradients.forEach((g, i) => assertClose(g, own.gradients[i], { atol: 1e-8 }));
  });
}

/** The tape with the composed operations on maps. */
class ComposedMaps extends Tape {
  override roiAlign = ComposedOps.prototype.roiAlign;
}

test("the composed RoIAlign, which peers run, agrees with the reference's own", () => {
  const sizes = [[9, 7], [5, 4], [2, 2]];
  const maps = sizes.map((size, l) => uniform([2, ...size, 3], 30 + l));
  // Of all three levels, inside, across the edges, beyond them, and empty.
  const boxes: HostTensor = {
    shape: [2, 3, 4],
    // deno-fmt-ignore
    data: Float32Array.of(1, 2, 9, 10,  -20, -9, 40, 30,  0, 0, 20, 22,
                          200, 9, 230, 17,  -3, 20, 26, 38,  5, 5, 5, 5),
  };
  const options = { strides: [4, 8, 16], bins: 3, samples: 2, finestScale: 8 };
  const [own, composed] = [new Tape(), new ComposedMaps()].map((tape) =>
    tape.roiAlign(maps.map((map) => tape.input(map)), tape.input(boxes), options)
  );
  assertEquals(own.shape, [2, 3, 3, 3, 3]);
  assertEquals(composed.shape, own.shape);
  assertClose(composed.data, own.data, { atol: 1e-6 }); // the composed one's grids are f32
});

test("the reference's convolution and pooling agree with sums by hand", () => {
  const tape = new Tape();
  const value = (shape: number[], ...data: number[]) =>
    tape.input({ shape, data: Float32Array.from(data) });
  const x = value([1, 2, 3, 1], 1, 2, 3, 4, 5, 6);
  const ones = value([1, 1, 3, 3], ...new Array<number>(9).fill(1)), bias = value([1], -15);
  const y = tape.conv2d(x, ones, bias, { stride: 1, padding: 1, relu: true });
  assertEquals([y.shape, Array.from(y.data)], [[1, 2, 3, 1], [0, 6, 1, 0, 6, 1]]);
  const strided = tape.conv2d(x, value([2, 1, 1, 2], 1, 10, 0, 1), value([2], 0, 1), {
    stride: 2,
    padding: 0,
  });
  assertEquals([strided.shape, Array.from(strided.data)], [[1, 1, 1, 2], [21, 3]]);
  const pooled = tape.maxPool(x);
  assertEquals([pooled.shape, Array.from(pooled.data)], [[1, 1, 2, 1], [5, 6]]);
  assertEquals(Array.from(tape.stretch(value([1, 1, 2, 1], 3, 7), 2).data), [
    3,
    3,
    7,
    7,
    3,
    3,
    7,
    7,
  ]);
});

test("product() of small matrices is known", () => {
  const a = Float64Array.of(1, 2, 3, 4, 5, 6), b = Float64Array.of(7, 8, 9, 10, 11, 12);
  assertEquals(
    product({ batch: 1, m: 2, n: 2, k: 3 }, a, b),
    Float64Array.of(58, 64, 139, 154),
  );
});
