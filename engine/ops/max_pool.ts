/**
 * Max pooling; maths and kernels in kernels/max_pool.ts.
 * @module
 */
import {
  maxPool,
  maxPoolBackward,
  maxPoolOutput,
  type MaxPoolShape,
} from "../../kernels/max_pool.ts";
import { record } from "../autograd.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, type Tensor } from "../tensor.ts";

/** Options of `maxPool2d`. */
export interface MaxPool2dOptions {
  /** Rows and columns of a window. */
  kernel: number;
  /** Pixels from one window to the next; default the window's size. */
  stride?: number;
  /** How far windows reach over the edges, at most half their size; default 0. */
  padding?: number;
}

/**
 * The maximum of each window, of each channel: x [B, H, W, C] -> [B, OH, OW, C] with
 * OH = floor((H + 2 padding - kernel) / stride) + 1, OW likewise. Of equal maxima the first gets the gradient.
 *
 * Gradient: dx = the sum of dy over the windows of which x is the first maximum.
 * @throws {ShapeError} when a window does not fit, or could lie outside
 */
export function maxPool2d(x: Tensor, options: MaxPool2dOptions): Tensor {
  const { kernel, stride = kernel, padding = 0 } = options;
  expectFloat("maxPool2d: x", x);
  const [batch, height, width, channels] = expectShape("maxPool2d: x", x, ["B", "H", "W", "C"]);
  const whole = [kernel, stride, padding].every(Number.isInteger);
  if (!whole || kernel < 1 || stride < 1 || padding < 0 || 2 * padding > kernel) {
    throw new ShapeError(
      `maxPool2d(): kernel ${kernel}, stride ${stride} and padding ${padding} must be integers, the first two ` +
        "of 1 or more, the padding of 0 or more and at most half the kernel",
    );
  }
  const shape: MaxPoolShape = { batch, height, width, channels, kernel, stride, padding };
  const { outHeight, outWidth } = maxPoolOutput(shape);
  if (outHeight < 1 || outWidth < 1) {
    throw new ShapeError(
      `maxPool2d(): a window of ${kernel} x ${kernel} does not fit into images of ${height} x ${width} pixels ` +
        `with padding ${padding}`,
    );
  }
  const y = x.device.empty([batch, outHeight, outWidth, channels], x.dtype, "maxPool2d");
  if (y.size > 0) run(maxPool(shape), { x, y });
  record("maxPool2d", {
    inputs: { x },
    outputs: [y],
    saved: { x, y },
    backward: ({ saved, dOut }) => {
      const dx = dOut.device.empty(saved.x.shape, saved.x.dtype, "maxPool2d dx");
      if (dx.size > 0) run(maxPoolBackward(shape), { ...saved, dOut, dx });
      return { x: dx };
    },
  });
  return y;
}
