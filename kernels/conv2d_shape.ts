/**
 * What every convolution kernel shares: sizes, and what a call moves and computes.
 *
 * Maps are channels last, [batch, height, width, channels], and weights [out, kernelHeight, kernelWidth, in]: whatever a
 * kernel multiplies with one pixel then lies side by side in memory, four numbers to a vec4.
 * @module
 */
import { epilogueConfig, epilogueCost, type MatmulEpilogue } from "./matmul_shape.ts";

/** Sizes of a convolution. */
export interface Conv2dShape {
  /** Number of images. */
  readonly batch: number;
  /** Rows of the input. */
  readonly height: number;
  /** Columns of the input. */
  readonly width: number;
  /** Channels of the input. */
  readonly channels: number;
  /** Channels of the output. */
  readonly outChannels: number;
  /** Rows of the kernel. */
  readonly kernelHeight: number;
  /** Columns of the kernel. */
  readonly kernelWidth: number;
  /** Pixels of the input from one output pixel to the next, along both axes. */
  readonly stride: number;
  /** Rows and columns of zeros around the input, on each side. */
  readonly padding: number;
}

/** What happens to a finished sum; as in a product, a bias is one row for all pixels. */
export type Conv2dEpilogue = Omit<MatmulEpilogue, "bias"> & {
  /** Adds a bias of [outChannels]. */
  readonly bias?: "none" | "shared";
};

/** Rows and columns of the output; 0 or less where the kernel does not fit into the padded input. */
export function conv2dOutput(shape: Conv2dShape): { outHeight: number; outWidth: number } {
  const { height, width, kernelHeight, kernelWidth, stride, padding } = shape;
  return {
    outHeight: Math.floor((height + 2 * padding - kernelHeight) / stride) + 1,
    outWidth: Math.floor((width + 2 * padding - kernelWidth) / stride) + 1,
  };
}

/** True when the convolution is a product of every pixel with one matrix. */
export function isPointwise({ kernelHeight, kernelWidth, stride, padding }: Conv2dShape): boolean {
  return kernelHeight === 1 && kernelWidth === 1 && stride === 1 && padding === 0;
}

/** Elements of the three arrays. */
export function conv2dSizes(shape: Conv2dShape): { x: number; weight: number; y: number } {
  const { batch, height, width, channels, outChannels, kernelHeight, kernelWidth } = shape;
  const { outHeight, outWidth } = conv2dOutput(shape);
  return {
    x: batch * height * width * channels,
    weight: outChannels * kernelHeight * kernelWidth * channels,
    y: batch * outHeight * outWidth * outChannels,
  };
}

/** Operations of the forward pass or of either gradient, padding counted as if it were there. */
export function conv2dFlops(shape: Conv2dShape): number {
  const { kernelHeight, kernelWidth, channels } = shape;
  return 2 * conv2dSizes(shape).y * kernelHeight * kernelWidth * channels;
}

/** Sizes of the bindings, operations and bytes of a forward pass: equal for every variant. */
export function conv2dCost(
  shape: Conv2dShape,
  epilogue: Conv2dEpilogue,
): { sizes: Record<string, number>; flops: number; bytes: number } {
  const { x, weight, y } = conv2dSizes(shape);
  const { flops, bytes } = epilogueCost(y, epilogue);
  const bias = epilogueConfig(epilogue).bias ? shape.outChannels : 0;
  return {
    sizes: { x, weight, bias: shape.outChannels, residual: y, y, pre: y },
    flops: conv2dFlops(shape) + flops,
    bytes: 4 * (x + weight + bias) + bytes,
  };
}

/** Sizes of the bindings, operations and bytes of the input gradient, whose result is `y`. */
export function conv2dInputCost(
  shape: Conv2dShape,
): { sizes: Record<string, number>; flops: number; bytes: number } {
  const { x, weight, y } = conv2dSizes(shape);
  return {
    sizes: { dOut: y, weight, y: x },
    flops: conv2dFlops(shape),
    bytes: 4 * (x + weight + y),
  };
}

/** Sizes of the bindings, operations and bytes of the weight gradient, whose result is `y`. */
export function conv2dWeightCost(
  shape: Conv2dShape,
  accumulate: 0 | 1,
): { sizes: Record<string, number>; flops: number; bytes: number } {
  const { x, weight, y } = conv2dSizes(shape);
  return {
    sizes: { x, dOut: y, y: weight },
    flops: conv2dFlops(shape) + accumulate * weight,
    bytes: 4 * (x + y + weight * (1 + accumulate)),
  };
}
