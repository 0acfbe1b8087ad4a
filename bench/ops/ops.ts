/**
 * The vocabulary in which a workload's equations are written once. The float64 reference and every peer implement it, each
 * in the way its own documentation calls the fastest; so all of them compute the same thing, and none of it is ours.
 *
 * Tensors are immutable; broadcasting is NumPy's; axes count from 0. Maps are [B, H, W, C], whatever the order is in which
 * a framework stores them.
 * @module
 */
import type { HostTensor } from "../host_tensor.ts";

/** What follows a linear map. */
export type Activation = "none" | "gelu";

/** Options of a convolution. */
export interface ConvOptions {
  readonly stride: number;
  /** Zeros around the image. */
  readonly padding: number;
  readonly relu?: boolean;
}

/** Options of RoIAlign. */
export interface RoiOptions {
  /** Pixels of the image to one of each map. */
  readonly strides: readonly number[];
  /** Rows and columns of bins. */
  readonly bins: number;
  /** Samples of a bin along an axis. */
  readonly samples: number;
  /** Boxes of this side in pixels, and of up to twice as much, are read from the first map. */
  readonly finestScale: number;
}

/** The operations, over a framework's own kind of tensor. */
export interface Ops<T> {
  /** Known values. */
  constant(values: HostTensor): T;
  shape(x: T): readonly number[];
  reshape(x: T, shape: readonly number[]): T;
  permute(x: T, axes: readonly number[]): T;
  slice(x: T, axis: number, begin: number, end: number): T;
  concat(parts: readonly T[], axis: number): T;
  broadcastTo(x: T, shape: readonly number[]): T;
  add(a: T, b: T): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T): T;
  div(a: T, b: T): T;
  /** x times a number. */
  scale(x: T, factor: number): T;
  /** x plus a number. */
  shift(x: T, term: number): T;
  sqrt(x: T): T;
  exp(x: T): T;
  relu(x: T): T;
  /** 1 where x is `least` or more, else 0. */
  atLeast(x: T, least: number): T;
  /** Exact: x times the normal distribution function of x. */
  gelu(x: T): T;
  /** Over one axis, which stays with size 1. */
  sum(x: T, axis: number): T;
  /** Over one axis, which stays with size 1. */
  max(x: T, axis: number): T;
  /** The same values; no gradient flows through it. */
  stopGradient(x: T): T;
  softmax(x: T, axis: number): T;
  logSoftmax(x: T, axis: number): T;
  /** Over the last axis: (x - mean) / sqrt(variance + eps) weight + bias. */
  layerNorm(x: T, weight: T, bias: T, eps: number): T;
  /** Batched product over the last two axes; leading axes are equal. */
  matmul(a: T, b: T, options?: { transposeA?: boolean; transposeB?: boolean }): T;
  /** f(x W^T + b) over the last axis; weight [out, in], bias [out]. */
  linear(x: T, weight: T, bias: T, activation?: Activation): T;
  /** The same for each of E groups: x [E, M, in], weight [E, out, in], bias [E, out]. */
  groupedLinear(x: T, weight: T, bias: T, activation?: Activation): T;
  /** softmax(q k^T / sqrt(d)) v for each head; qkv [B, N, 3 heads d] holds all of q, then k, then v; to [B, N, heads d]. */
  attention(qkv: T, heads: number): T;
  /** x / (|x| + eps) over the last axis. */
  l2Normalize(x: T, eps: number): T;
  /** Entmax with alpha 1.5 over the last axis (arXiv:1905.05702). */
  entmax15(x: T): T;
  /** Mean over the batch of -sum((1 - s) target + s / C) log softmax(logits)); logits and target [B, C]; a scalar. */
  crossEntropy(logits: T, target: T, smoothing: number): T;
  /** Images [B, C, H, W] to patches [B, (H/p)(W/p), C p p]. */
  patchify(images: T, patch: number): T;
  /** Maps to maps; a filter is a weight of that role, [O, C, KH, KW], bias [O]. */
  conv2d(x: T, filter: T, bias: T, options: ConvOptions): T;
  /** The maxima of 3 x 3 windows, every second row and column, one beyond the edges; of maps without negative values. */
  maxPool(x: T): T;
  /** Maps with every pixel repeated `factor` times along both axes. */
  stretch(x: T, factor: number): T;
  /**
   * RoIAlign (arXiv:1703.06870; aligned, as in mmcv): boxes [B, R, 4] as x1, y1, x2, y2 in pixels of the image to
   * [B, R, bins, bins, C], each from the map that suits its size: map floor(log2(sqrt(area) / finestScale + 1e-6)).
   */
  roiAlign(maps: readonly T[], boxes: T, options: RoiOptions): T;
}
