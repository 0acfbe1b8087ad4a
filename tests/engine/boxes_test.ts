import {
  cxcywhToXyxy,
  decodeBoxes,
  DTypeError,
  ShapeError,
  xyxyToCxcywh,
} from "../../engine/mod.ts";
import { convertBoxesReference, decodeBoxesReference } from "../../kernels/boxes.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

/** Boxes of about 40 x 40 pixels. */
function corners(count: number): Float32Array {
  return testValues(4 * count, 3).map((v, i) => i % 4 < 2 ? 20 + 10 * v : 60 + 10 * v);
}

for (const shape of [[1, 4], [7, 3, 4], [130, 4]]) {
  const count = shape.slice(0, -1).reduce((a, b) => a * b);
  for (const clip of [undefined, { height: 61, width: 57 }]) {
    const where = clip ? "clamped to the image" : "anywhere";
    gpuTest(`decodeBoxes() of [${shape}], ${where}: both ways`, async (device) => {
      const stds = [0.5, 0.4, 1, 2] as const, whRatioClip = 0.2; // some sizes are clamped
      await checkGradients({
        device,
        inputs: { boxes: { shape, data: corners(count) }, deltas: { shape } },
        op: ({ boxes, deltas }) => decodeBoxes(boxes, deltas, { stds, whRatioClip, clip }),
        reference: ({ boxes, deltas }) =>
          decodeBoxesReference({ count, stds, maxRatio: -Math.log(0.2), clip }, { boxes, deltas })
            .y,
        step: 1e-5, // next to where something is clamped
      });
    });
  }
  gpuTest(`cxcywhToXyxy() and xyxyToCxcywh() of [${shape}]: both ways`, async (device) => {
    await checkGradients({
      device,
      inputs: { boxes: { shape } },
      op: ({ boxes }) => cxcywhToXyxy(boxes),
      reference: ({ boxes }) => convertBoxesReference(boxes, "xyxy").y,
    });
    await checkGradients({
      device,
      inputs: { boxes: { shape } },
      op: ({ boxes }) => xyxyToCxcywh(boxes),
      reference: ({ boxes }) => convertBoxesReference(boxes, "cxcywh").y,
    });
  });
}

gpuTest("decodeBoxes(): a side grows by 62.5 at most, and then has no gradient", async (device) => {
  const boxes = device.tensor(Float32Array.of(0, 0, 2, 4), [1, 4]);
  const deltas = device.tensor(Float32Array.of(0, 0, 9, -9), [1, 4], { requiresGrad: true });
  const y = decodeBoxes(boxes, deltas);
  assertClose(await y.data(), [1 - 62.5, 2 - 0.032, 1 + 62.5, 2 + 0.032], { atol: 1e-4 });
  y.backward(device.full([1, 4], 1));
  assertEquals([...await deltas.grad!.data()], [2, 4, 0, 0]);
});

gpuTest("boxes refuse what is none", (device) => {
  const boxes = device.zeros([3, 4]);
  assertThrows(() => decodeBoxes(boxes, device.zeros([4, 4])), ShapeError, "needs [3, 4]");
  assertThrows(() => decodeBoxes(device.zeros([4, 3]), boxes), ShapeError, "needs [..., 4]");
  assertThrows(() => decodeBoxes(boxes, boxes, { whRatioClip: 1 }), ShapeError, "whRatioClip is 1");
  assertThrows(() => cxcywhToXyxy(device.zeros([])), ShapeError, "needs [..., 4]");
  assertThrows(() => xyxyToCxcywh(device.zeros([2, 4], "i32")), DTypeError, "xyxyToCxcywh: boxes");
});
