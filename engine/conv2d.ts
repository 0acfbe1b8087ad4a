/**
 * Convolutions for ops: chooses the kernels for the device and records their launches.
 * @module
 */
import {
  conv2d,
  conv2dChoice,
  conv2dInputBackward,
  conv2dInputChoice,
  conv2dWeightBackward,
  conv2dWeightChoice,
} from "../kernels/conv2d_select.ts";
import {
  type Conv2dEpilogue,
  conv2dOutput,
  type Conv2dShape,
  isPointwise,
} from "../kernels/conv2d_shape.ts";
import type { MatmulShape } from "../kernels/matmul_shape.ts";
import type { GradTarget } from "./autograd.ts";
import { run } from "./dispatch.ts";
import { matmulGradient, runMatmul } from "./matmul.ts";
import type { DType, Tensor } from "./tensor.ts";

/** Tensors of a convolution, by the kernels' binding names. */
export interface Conv2dTensors {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias?: Tensor;
  readonly residual?: Tensor;
  readonly y: Tensor;
  readonly pre?: Tensor;
}

/** A pointwise convolution as a product: pixels [m, k] times weight [n, k] transposed. */
function productOf(shape: Conv2dShape): MatmulShape {
  const { batch, height, width, channels, outChannels } = shape;
  return { batch: 1, m: batch * height * width, n: outChannels, k: channels, transposeB: true };
}

/** y = f(convolution + bias + residual), by whichever kernels suit the device. */
export function runConv2d(
  shape: Conv2dShape,
  epilogue: Conv2dEpilogue,
  tensors: Conv2dTensors,
): void {
  const { x: a, weight: b, ...others } = tensors;
  if (others.y.size === 0) return;
  if (isPointwise(shape)) return runMatmul(productOf(shape), epilogue, { a, b, ...others });
  const { device } = others.y;
  device.asks(() => conv2dChoice(shape, epilogue, device.target));
  run(conv2d(shape, epilogue, device.target), { ...tensors });
}

/** dx, a new tensor of a dtype. */
export function conv2dInputGradient(
  shape: Conv2dShape,
  dOut: Tensor,
  weight: Tensor,
  dtype: DType,
): Tensor {
  const { batch, height, width, channels } = shape;
  const { device } = dOut;
  const y = device.empty([batch, height, width, channels], dtype, "conv2d dx");
  if (y.size === 0) return y;
  if (!isPointwise(shape)) {
    device.asks(() => conv2dInputChoice(shape, device.target));
    run(conv2dInputBackward(shape, device.target), { dOut, weight, y });
    return y;
  }
  const { m, n: k, k: n } = productOf(shape);
  runMatmul({ batch: 1, m, n, k }, {}, { a: dOut, b: weight, y });
  return y;
}

/**
 * dw, written or added to a leaf's place, or in a new tensor of a dtype, which is returned.
 * @param into what `target()` gave in the op's backward
 */
export function conv2dWeightGradient(
  shape: Conv2dShape,
  { x, dOut }: { x: Tensor; dOut: Tensor },
  dtype: DType,
  into: GradTarget | undefined,
): Tensor | undefined {
  const { channels, outChannels, kernelHeight, kernelWidth } = shape;
  const weightShape = [outChannels, kernelHeight, kernelWidth, channels];
  if (isPointwise(shape)) {
    const { m: k, n: m, k: n } = productOf(shape);
    const product = { batch: 1, m, n, k, transposeA: true };
    return matmulGradient(product, { a: dOut, b: x }, weightShape, dtype, into);
  }
  const { device } = dOut;
  const y = into?.tensor ?? device.empty(weightShape, dtype, "conv2d dWeight");
  if (dOut.size === 0) { // no image
    if (!into?.accumulate) device.clear(y);
    return into ? undefined : y;
  }
  const accumulate = into?.accumulate ?? 0;
  device.asks(() => conv2dWeightChoice(shape, accumulate, device.target));
  const { product, sum } = conv2dWeightBackward(shape, accumulate, device.target);
  if (sum === undefined) run(product, { x, dOut, y });
  else {
    const partial = device.empty([product.sizes.y], "f32", "partial weight gradients");
    run(product, { x, dOut, y: partial });
    run(sum, { x: partial, y });
  }
  return into ? undefined : y;
}

/** The shape of a convolution's output: [batch, rows, columns, channels]. */
export function conv2dOutputShape(shape: Conv2dShape): number[] {
  const { outHeight, outWidth } = conv2dOutput(shape);
  return [shape.batch, outHeight, outWidth, shape.outChannels];
}
