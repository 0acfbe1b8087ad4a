import { DTypeError, maxPool2d, ShapeError } from "../../engine/mod.ts";
import { maxPoolReference } from "../../kernels/max_pool.ts";
import { checkGradients } from "../gradcheck.ts";
import { assertEquals, assertThrows, gpuTest } from "../harness.ts";

/** [B, H, W, C], kernel, stride, padding. */
const SHAPES = [
  [[1, 1, 1, 1], 1, 1, 0],
  [[2, 7, 9, 3], 3, 2, 1],
  [[2, 8, 6, 8], 3, 2, 1],
  [[1, 5, 7, 4], 2, 3, 1],
  [[1, 6, 5, 5], 4, 1, 2],
] as const;

for (const [sizes, kernel, stride, padding] of SHAPES) {
  gpuTest(`maxPool2d() of [${sizes}] by ${kernel}, stride ${stride}: both ways`, async (device) => {
    const [batch, height, width, channels] = sizes;
    const shape = { batch, height, width, channels, kernel, stride, padding };
    await checkGradients({
      device,
      inputs: { x: { shape: sizes } },
      op: ({ x }) => maxPool2d(x, { kernel, stride, padding }),
      reference: ({ x }) => maxPoolReference(shape, x).y,
      step: 1e-5, // next to where another pixel becomes the maximum
    });
  });
}

gpuTest("maxPool2d(): of equal pixels the first gets the gradient, row by row", async (device) => {
  for (const channels of [1, 4]) {
    const x = device.full([1, 3, 4, channels], 2);
    x.requiresGrad = true;
    maxPool2d(x, { kernel: 3, stride: 2, padding: 1 }).backward(
      device.full([1, 2, 2, channels], 1),
    );
    const got = (await x.grad!.data()).filter((_, i) => i % channels === channels - 1);
    // windows begin at rows -1 and 1, columns -1 and 1: their first pixels are (0, 0), (0, 1), (1, 0) and (1, 1)
    assertEquals([...got], [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]);
  }
});

gpuTest(
  "maxPool2d(): pixels below zero win over the padding, and batches may be empty",
  async (device) => {
    const y = maxPool2d(device.full([1, 2, 2, 4], -3), { kernel: 3, padding: 1 });
    assertEquals([...await y.data()], [-3, -3, -3, -3]);
    const x = device.zeros([0, 4, 4, 4]);
    x.requiresGrad = true;
    const empty = maxPool2d(x, { kernel: 2 });
    assertEquals([...empty.shape], [0, 2, 2, 4]);
    empty.backward(device.zeros([0, 2, 2, 4]));
  },
);

gpuTest("maxPool2d() refuses what does not fit", (device) => {
  const x = device.zeros([1, 4, 4, 4]);
  assertThrows(
    () => maxPool2d(x, { kernel: 3, padding: 2 }),
    ShapeError,
    "at most half the kernel",
  );
  assertThrows(() => maxPool2d(x, { kernel: 0 }), ShapeError, "kernel 0");
  assertThrows(() => maxPool2d(x, { kernel: 5 }), ShapeError, "does not fit into images of 4 x 4");
  assertThrows(() => maxPool2d(device.zeros([4, 4, 4]), { kernel: 2 }), ShapeError, "[B, H, W, C]");
  assertThrows(
    () => maxPool2d(device.zeros([1, 4, 4, 4], "i32"), { kernel: 2 }),
    DTypeError,
    "i32",
  );
});
