/**
 * RoIAlign over a feature pyramid; maths and kernels in kernels/roi_align.ts.
 * @module
 */
import {
  MAX_ROI_LEVELS,
  roiAlign as roiAlignKernel,
  roiAlignBackward,
  type RoiAlignShape,
} from "../../kernels/roi_align.ts";
import { record } from "../autograd.ts";
import { promoted } from "../cast.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectDType, expectFloat, expectShape, type Tensor } from "../tensor.ts";

/** Options of `roiAlign`. */
export interface RoiAlignOptions {
  /** Pixels of the image to one of each map. */
  strides: readonly number[];
  /** Rows and columns of bins; default 7. */
  outputSize?: number;
  /** Samples of a bin along an axis; default 2. */
  samplingRatio?: number;
  /** Boxes of this side, in pixels, and of up to twice as much are read from the first map; default 56. */
  finestScale?: number;
}

/**
 * What a feature pyramid holds within boxes, each read from the level that suits its size.
 *
 * Gradient: with A and B the hat weights of a box's sampling rows and columns, whose mean bin is y = A map B^T:
 * dmaps = the sum over the boxes of A^T dy B, on the level each box is read from; none for boxes.
 * @param maps [B, H, W, C] each, finest first; 1 to 5
 * @param boxes [B, R, 4]: R boxes for each image as x1, y1, x2, y2 in pixels of the image; no gradient flows to them
 * @returns [B, R, outputSize, outputSize, C]
 * @throws {ShapeError} when maps, strides and boxes do not fit together
 */
export function roiAlign(
  maps: readonly Tensor[],
  boxes: Tensor,
  options: RoiAlignOptions,
): Tensor {
  const { strides, outputSize: bins = 7, samplingRatio: samples = 2, finestScale = 56 } = options;
  if (maps.length === 0 || maps.length > MAX_ROI_LEVELS || maps.length !== strides.length) {
    throw new ShapeError(
      `roiAlign(): ${maps.length} maps and ${strides.length} strides; needs 1 to ${MAX_ROI_LEVELS}, a stride each`,
    );
  }
  if (![bins, samples].every((n) => Number.isInteger(n) && n > 0)) {
    throw new ShapeError(
      `roiAlign(): outputSize is ${bins} and samplingRatio ${samples}; both must be integers above 0`,
    );
  }
  if (![finestScale, ...strides].every((n) => Number.isFinite(n) && n > 0)) {
    throw new ShapeError(
      `roiAlign(): strides [${strides.join(", ")}] and finestScale ${finestScale} must be above 0`,
    );
  }
  expectDType("roiAlign: boxes", boxes, "f32");
  const [batch, count] = expectShape("roiAlign: boxes", boxes, ["B", "R", 4]);
  const channels = maps[0].rank === 4 ? maps[0].shape[3] : "C";
  maps.forEach((map, l) => {
    expectFloat(`roiAlign: map ${l}`, map);
    expectShape(`roiAlign: map ${l}`, map, [batch, "H", "W", channels]);
    if (map.size === 0 && boxes.size > 0) {
      throw new ShapeError(`roiAlign: map ${l} = ${map.describe()} is empty`);
    }
  });
  const shape: RoiAlignShape = {
    batch,
    boxes: count,
    channels: maps[0].shape[3],
    levels: maps.map((map, l) => ({
      height: map.shape[1],
      width: map.shape[2],
      stride: strides[l],
    })),
    bins,
    samples,
    finestScale,
  };
  const named = Object.fromEntries(maps.map((map, l) => [`x${l}`, map]));
  const { device } = boxes, types = maps.map(({ dtype }) => dtype);
  const y = device.empty([batch, count, bins, bins, shape.channels], promoted(...maps), "roiAlign");
  if (y.size > 0) run(roiAlignKernel(shape), { rois: boxes, ...named, y });
  record("roiAlign", {
    inputs: named,
    outputs: [y],
    saved: { rois: boxes },
    backward: ({ saved: { rois }, dOut, needs }) => {
      const gradients: Record<string, Tensor> = {};
      shape.levels.forEach(({ height, width }, l) => {
        if (!needs(`x${l}`)) return;
        if (dOut.size === 0) {
          gradients[`x${l}`] = device.zeros([batch, height, width, shape.channels]);
          return;
        }
        const dx = device.empty([batch, height, width, shape.channels], types[l], "roiAlign dx");
        run(roiAlignBackward(shape, l), { rois, dOut, dx });
        gradients[`x${l}`] = dx;
      });
      return gradients;
    },
  });
  return y;
}
