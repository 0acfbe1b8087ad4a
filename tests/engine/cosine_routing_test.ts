import { cosineScores, DTypeError, ShapeError, sphereQueries } from "../../engine/mod.ts";
import { cosineScoresReference } from "../../kernels/cosine_routing.ts";
import { l2NormalizeReference } from "../../kernels/l2_normalize.ts";
import { layerNormReference } from "../../kernels/layer_norm.ts";
import { dotsReference } from "../../kernels/soft_merge.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assert, assertEquals, assertThrows, gpuTest } from "../harness.ts";

gpuTest("sphereQueries() and its gradients agree with the plain loops", async (device) => {
  const sizes = { rows: 10, n: 12, eps: 1e-5 };
  await checkGradients({
    device,
    inputs: { phi: { shape: [5, 2, 12] }, weight: { shape: [12] }, bias: { shape: [12] } },
    op: ({ phi, weight, bias }) => sphereQueries(phi, weight, bias),
    reference: ({ phi, weight, bias }) => {
      const { y } = layerNormReference(sizes, phi, weight, bias);
      return l2NormalizeReference({ ...sizes, eps: 1e-6 }, y).y;
    },
  });
  await checkGradients({
    device,
    inputs: { phi: { shape: [10, 12] } },
    op: ({ phi }) => sphereQueries(phi),
    reference: ({ phi }) => l2NormalizeReference({ ...sizes, eps: 1e-6 }, phi).y,
  });
});

gpuTest("cosineScores() and its gradients agree with the plain loop", async (device) => {
  for (const [batch, tokens, slots, dim] of [[2, 7, 5, 16], [1, 3, 4, 5], [3, 130, 9, 8]]) {
    await checkGradients({
      device,
      inputs: { x: { shape: [batch, tokens, dim] }, queries: { shape: [slots, dim] } },
      op: ({ x, queries }) => cosineScores(x, queries),
      reference: ({ x, queries }) =>
        cosineScoresReference({ tokens: batch * tokens, slots, dim }, 1e-6, x, queries).scores,
    });
  }
});

gpuTest("cosineScores() without normalised keys is a matrix product", async (device) => {
  const shape = { batch: 1, tokens: 14, slots: 6, perExpert: 6, dim: 8 };
  await checkGradients({
    device,
    inputs: { x: { shape: [2, 7, 8] }, queries: { shape: [3, 2, 8] } },
    op: ({ x, queries }) => cosineScores(x, queries, { normalizeKeys: false }),
    reference: ({ x, queries }) => dotsReference(shape, x, queries).g,
  });
});

gpuTest("cosineScores() of a zero token is zero and has a finite gradient", async (device) => {
  const x = device.tensor(new Float32Array(8), [1, 2, 4], { requiresGrad: true });
  const queries = device.tensor(testValues(12), [3, 4], { requiresGrad: true });
  const c = cosineScores(x, queries);
  c.backward(device.full([1, 2, 3], 1));
  assertEquals(await c.data(), new Float32Array(6));
  assert((await x.grad!.data()).every(Number.isFinite));
  assertEquals(await queries.grad!.data(), new Float32Array(12));
});

gpuTest("cosineScores() computes only the gradients that are asked for", async (device) => {
  const x = device.tensor(testValues(24), [1, 6, 4]);
  const queries = device.tensor(testValues(12), [3, 4], { requiresGrad: true });
  cosineScores(x, queries).backward(device.full([1, 6, 3], 1));
  assertEquals(x.grad, null);
  assert((await queries.grad!.data()).some((v) => v !== 0));
});

gpuTest("cosineScores() refuses wrong shapes and dtypes", (device) => {
  const x = device.zeros([2, 3, 4]);
  assertThrows(() => cosineScores(device.zeros([3, 4]), x), ShapeError, "cosineScores: x");
  assertThrows(() => cosineScores(x, device.zeros([5, 3])), ShapeError, "needs [S, 4]");
  assertThrows(() => cosineScores(x, device.zeros([4])), ShapeError, "cosineScores: queries");
  assertThrows(() => cosineScores(x, device.zeros([0, 4])), ShapeError, "must not be empty");
  assertThrows(
    () => cosineScores(x, device.zeros([5, 4], "i32")),
    DTypeError,
    "cosineScores: queries",
  );
});
