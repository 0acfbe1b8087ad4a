import { DTypeError, ShapeError } from "../../engine/mod.ts";
import { patchify } from "../../engine/ops/patchify.ts";
import { patchifyReference } from "../../kernels/patchify.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assertEquals, assertThrows, gpuTest } from "../harness.ts";

const SHAPES = [
  { batch: 1, channels: 1, height: 1, width: 1, patch: 1 },
  { batch: 2, channels: 3, height: 8, width: 12, patch: 4 },
  { batch: 2, channels: 3, height: 9, width: 6, patch: 3 },
  { batch: 1, channels: 1, height: 28, width: 28, patch: 4 },
  { batch: 1, channels: 3, height: 5, width: 5, patch: 5 },
  { batch: 3, channels: 2, height: 7, width: 3, patch: 1 },
  { batch: 1, channels: 3, height: 32, width: 16, patch: 16 },
];

for (const shape of SHAPES) {
  const { batch, channels, height, width, patch } = shape;
  gpuTest(
    `patchify() of [${batch}, ${channels}, ${height}, ${width}] by ${patch} equals a loop, both ways`,
    async (device) => {
      await checkGradients({
        device,
        inputs: { images: { shape: [batch, channels, height, width] } },
        op: ({ images }) => patchify(images, patch),
        reference: ({ images }) => patchifyReference(shape, images).y,
        atol: 1e-9, // the differences' own rounding; the values are only moved
        rtol: 0,
      });
    },
  );
}

gpuTest("patchify() and its backward undo each other bit for bit", async (device) => {
  const shape = [70, 3, 224, 224]; // more than 65,535 workgroups
  const values = testValues(shape.reduce((a, b) => a * b));
  const images = device.tensor(values, shape, { requiresGrad: true });
  const patches = patchify(images, 14);
  assertEquals(patches.shape, [70, 256, 588]);
  patches.backward(patches.detach());
  const back = await images.grad!.data();
  assertEquals(back.findIndex((v, i) => v !== values[i]), -1);
});

gpuTest("patchify() refuses images that its patches do not fill", (device) => {
  const images = device.zeros([1, 3, 8, 10]);
  assertThrows(() => patchify(images, 4), ShapeError, "8 x 10 pixels");
  assertThrows(() => patchify(images, 0), ShapeError, "patches of 0 x 0");
  assertThrows(() => patchify(device.zeros([3, 8, 8]), 4), ShapeError, "needs [B, C, H, W]");
  assertThrows(() => patchify(device.zeros([1, 3, 8, 8], "u32"), 4), DTypeError, "images is u32");
});
