/** Halves: storage, casts, every op that takes them, autocast, and numbers beyond what a half counts to. */
import { autocast, type Device, DTypeError, FeatureError, type Tensor } from "../../engine/mod.ts";
import * as ops from "../../engine/ops/mod.ts";
import { testValues } from "../gradcheck.ts";
import { HALF_ROUNDING, halfTest, roundToHalf } from "../half_harness.ts";
import { assert, assertClose, assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

const half = (values: ArrayLike<number>) => Float16Array.from(values);

gpuTest("a device with the default limits refuses halves and names the way out", async (device) => {
  const refused = (fn: () => unknown) => assertThrows(fn, FeatureError, '"shader-f16"');
  await device.step(() => {
    const x = device.zeros([2, 2]);
    refused(() => device.zeros([2], "f16"));
    refused(() => x.to("f16"));
    refused(() => autocast(() => ops.linear(x, x)));
    assertEquals(ops.linear(x, x).dtype, "f32");
  });
}, { device: { limits: "default" } });

test("roundToHalf() rounds to the nearest half, ties to even", () => {
  const values = [
    1,
    2049,
    2051,
    1e-8,
    2 ** -25,
    3 * 2 ** -25,
    65519,
    65520,
    -0.1,
    NaN,
    1 + 2 ** -11,
  ];
  const want = [1, 2048, 2052, 0, 0, 2 ** -23, 65504, Infinity, -0.0999755859375, NaN, 1];
  assertEquals([...roundToHalf(values)], want);
});

halfTest("halves go up and come back, in any number", async (device) => {
  for (const n of [1, 2, 3, 5, 257]) {
    const values = half(testValues(n));
    const [plain, copied, filled, empty] = await device.step(() => {
      const x = device.tensor(values);
      const y = device.zeros([n], "f16");
      device.copy(x, y);
      return [x, y, device.full([n], -1.5, "f16"), device.tensor(new Float16Array(0))]
        .map((t) => t.data());
    });
    assertEquals(await plain, values);
    assertEquals(await copied, values);
    assertEquals(await filled, half(Array(n).fill(-1.5)));
    assertEquals((await empty).length, 0);
  }
  assertEquals(await device.step(() => device.tensor(half([2.5])).item()), 2.5);
});

halfTest("to() rounds to the nearest half, also where it is infinite or tiny", async (device) => {
  const values = [0, -0, 1, 0.1, 2049, 2051, 65504, 65519, 65520, -1e9, 6e-8, 2e-8, 3e-5, Infinity];
  const [halves, back, same] = await device.step(() => {
    const x = device.tensor(values), y = x.to("f16");
    assert(x.to("f32") === x && y.to("f16") === y);
    return [y.data(), y.to("f32").data(), device.tensor(Float32Array.of(NaN)).to("f16").data()];
  });
  assertEquals(await halves, half(roundToHalf(values)));
  assertEquals(await back, roundToHalf(values));
  assert(Number.isNaN((await same)[0]));
});

/** Shapes of inputs; the op; what is 0 or positive among them. */
interface OpCase {
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly op: (x: Record<string, Tensor>) => Tensor;
  /** Applied to the values; default none. */
  readonly values?: (value: number, name: string) => number;
}

const unary = (op: (x: Tensor) => Tensor, values?: (v: number) => number): OpCase => ({
  inputs: { x: [3, 7, 5] },
  op: ({ x }) => op(x),
  values,
});
const positive = (v: number) => 0.3 + Math.abs(v);
const routed = { t: [2, 5, 8], q: [6, 8] };

/** Every differentiable op that takes halves. */
const OPS: Readonly<Record<string, OpCase>> = {
  to: unary((x) => x.to("f32")),
  relu: unary(ops.relu),
  gelu: unary(ops.gelu),
  silu: unary(ops.silu),
  sigmoid: unary(ops.sigmoid),
  tanh: unary(ops.tanh),
  exp: unary(ops.exp),
  log: unary(ops.log, positive),
  sqrt: unary(ops.sqrt, positive),
  square: unary(ops.square),
  abs: unary(ops.abs),
  neg: unary(ops.neg),
  add: { inputs: { a: [3, 5], b: [2, 3, 5] }, op: ({ a, b }) => ops.add(a, b) },
  sub: { inputs: { a: [3, 5], b: [5] }, op: ({ a, b }) => ops.sub(a, b) },
  mul: { inputs: { a: [3, 5], b: [3, 1] }, op: ({ a, b }) => ops.mul(a, b) },
  div: {
    inputs: { a: [3, 5], b: [5] },
    op: ({ a, b }) => ops.div(a, b),
    values: (v, name) => name === "b" ? positive(v) : v,
  },
  maximum: { inputs: { a: [3, 5], b: [5] }, op: ({ a, b }) => ops.maximum(a, b) },
  minimum: { inputs: { a: [3, 5], b: [5] }, op: ({ a, b }) => ops.minimum(a, b) },
  sum: unary((x) => ops.sum(x, [0, 2])),
  mean: unary((x) => ops.mean(x, 1)),
  max: unary((x) => ops.max(x, 1)),
  softmax: unary((x) => ops.softmax(x, 1)),
  logSoftmax: unary(ops.logSoftmax),
  entmax15: unary((x) => ops.entmax15(x)),
  l2Normalize: unary((x) => ops.l2Normalize(x)),
  layerNorm: {
    inputs: { x: [7, 33], weight: [33], bias: [33] },
    op: ({ x, weight, bias }) => ops.layerNorm(x, weight, bias),
  },
  reshape: unary((x) => ops.mul(ops.reshape(x, [7, 15]), 2)),
  slice: unary((x) => ops.slice(x, 1, 2, 5)),
  permute: unary((x) => ops.permute(x, [2, 0, 1])),
  broadcastTo: { inputs: { x: [3, 1] }, op: ({ x }) => ops.broadcastTo(x, [4, 3, 5]) },
  concat: { inputs: { a: [3, 5], b: [3, 2] }, op: ({ a, b }) => ops.concat([a, b], 1) },
  patchify: { inputs: { x: [2, 3, 4, 6] }, op: ({ x }) => ops.patchify(x, 2) },
  dropout: unary((x) => ops.dropout(x, 0.3)),
  dropPath: unary((x) => ops.dropPath(x, 0.5)),
  linear: {
    inputs: { x: [5, 12], weight: [8, 12], bias: [8] },
    op: ({ x, weight, bias }) => ops.linear(x, weight, bias, { activation: "gelu" }),
  },
  groupedLinear: {
    inputs: { x: [3, 5, 7], weight: [3, 6, 7], bias: [3, 6] },
    op: ({ x, weight, bias }) => ops.groupedLinear(x, weight, bias, { activation: "relu" }),
  },
  matmul: {
    inputs: { a: [2, 5, 7], b: [7, 3] },
    op: ({ a, b }) => ops.matmul(a, b),
  },
  attention: { inputs: { qkv: [2, 9, 48] }, op: ({ qkv }) => ops.attention(qkv, 2) },
  cosineScores: { inputs: routed, op: ({ t, q }) => ops.cosineScores(t, q) },
  dispatchMerge: {
    inputs: routed,
    op: ({ t, q }) => ops.dispatchMerge(t, ops.cosineScores(t, q), 0.5, { experts: 3 }),
  },
  combineMerge: {
    inputs: { ...routed, y: [3, 4, 8] },
    op: ({ t, q, y }) => ops.combineMerge(ops.cosineScores(t, q), 0.5, y, { kind: "softmax" }),
  },
  "combineMerge (entmax)": {
    inputs: { ...routed, y: [3, 4, 8] },
    op: ({ t, q, y }) => ops.combineMerge(ops.cosineScores(t, q), 0.5, y, { kind: "entmax15" }),
  },
  conv2d: {
    inputs: { x: [2, 5, 6, 4], weight: [8, 3, 3, 4], bias: [8] },
    op: ({ x, weight, bias }) => ops.conv2d(x, weight, bias, { padding: 1, activation: "silu" }),
  },
  "conv2d of 3 channels": {
    inputs: { x: [2, 5, 6, 3], weight: [8, 1, 1, 3] },
    op: ({ x, weight }) => ops.conv2d(x, weight),
  },
  maxPool2d: { inputs: { x: [2, 6, 6, 3] }, op: ({ x }) => ops.maxPool2d(x, { kernel: 2 }) },
  upsampleAdd: {
    inputs: { coarse: [2, 2, 3, 4], fine: [2, 4, 6, 4] },
    op: ({ coarse, fine }) => ops.upsampleAdd(coarse, fine),
  },
  roiAlign: {
    inputs: { x: [1, 8, 8, 4] },
    op: ({ x }) => {
      const boxes = x.device.tensor([[[4, 4, 40, 50], [0, 8, 30, 30]]]);
      return ops.roiAlign([x], boxes, { strides: [8] });
    },
  },
  crossEntropy: {
    inputs: { x: [5, 7] },
    op: ({ x }) => ops.crossEntropy(x, x.device.tensor(Uint32Array.of(0, 6, 3, 3, 1))),
  },
  focalLoss: {
    inputs: { x: [5, 3] },
    op: ({ x }) => ops.focalLoss(x, x.device.tensor(Uint32Array.of(0, 3, 1, 2, 3))),
  },
  l1Loss: {
    inputs: { x: [5, 4] },
    op: ({ x }) => ops.l1Loss(x, x.device.tensor(testValues(20, 8), [5, 4])),
  },
  angleLoss: {
    inputs: { x: [5, 3] },
    op: ({ x }) => ops.angleLoss(x, x.device.tensor(testValues(15, 8), [5, 3])),
  },
  temporalLoss: { inputs: { x: [2, 5, 3] }, op: ({ x }) => ops.temporalLoss(x) },
  foldBatchNorm: {
    inputs: { weight: [4, 6], gamma: [4], beta: [4] },
    op: ({ weight, gamma, beta }) => {
      const runningMean = weight.device.tensor([1, 2, 3, 4]), runningVar = runningMean;
      const norm = { weight: gamma, bias: beta, runningMean, runningVar };
      const folded = ops.foldBatchNorm(weight, norm);
      return ops.add(folded.weight, ops.reshape(folded.bias, [4, 1]));
    },
  },
};

/** An op's output and the gradients of its inputs, all as f32; and the output's dtype. */
async function differentiate(device: Device, one: OpCase, dtype: "f16" | "f32", mixed = false) {
  const names = Object.keys(one.inputs);
  const dropped = device.stepIndex; // the same masks in each run
  const { reads, type } = await device.step(() => {
    device.stepIndex = dropped;
    const inputs = Object.fromEntries(names.map((name, k) => {
      const shape = one.inputs[name];
      const raw = testValues(shape.reduce((a, b) => a * b, 1), k + 3);
      const values = roundToHalf(raw.map((v) => one.values?.(v, name) ?? v));
      const host = dtype === "f16" ? half(values) : values;
      return [name, device.tensor(host, shape, { requiresGrad: true, label: name })];
    }));
    const y = mixed ? autocast(() => one.op(inputs)) : one.op(inputs);
    y.backward(device.tensor(roundToHalf(testValues(y.size, 9)), y.shape));
    for (const x of Object.values(inputs)) assertEquals(x.grad!.dtype, dtype);
    const all = [y, ...names.map((name) => inputs[name].grad!)];
    return { reads: all.map((t) => t.to("f32").data()), type: y.dtype };
  });
  device.stepIndex = dropped;
  return { values: await Promise.all(reads), names: ["output", ...names], type };
}

/**
 * A value passes few stores on its way through one op, each of which rounds it by 2^-11; gradients of normalisations and
 * softmax subtract numbers of their size.
 */
const OP_TOLERANCE = 8 * HALF_ROUNDING;

for (const [name, one] of Object.entries(OPS)) {
  halfTest(`${name}: outputs and gradients of halves are those of f32`, async (device) => {
    const want = await differentiate(device, one, "f32");
    for (const [dtype, mixed] of [["f16", false], ["f32", true]] as const) {
      const got = await differentiate(device, one, dtype, mixed);
      got.values.forEach((values, k) => {
        const wanted = want.values[k];
        const largest = Array.from(wanted).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
        const what = `${got.names[k]} of ${name}, ${dtype}${mixed ? " in autocast" : ""}`;
        assertClose(values, wanted, { atol: OP_TOLERANCE * largest, rtol: 0, name: what });
      });
    }
  });
}

halfTest("every op either has its halves tested or refuses them by name", async (device) => {
  const tested = new Set(Object.keys(OPS).map((name) => name.split(" ")[0]));
  const h = device.zeros([2, 4], "f16");
  const rest: Record<string, () => unknown> = {
    cxcywhToXyxy: () => ops.cxcywhToXyxy(h),
    xyxyToCxcywh: () => ops.xyxyToCxcywh(h),
    decodeBoxes: () => ops.decodeBoxes(h, h, { scales: [1, 1, 1, 1] } as never),
    giouLoss: () => ops.giouLoss(h, h),
  };
  const other = ["argmax", "accuracy", "gaussianNoise", "sphereQueries"]; // no gradient, or made of others
  const untold = Object.keys(ops).filter((name) =>
    !tested.has(name) && !(name in rest) && !other.includes(name)
  );
  assertEquals(untold, []);
  for (const fn of Object.values(rest)) {
    assertThrows(
      fn,
      DTypeError,
      'is f16, needs f32; there is no half form of it, so cast with to("f32")',
    );
  }
  await device.sync();
});

halfTest("sums, counts and indices go past 2,048 and 65,504", async (device) => {
  const n = 4099, ones = half(Array(n).fill(1));
  const spread = Float16Array.from({ length: n }, (_, i) => i < 2048 ? 200 : i < 4096 ? -200 : 1);
  const rising = Float32Array.from({ length: n }, (_, i) => i);
  const result = await device.step(() => {
    const x = device.tensor(ones, [1, n], { requiresGrad: true });
    const wide = device.tensor(spread, [1, n]);
    const summed = autocast(() => ops.sum(x));
    ops.max(x).backward(device.full([], 4099)); // 4,099 equal maxima share it
    const late = half(Array(3 * n).fill(0));
    late[n - 1] = late[2 * n - 1] = 1;
    late[2 * n + 2050] = 1;
    const rows = device.tensor(late, [3, n]);
    const loss = ops.crossEntropy(rows, device.tensor(Uint32Array.of(n - 1, n - 1, 2050)));
    return {
      sum: summed.data(),
      product: ops.matmul(x, x, { transposeB: true }).data(),
      // partial sums reach 409,600
      far: ops.matmul(wide, x, { transposeB: true }).data(),
      mean: ops.mean(wide).to("f32").data(),
      shares: x.grad!.data(),
      argmax: ops.argmax(rows).data(),
      loss: loss.data(),
      softmax: ops.softmax(x).to("f32").data(),
      part: ops.slice(x, 1, 2050, n).data(),
      order: ops.permute(device.tensor(half(rising.map((i) => i % 2048)), [n, 1, 1]), [2, 0, 1])
        .data(),
      norm: ops.layerNorm(wide).to("f32").data(),
    };
  });
  assertEquals(await result.sum, Float32Array.of(n));
  assertEquals(await result.product, half([n])); // 4,100: the nearest half
  assertEquals(await result.far, half([3]));
  assertClose(await result.mean, [3 / n], { atol: 0, rtol: HALF_ROUNDING, name: "mean" });
  assertEquals(await result.shares, ones);
  assertEquals(await result.argmax, Uint32Array.of(n - 1, n - 1, 2050));
  assertClose(await result.loss, [Math.log(n - 1 + Math.E) - 1], {
    atol: 0,
    rtol: 1e-5, // of f32, over 4,099 terms
    name: "loss",
  });
  assertClose(await result.softmax, Float32Array.from(ones, () => 1 / n), {
    atol: 0,
    rtol: HALF_ROUNDING,
    name: "softmax",
  });
  assertEquals((await result.part).length, n - 2050);
  assertEquals(await result.order, half(rising.map((i) => i % 2048)));
  const deviation = Math.sqrt(4096 / n * 200 ** 2);
  assertClose(await result.norm, Float32Array.from(spread, (v) => v / deviation), {
    atol: 2e-3, // of values of 1: two stores, and the mean that is left out
    name: "layer norm",
  });
});

halfTest("more than 65,536 rows of halves are each in their place", async (device) => {
  const rows = 70001;
  const numbers = Float16Array.from({ length: 2 * rows }, (_, i) => i % 2039);
  const [doubled, last] = await device.step(() => {
    const x = device.tensor(numbers, [rows, 2]);
    return [ops.add(x, x).data(), ops.slice(x, 0, 65535, rows).data()];
  });
  assertEquals(await doubled, numbers.map((v) => 2 * v));
  assertEquals(await last, numbers.slice(2 * 65535));
});

halfTest("autocast: products come out in half, sums in f32, and it nests", async (device) => {
  await device.step(() => {
    const x = device.zeros([2, 4]), h = x.to("f16");
    const types = (fn: () => Tensor[]) => fn().map(({ dtype }) => dtype).join(" ");
    const matrix = () => [ops.linear(x, x), ops.matmul(h, x, { transposeB: true })];
    const precise =
      () => [ops.softmax(h), ops.sum(h), ops.exp(h), ops.l2Normalize(h), ops.add(h, x)];
    autocast(() => {
      assertEquals(types(matrix), "f16 f16");
      assertEquals(types(precise), "f32 f32 f32 f32 f32");
      assertEquals(
        types(() => [ops.relu(h), ops.add(h, h), ops.max(h), ops.layerNorm(x)]),
        "f16 f16 f16 f16",
      );
      autocast(() => assertEquals(ops.linear(x, x).dtype, "f32"), { enabled: false });
      assertEquals(ops.linear(x, x).dtype, "f16");
    });
    assertEquals(types(() => [ops.linear(x, x), ops.softmax(h)]), "f32 f16");
    assertThrows(() => autocast(() => ops.reshape(x, [3])), Error);
    assertEquals(ops.linear(x, x).dtype, "f32", "an error ends the scope");
    const text = 'linear(): x is f16 and weight f32; cast one with to("f16")';
    assertThrows(() => ops.linear(h, x), DTypeError, text);
    assertThrows(() => autocast(async () => await Promise.resolve()), DTypeError, "synchronous");
    assertThrows(() => device.zeros([2], "i32").to("f16"), DTypeError, "needs f32 or f16");
    assertThrows(() => x.to("i32" as never), DTypeError, "no float type");
  });
});

halfTest(
  "autocast copies a weight once a scope, and its gradient is not rounded to half",
  async (device) => {
    const weight = device.tensor([[1 + 2 ** -9]], [1, 1], { requiresGrad: true });
    const work = () => {
      weight.grad = null;
      const x = device.tensor(half([1, 1]), [2, 1]);
      const y = autocast(() => ops.add(ops.linear(x, weight), ops.linear(x, weight)));
      // 2 (1 + 2^-12) is no half
      y.backward(device.tensor([1, 2 ** -12], [2, 1]));
    };
    const text = await device.explain(work);
    assertEquals(text.match(/cast\[/g)?.length, 1, text);
    await device.step(work);
    assertEquals(await weight.grad!.data(), Float32Array.of(2 + 2 ** -11));
  },
);

halfTest("captured halves are those of an eager step, bit for bit", async (device) => {
  const weight = device.keep(device.tensor(testValues(35), [5, 7]));
  weight.requiresGrad = true;
  const work = (x: Tensor) => {
    weight.grad = null;
    const y = autocast(() => ops.gelu(ops.linear(x, weight)));
    ops.sum(ops.mul(y, y)).backward();
    return { y, grad: weight.grad! };
  };
  const values = half(testValues(21)), shape = [3, 7];
  const eager = await device.step(() => {
    const { y, grad } = work(device.tensor(values, shape));
    return [y.data(), grad.data()];
  });
  const captured = device.capture(work);
  for (let run = 0; run < 2; run++) {
    const { y, grad } = await captured([values, shape]);
    assertEquals(await y.data(), await eager[0]);
    assertEquals(await grad.data(), await eager[1]);
  }
  captured.dispose();
});

halfTest("verify and detectAnomaly look into halves", async (device) => {
  const x = device.keep(device.tensor(half(testValues(15)), [3, 5]));
  const { verified, unverified } = await device.verify(() => {
    const y = autocast(() => ops.layerNorm(ops.linear(x, x)));
    ops.concat([ops.slice(y, 1, 0, 2), ops.permute(y, [1, 0])], 1);
    ops.sum(ops.square(y));
  });
  assert(verified >= 7, `${verified}`);
  assertEquals(unverified, []);
  const large = device.keep(device.full([3], 300, "f16"));
  await device.detectAnomaly(() => ops.mul(large, 200));
  let message = "";
  await device.detectAnomaly(() => ops.mul(large, large)).catch((e) => message = e.message);
  assert(/^map_mul.*made NaN or infinity.*: 3 values/.test(message), message);
});
