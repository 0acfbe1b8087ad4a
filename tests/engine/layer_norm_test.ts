import { DTypeError, layerNorm, ShapeError } from "../../engine/mod.ts";
import { layerNormReference } from "../../kernels/layer_norm.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

gpuTest("layerNorm() and its gradients agree with the plain loop", async (device) => {
  for (const [shape, eps] of [[[3, 5], 1e-5], [[2, 7, 12], 1e-6], [[130, 6], 1e-5]] as const) {
    const n = shape[shape.length - 1];
    const rows = shape.reduce((a, b) => a * b, 1) / n;
    await checkGradients({
      device,
      inputs: { x: { shape }, weight: { shape: [n] }, bias: { shape: [n] } },
      op: ({ x, weight, bias }) => layerNorm(x, weight, bias, eps),
      reference: ({ x, weight, bias }) => layerNormReference({ rows, n, eps }, x, weight, bias).y,
    });
  }
});

gpuTest("layerNorm() works without weight, without bias and without both", async (device) => {
  const shape = [9, 10], sizes = { rows: 9, n: 10, eps: 1e-5 };
  await checkGradients({
    device,
    inputs: { x: { shape } },
    op: ({ x }) => layerNorm(x),
    reference: ({ x }) => layerNormReference(sizes, x).y,
  });
  await checkGradients({
    device,
    inputs: { x: { shape }, weight: { shape: [10] } },
    op: ({ x, weight }) => layerNorm(x, weight),
    reference: ({ x, weight }) => layerNormReference(sizes, x, weight).y,
  });
  await checkGradients({
    device,
    inputs: { x: { shape }, bias: { shape: [10] } },
    op: ({ x, bias }) => layerNorm(x, undefined, bias),
    reference: ({ x, bias }) => layerNormReference(sizes, x, undefined, bias).y,
  });
});

gpuTest("layerNorm() adds to gradients that are there", async (device) => {
  const weight = device.tensor(testValues(6), [6], { requiresGrad: true });
  const bias = device.tensor(testValues(6, 2), [6], { requiresGrad: true });
  const x = device.tensor(testValues(600), [100, 6]);
  const once = await device.step(() => {
    layerNorm(x, weight, bias).backward(device.full([100, 6], 1));
    return [weight.grad!.data(), bias.grad!.data()];
  });
  const first = await Promise.all(once);
  const twice = await device.step(() => {
    layerNorm(x, weight, bias).backward(device.full([100, 6], 1));
    return [weight.grad!.data(), bias.grad!.data()];
  });
  const second = await Promise.all(twice);
  first.forEach((values, k) => {
    assertClose(second[k], Float64Array.from(values, (v) => 2 * v), { atol: 1e-4 });
  });
});

gpuTest("layerNorm() of constant rows is finite, and empty batches are allowed", async (device) => {
  const y = await layerNorm(device.full([3, 8], 7.5)).data();
  assert(y.every((v) => v === 0), `${y}`);
  const weight = device.tensor(testValues(4), [4], { requiresGrad: true });
  const empty = layerNorm(device.zeros([0, 4]), weight);
  empty.backward(device.zeros([0, 4]));
  assertEquals(await weight.grad!.data(), new Float32Array(4));
});

gpuTest("layerNorm() refuses wrong shapes and dtypes", (device) => {
  const x = device.zeros([2, 3]);
  assertThrows(() => layerNorm(x, device.zeros([2])), ShapeError, "layerNorm: weight");
  assertThrows(() => layerNorm(x, undefined, device.zeros([3, 1])), ShapeError, "layerNorm: bias");
  assertThrows(() => layerNorm(device.zeros([])), ShapeError, "layerNorm()");
  assertThrows(() => layerNorm(device.zeros([2, 0])), ShapeError, "last axis");
  assertThrows(() => layerNorm(device.zeros([2, 3], "u32")), DTypeError, "layerNorm: x");
});
