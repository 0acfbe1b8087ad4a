/**
 * The vocabulary in which a workload's equations are written once. The float64 reference and every peer implement it, each
 * in the way its own documentation calls the fastest; so all of them compute the same thing, and none of it is ours.
 *
 * Tensors are immutable; broadcasting is NumPy's; axes count from 0.
 * @module
 */

/** What follows a linear map. */
export type Activation = "none" | "gelu";

/** The operations, over a framework's own kind of tensor. */
export interface Ops<T> {
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
  relu(x: T): T;
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
}
