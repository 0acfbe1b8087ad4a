/**
 * RoIAlign on the finest level of MCGaze's pyramid: head, face and eyes of each frame of a clip.
 * @module
 */
import { roiAlign } from "../../mod.ts";
import { generator, type HostTensor, uniform } from "../host_tensor.ts";
import type { RoiOptions } from "../ops/ops.ts";
import { type ForwardWork, once, type Workload } from "../workload.ts";
import type { MapSize } from "./convolution.ts";
import { forwardRun } from "./ours.ts";

/** Boxes on one level, 4 pixels of the image to one of the map; 7 x 7 bins of 2 x 2 samples. */
export function roiAlignWorkload(
  [batch, height, width]: MapSize,
  channels: number,
  boxes: number,
): Workload {
  const options: RoiOptions = { strides: [4], bins: 7, samples: 2, finestScale: 56 };
  const bins = batch * boxes * options.bins ** 2;
  const work = once((): ForwardWork => ({
    kind: "forward",
    inputs: {
      x: { ...uniform([batch, height, width, channels], 1), role: "maps" },
      boxes: boxesWithin(batch, boxes, 4 * height, 4 * width),
    },
    weights: {},
    compute: (ops, { x, boxes }) => ({ y: ops.roiAlign([x], boxes, options) }),
  }));
  return {
    name: "RoIAlign",
    shape: `${batch}x${height}x${width}x${channels}, ${boxes} boxes an image`,
    // Four pixels a sample, each multiplied and added.
    flops: 2 * 4 * bins * options.samples ** 2 * channels,
    bytes: 4 * channels * (bins + batch * height * width),
    tolerance: 1e-4, // positions round to some millionths of a pixel
    work,
    wgrad: (device) =>
      forwardRun(device, work(), ({ x, boxes }) => ({
        y: roiAlign([x], boxes, {
          strides: options.strides,
          outputSize: options.bins,
          samplingRatio: options.samples,
          finestScale: options.finestScale,
        }),
      })),
  };
}

/** Boxes [batch, count, 4] of a tenth of the image to half of it, away from its edges. */
function boxesWithin(batch: number, count: number, height: number, width: number): HostTensor {
  const next = generator(7), data = new Float32Array(4 * batch * count);
  for (let i = 0; i < data.length; i += 4) {
    const w = width * (0.1 + 0.4 * next()), h = height * (0.1 + 0.4 * next());
    const x = width * 0.05 + (0.9 * width - w) * next(),
      y = height * 0.05 + (0.9 * height - h) * next();
    data.set([x, y, x + w, y + h], i);
  }
  return { shape: [batch, count, 4], data };
}

/** The authors' size. */
export const ROI_ALIGNS: readonly Workload[] = [roiAlignWorkload([7, 56, 56], 256, 3)];
