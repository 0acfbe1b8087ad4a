import { DTypeError, l2Normalize, ShapeError } from "../../engine/mod.ts";
import { l2NormalizeReference } from "../../kernels/l2_normalize.ts";
import { checkGradients } from "../gradcheck.ts";
import { assert, assertEquals, assertThrows, gpuTest } from "../harness.ts";

gpuTest("l2Normalize() and its gradient agree with the plain loop", async (device) => {
  for (const shape of [[3], [5, 7], [2, 3, 8]]) {
    const n = shape[shape.length - 1], rows = shape.reduce((a, b) => a * b, 1) / n;
    for (const eps of [1e-6, 0.5]) {
      await checkGradients({
        device,
        inputs: { x: { shape } },
        op: ({ x }) => l2Normalize(x, eps),
        reference: ({ x }) => l2NormalizeReference({ rows, n, eps }, x).y,
      });
    }
  }
});

gpuTest("l2Normalize() has a finite gradient at a zero row", async (device) => {
  const x = device.tensor(new Float32Array(8), [2, 4], { requiresGrad: true });
  const y = l2Normalize(x);
  y.backward(device.full([2, 4], 1e-6));
  assertEquals(await y.data(), new Float32Array(8));
  const dx = await x.grad!.data();
  assert(dx.every((v) => Math.abs(v - 1) < 1e-6), `${dx}`);
});

gpuTest("l2Normalize() takes empty batches and refuses wrong shapes and dtypes", async (device) => {
  assertEquals((await l2Normalize(device.zeros([0, 3])).data()).length, 0);
  assertThrows(() => l2Normalize(device.zeros([])), ShapeError, "l2Normalize()");
  assertThrows(() => l2Normalize(device.zeros([2, 0])), ShapeError, "last axis");
  assertThrows(() => l2Normalize(device.zeros([2], "i32")), DTypeError, "l2Normalize: x");
});
