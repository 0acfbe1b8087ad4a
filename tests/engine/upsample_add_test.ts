import { DTypeError, ShapeError, upsampleAdd } from "../../engine/mod.ts";
import { upsampleAddReference } from "../../kernels/upsample_add.ts";
import { checkGradients } from "../gradcheck.ts";
import { assertEquals, assertThrows, gpuTest } from "../harness.ts";

/** Batch, fine rows and columns, coarse rows and columns, channels. */
const SHAPES = [[1, 1, 1, 1, 1, 1], [2, 7, 6, 4, 3, 3], [2, 14, 9, 7, 5, 8], [1, 3, 11, 5, 3, 4]];

for (const [batch, height, width, coarseHeight, coarseWidth, channels] of SHAPES) {
  const shape = { batch, height, width, coarseHeight, coarseWidth, channels };
  gpuTest(`upsampleAdd() of ${JSON.stringify(Object.values(shape))}: both ways`, async (device) => {
    await checkGradients({
      device,
      inputs: {
        coarse: { shape: [batch, coarseHeight, coarseWidth, channels] },
        fine: { shape: [batch, height, width, channels] },
      },
      op: ({ coarse, fine }) => upsampleAdd(coarse, fine),
      reference: ({ coarse, fine }) => upsampleAddReference(shape, coarse, fine).y,
    });
  });
}

gpuTest(
  "upsampleAdd() takes the pixels that PyTorch's nearest does at odd sizes",
  async (device) => {
    const coarse = device.tensor(Float32Array.of(0, 1, 2, 3), [1, 1, 4, 1]);
    const y = upsampleAdd(coarse, device.zeros([1, 1, 7, 1]));
    assertEquals([...await y.data()], [0, 0, 1, 1, 2, 2, 3]);
  },
);

gpuTest(
  "upsampleAdd() passes the gradient to the fine map alone where only it learns",
  async (device) => {
    const fine = device.zeros([1, 2, 2, 4]), coarse = device.zeros([1, 1, 1, 4]);
    fine.requiresGrad = true;
    upsampleAdd(coarse, fine).backward(device.full([1, 2, 2, 4], 3));
    assertEquals([...await fine.grad!.data()], Array(16).fill(3));
    assertEquals(coarse.grad, null);
  },
);

gpuTest("upsampleAdd() refuses maps that do not belong together", (device) => {
  const at = (...shape: number[]) => device.zeros(shape);
  assertThrows(
    () => upsampleAdd(at(1, 2, 2, 3), at(1, 4, 4, 4)),
    ShapeError,
    "needs [1, CH, CW, 4]",
  );
  assertThrows(() => upsampleAdd(at(2, 2, 2, 4), at(1, 4, 4, 4)), ShapeError, "coarse");
  assertThrows(() => upsampleAdd(at(1, 0, 2, 4), at(1, 4, 4, 4)), ShapeError, "has no pixel");
  assertThrows(
    () => upsampleAdd(at(1, 2, 2, 4), device.zeros([1, 4, 4, 4], "u32")),
    DTypeError,
    "fine",
  );
});
