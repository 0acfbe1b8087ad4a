/**
 * A convolution and its input gradient are one gather; here is what says which pixels a pixel gathers from.
 *
 * Both compute a map from another one, the source, and for each pixel sum over taps t and source channels k:
 *     result[P] = sum over t, k of source[S(P, t)][k] w[t][k]
 *     forward         row of S = s (row of P) + t - p                                    t = 0, 1, ..., K - 1
 *     input gradient  row of S = (row of P + p - t) / s, where that is a whole number
 * In the gradient, pixels whose rows are equal modulo the stride s meet the same taps: with row of P = s Q + f, these are
 * t = t0 + s j with t0 = (f + p) mod s, and row of S = Q + floor((f + p) / s) - j. So a map falls into s x s classes of
 * pixels, each a map of its own with steps of one source pixel: no tap is tried in vain and no zero multiplied. With
 *     step       classes along an axis: 1 forward, s in the gradient
 *     stride     source pixels from a pixel of a class to the next one: s forward, 1 in the gradient
 *     direction  1 forward, -1 in the gradient (as u32, which wraps)
 * both are one formula for tap j of a class, along each axis:
 *     row of P = step Q + f,  row of S = stride Q + direction (j - floor((f + p) / step)),  t = (f + p) mod step + step j
 * What remains different is the weight: forward its k runs along memory, in the gradient (k is then o) across.
 *
 * The classes are the slowest index of a grid and share a launch: of a 3 x 3 kernel with stride 2 they have 4, 2, 2 and 1
 * taps; of a 1 x 1 kernel three have none, and are written as zeros.
 * @module
 */
import { conv2dOutput, type Conv2dShape } from "./conv2d_shape.ts";
import { wgsl } from "./wgsl.ts";

/** Which of the two is computed. */
export type Gathered = "forward" | "input_backward";

/** Fields of the uniform that `GATHER_FUNCTIONS` and its users need. */
export const GATHER_PARAMS = {
  batch: "u32",
  height: "u32", // of the result
  width: "u32",
  n: "u32", // channels of the result
  source_height: "u32",
  source_width: "u32",
  k: "u32", // channels of the source
  kernel_height: "u32",
  kernel_width: "u32",
  padding: "u32",
  step: "u32",
  stride: "u32",
  direction: "u32",
} as const;

/** The values of those fields. */
export function gatherParams(
  shape: Conv2dShape,
  gathered: Gathered,
): Record<keyof typeof GATHER_PARAMS, number> {
  const { batch, height, width, channels, outChannels, stride, padding } = shape;
  const { outHeight, outWidth } = conv2dOutput(shape);
  const forward = gathered === "forward";
  return {
    batch,
    height: forward ? outHeight : height,
    width: forward ? outWidth : width,
    n: forward ? outChannels : channels,
    source_height: forward ? height : outHeight,
    source_width: forward ? width : outWidth,
    k: forward ? channels : outChannels,
    kernel_height: shape.kernelHeight,
    kernel_width: shape.kernelWidth,
    padding,
    step: forward ? 1 : stride,
    stride: forward ? stride : 1,
    direction: forward ? 1 : 0xffffffff,
  };
}

/** Pixels of the largest and of the smallest class, and how many classes there are. */
export function gatherClasses(
  shape: Conv2dShape,
  gathered: Gathered,
): { most: number; fewest: number; classes: number } {
  const { batch, height, width, step } = gatherParams(shape, gathered);
  return {
    most: batch * Math.ceil(height / step) * Math.ceil(width / step),
    fewest: batch * Math.floor(height / step) * Math.floor(width / step),
    classes: step ** 2,
  };
}

/** WGSL: one axis of a class, where a pixel of a class looks, and where it lies in the result. */
export const GATHER_FUNCTIONS: string = wgsl`
// One axis of a class of pixels.
struct Axis {
  first: u32, // f, the row (column) of the class's first pixel in the result
  count: u32, // how many rows it has
  taps: u32,
  tap: u32,   // the first tap of the kernel; the others follow at steps of params.step
  lead: u32,  // floor((f + p) / step)
}
fn axis_of(first: u32, size: u32, kernel: u32) -> Axis {
  let shifted = first + params.padding;
  let tap = shifted % params.step;
  let last = params.step - 1u;
  return Axis(
    first,
    (size + last - first) / params.step,
    (kernel + last - tap) / params.step,
    tap,
    shifted / params.step,
  );
}
// Image, row and column of pixel i of a class.
fn place_of(i: u32, rows: Axis, columns: Axis) -> vec3u {
  return vec3u(i / columns.count / rows.count, i / columns.count % rows.count, i % columns.count);
}
// Row or column of the source at tap 0; below 0 it wraps to above every size.
fn source_of(q: u32, axis: Axis) -> u32 {
  return q * params.stride - params.direction * axis.lead;
}
// The number of the result's pixel.
fn result_of(at: vec3u, rows: Axis, columns: Axis) -> u32 {
  return (at.x * params.height + rows.first + params.step * at.y) * params.width +
    columns.first + params.step * at.z;
}
// The kernel's tap, counted row by row.
fn tap_of(down: u32, right: u32, rows: Axis, columns: Axis) -> u32 {
  return (rows.tap + params.step * down) * params.kernel_width + columns.tap + params.step * right;
}`;
