/**
 * Patchify: images to sequences of patches. Forward and backward are permutations, one dispatch each
 * (kernels/patchify.ts).
 * @module
 */
import { patchify as patchifyKernel, unpatchify } from "../../kernels/patchify.ts";
import { record } from "../autograd.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, type Tensor } from "../tensor.ts";

/**
 * Cuts images [B, C, H, W] into patches of `patch` x `patch` pixels: [B, (H/p)(W/p), C p p], patches row by row, the
 * values of each in the order (channel, row, column). With a convolution weight [D, C, p, p] viewed as [D, C p p],
 * `linear` of the result is that convolution with stride p.
 *
 * Gradient: dimages = dy put back to where the pixels came from.
 * @throws {ShapeError} when the images are not divisible into such patches
 */
export function patchify(images: Tensor, patch: number): Tensor {
  expectFloat("patchify: images", images);
  const [batch, channels, height, width] = expectShape("patchify: images", images, [
    "B",
    "C",
    "H",
    "W",
  ]);
  if (!Number.isInteger(patch) || patch < 1 || height % patch !== 0 || width % patch !== 0) {
    throw new ShapeError(
      `patchify(): images of ${height} x ${width} pixels are not divisible into patches of ${patch} x ${patch}`,
    );
  }
  const shape = { batch, channels, height, width, patch };
  const tokens = (height / patch) * (width / patch);
  const y = images.device.empty(
    [batch, tokens, channels * patch * patch],
    images.dtype,
    "patchify",
  );
  if (y.size > 0) run(patchifyKernel(shape), { a_in: images, y });
  record("patchify", {
    inputs: { images },
    outputs: [y],
    saved: {},
    backward: ({ dOut }) => {
      const dImages = dOut.device.empty(
        [batch, channels, height, width],
        dOut.dtype,
        "patchify.backward",
      );
      if (dOut.size > 0) run(unpatchify(shape), { a_in: dOut, y: dImages });
      return { images: dImages };
    },
  });
  return y;
}
