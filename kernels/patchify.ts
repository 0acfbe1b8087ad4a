/**
 * Patchify: an image becomes a sequence of square patches, and back.
 *
 * Math    y[b, i (W/p) + j, (c p + v) p + u] = x[b, c, i p + v, j p + u]
 *         Every value moves to one place: backward is the inverse permutation, exact, without a sum.
 * Shapes  x [B, C, H, W] with H and W divisible by p -> y [B, (H/p)(W/p), C p p], the values of a patch in the order
 *         (channel, row, column). So a convolution kernel of stride p, [D, C, p, p], is the weight of a linear layer
 *         on y as it lies in memory. All types of 4 bytes.
 * Work    Both ways are strided maps over six dimensions (strided_map.ts), one invocation for 4 neighbours or one.
 * Memory  Each value is read and written once. A row of a patch, p neighbours, is the innermost dimension: for p divisible
 *         by 4 loads and stores are vec4.
 * @module
 */
import type { Kernel } from "./kernel.ts";
import { stridedMap } from "./strided_map.ts";

/** Sizes of an image batch and of its patches. */
export interface PatchShape {
  /** Images. */
  readonly batch: number;
  /** Channels. */
  readonly channels: number;
  /** Rows of an image, divisible by `patch`. */
  readonly height: number;
  /** Columns of an image, divisible by `patch`. */
  readonly width: number;
  /** Side of a patch. */
  readonly patch: number;
}

/** y [B, (H/p)(W/p), C p p] = patches of a_in [B, C, H, W]. */
export function patchify(shape: PatchShape): Kernel {
  const { batch, channels: c, height: h, width: w, patch: p } = shape;
  // position in y: image, patch row, patch column, channel, row and column in the patch
  const dims = [batch, h / p, w / p, c, p, p];
  const strides = [c * h * w, p * w, p, h * w, w, 1];
  return {
    ...stridedMap("copy", dims, { a: { strides, size: batch * c * h * w } }),
    reference: ({ a_in: images }) => patchifyReference(shape, images),
  };
}

/** The inverse: y [B, C, H, W] from a_in [B, (H/p)(W/p), C p p]. */
export function unpatchify(shape: PatchShape): Kernel {
  const { batch, channels: c, height: h, width: w, patch: p } = shape;
  // position in y: image, channel, patch row, row in it, patch column, column in it
  const dims = [batch, c, h / p, p, w / p, p];
  const strides = [c * h * w, p * p, w * c * p, p, c * p * p, 1];
  return {
    ...stridedMap("copy", dims, { a: { strides, size: batch * c * h * w } }),
    reference: ({ a_in: patches }) => unpatchifyReference(shape, patches),
  };
}

/** The plain loop of `patchify`. */
export function patchifyReference(shape: PatchShape, x: ArrayLike<number>): { y: Float64Array } {
  const { batch, channels, height, width, patch } = shape;
  const y = new Float64Array(batch * channels * height * width);
  const columns = width / patch, inPatch = channels * patch * patch;
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < width; column++) {
          const token = Math.floor(row / patch) * columns + Math.floor(column / patch);
          const at = (c * patch + row % patch) * patch + column % patch;
          y[(b * (height / patch) * columns + token) * inPatch + at] =
            x[((b * channels + c) * height + row) * width + column];
        }
      }
    }
  }
  return { y };
}

/** The plain loop of `unpatchify`: every value goes back to where `patchify` took it from. */
export function unpatchifyReference(
  shape: PatchShape,
  patches: ArrayLike<number>,
): { y: Float64Array } {
  const from = patchifyReference(shape, Float64Array.from(patches, (_, i) => i)).y;
  const y = new Float64Array(patches.length);
  from.forEach((to, i) => y[to] = patches[i]);
  return { y };
}
