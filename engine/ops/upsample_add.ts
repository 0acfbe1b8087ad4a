/**
 * The top-down step of a feature pyramid; maths and kernels in kernels/upsample_add.ts.
 * @module
 */
import {
  upsampleAdd as upsampleAddKernel,
  upsampleAddBackward,
  type UpsampleAddShape,
} from "../../kernels/upsample_add.ts";
import { record } from "../autograd.ts";
import { promoted } from "../cast.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, type Tensor } from "../tensor.ts";

/**
 * fine + coarse, where coarse is stretched to fine's rows and columns by repeating its nearest pixel:
 * fine [B, H, W, C], coarse [B, CH, CW, C] -> [B, H, W, C].
 *
 * Gradient: dfine = dy, dcoarse = the sum of dy over the pixels that it was repeated to.
 * @throws {ShapeError} when batch or channels differ, or coarse has no pixel
 */
export function upsampleAdd(coarse: Tensor, fine: Tensor): Tensor {
  expectFloat("upsampleAdd: coarse", coarse);
  expectFloat("upsampleAdd: fine", fine);
  const sizes = expectShape("upsampleAdd: fine", fine, ["B", "H", "W", "C"]);
  const [batch, height, width, channels] = sizes;
  const [, coarseHeight, coarseWidth] = expectShape("upsampleAdd: coarse", coarse, [
    batch,
    "CH",
    "CW",
    channels,
  ]);
  if (coarse.size === 0 && fine.size > 0) {
    throw new ShapeError(`upsampleAdd(): coarse = ${coarse.describe()} has no pixel to repeat`);
  }
  const shape: UpsampleAddShape = { batch, height, width, coarseHeight, coarseWidth, channels };
  const y = fine.device.empty(sizes, promoted(coarse, fine), "upsampleAdd");
  if (y.size > 0) run(upsampleAddKernel(shape), { coarse, fine, y });
  const coarseShape = coarse.shape, coarseType = coarse.dtype;
  record("upsampleAdd", {
    inputs: { coarse, fine },
    outputs: [y],
    saved: {},
    backward: ({ dOut, needs }) => {
      if (!needs("coarse")) return { fine: dOut };
      const dCoarse = dOut.device.empty(coarseShape, coarseType, "upsampleAdd dCoarse");
      if (dCoarse.size > 0) run(upsampleAddBackward(shape), { dOut, dCoarse });
      return { coarse: dCoarse, fine: dOut };
    },
  });
  return y;
}
