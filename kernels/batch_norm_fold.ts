/**
 * Frozen batch norm folded into the convolution before it, forward and backward.
 *
 * Math    With fixed statistics m (mean) and v (variance) a batch norm is a scale and a shift of each channel o,
 *           y = s (x * w - m) + beta,   s = gamma r,   r = 1 / sqrt(v + eps)
 *         and so part of the convolution: y = x * w' + b' with  w'[o] = s[o] w[o],  b'[o] = beta[o] - s[o] m[o].
 *         gamma and beta may still learn; with the gradients dw' and db' of the folded ones,
 *           dw[o] = s dw'[o],   ds = <dw'[o], w[o]> - m db',   dgamma = r ds,   dbeta = db'
 *         <dw', w> stands for the sum over all pixels of dy times the convolution's output before the norm: the fold
 *         needs no activation for its gradient, and none has to be kept.
 * Shapes  weight and its gradients [O, K], K = KH KW C; all others [O].
 * Work    forward  One invocation four numbers of a row (or one, where K is no multiple of 4): coalesced. The first of a
 *                  row also makes b'.
 *         backward One invocation a row, or a workgroup of 64 a row whose parts are added in a tree, for GPUs, where a row
 *                  per invocation would stride.
 * Memory  8 bytes a weight forward, 12 backward, little beside the convolution: ResNet-50 has 23 million weights, each
 *         multiplied with 49 to 12,544 pixels of an image.
 * @module
 */
import {
  ceilDiv,
  defineProgram,
  foldWorkgroups,
  type Kernel,
  memoize,
  type Values,
} from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, workgroupSum } from "./snippets.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes of a fold. */
export interface BatchNormFoldShape {
  /** Output channels of the convolution. */
  readonly rows: number;
  /** Weights of each. */
  readonly n: number;
  /** Added to the variance. */
  readonly eps: number;
}

const SIZE = 64;
const STATISTICS = { gamma: "read f32", mean: "read f32", variance: "read f32" } as const;

const forward = memoize(({ vectors }: { vectors: boolean }) => {
  const type = vectors ? "vec4<f32>" as const : "f32" as const;
  return defineProgram({
    name: "batch_norm_fold",
    variant: vectors ? "vec4" : "readable",
    params: { count: "u32", n: "u32", eps: "f32" },
    bindings: {
      weight: `read ${type}`,
      ...STATISTICS,
      beta: "read f32",
      y: `write ${type}`,
      bias: "write f32",
    },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let o = own / params.n;
  let s = gamma[o] / sqrt(variance[o] + params.eps);
  y[own] = s * weight[own];
  if (own % params.n == 0u) { bias[o] = beta[o] - s * mean[o]; }
}`,
  });
});

interface BackwardConfig {
  readonly vectors: boolean;
  readonly workgroup: boolean;
}

const backward = memoize(({ vectors, workgroup }: BackwardConfig) => {
  const type = vectors ? "vec4<f32>" as const : "f32" as const;
  return defineProgram({
    name: "batch_norm_fold.backward",
    variant: `${workgroup ? "workgroup per row" : "row per invocation"}${vectors ? ", vec4" : ""}`,
    params: { rows: "u32", n: "u32", eps: "f32", accumulate: "u32" },
    bindings: {
      weight: `read ${type}`,
      dFolded: `read ${type}`,
      dBias: "read f32",
      ...STATISTICS,
      y: `update ${type}`,
      dGamma: "write f32",
    },
    workgroupSize: SIZE,
    workgroupBytes: workgroup ? 4 * SIZE : 0,
    code: wgsl`
alias V = ${vectors ? "vec4f" : "f32"};
#if ${vectors}
fn product(a: vec4f, b: vec4f) -> f32 { return dot(a, b); }
#else
fn product(a: f32, b: f32) -> f32 { return a * b; }
#endif
#if ${workgroup}
${workgroupSum(SIZE)}
#endif
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  #if ${workgroup}
  let o = ${FOLDED_GROUP};
  #else
  let o = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  #endif
  if (o >= params.rows) { return; }
  let r = 1.0 / sqrt(variance[o] + params.eps);
  let s = gamma[o] * r;
  var ds = 0.0;
  #if ${workgroup}
  for (var i = o * params.n + t; i < (o + 1u) * params.n; i += WORKGROUP_SIZE) {
  #else
  for (var i = o * params.n; i < (o + 1u) * params.n; i++) {
  #endif
    let d = dFolded[i];
    ds += product(d, weight[i]);
    // select, not a product with accumulate: what is overwritten may be NaN
    y[i] = s * d + select(V(0.0), y[i], params.accumulate == 1u);
  }
  #if ${workgroup}
  ds = workgroup_sum(ds, t);
  if (t > 0u) { return; }
  #endif
  dGamma[o] = r * (ds - mean[o] * dBias[o]);
}`,
  });
});

/** The folded weight as `y`, and bias. Bindings: weight, gamma, mean, variance, beta, y, bias. */
export function batchNormFold(shape: BatchNormFoldShape): Kernel {
  const { rows, n, eps } = shape;
  const vectors = n % 4 === 0, unit = vectors ? 4 : 1;
  const count = rows * n / unit;
  return {
    program: forward({ vectors }),
    params: { count, n: n / unit, eps },
    sizes: {
      weight: rows * n,
      gamma: rows,
      mean: rows,
      variance: rows,
      beta: rows,
      y: rows * n,
      bias: rows,
    },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: rows * n + 5 * rows,
    bytes: 8 * rows * n + 20 * rows,
    reference: (inputs) => batchNormFoldReference(shape, inputs),
  };
}

/** Who owns a row of the backward. */
export type BatchNormFoldVariant = "invocation" | "workgroup";

/** A workgroup a row on GPUs, where a row per invocation would stride; see the head of this file. */
export function batchNormFoldVariant(target: Target): BatchNormFoldVariant {
  return target.adapterClass === "software" ? "invocation" : "workgroup";
}

/**
 * dw as `y`, and dgamma. Bindings: weight, dFolded, dBias, gamma, mean, variance, y, dGamma.
 * @param accumulate 1 adds dw to what y holds
 */
export function batchNormFoldBackward(
  shape: BatchNormFoldShape,
  variant: BatchNormFoldVariant,
  accumulate: 0 | 1,
): Kernel {
  const { rows, n, eps } = shape;
  const vectors = n % 4 === 0, workgroup = variant === "workgroup";
  return {
    program: backward({ vectors, workgroup }),
    params: { rows, n: vectors ? n / 4 : n, eps, accumulate },
    sizes: {
      weight: rows * n,
      dFolded: rows * n,
      dBias: rows,
      gamma: rows,
      mean: rows,
      variance: rows,
      y: rows * n,
      dGamma: rows,
    },
    workgroups: foldWorkgroups(workgroup ? rows : ceilDiv(rows, SIZE)),
    flops: 3 * rows * n + 6 * rows,
    bytes: (12 + 4 * accumulate) * rows * n + 20 * rows,
    reference: (inputs) => batchNormFoldBackwardReference(shape, inputs, accumulate),
  };
}

/** The plain loop of the fold. */
export function batchNormFoldReference(
  { rows, n, eps }: BatchNormFoldShape,
  { weight, gamma, mean, variance, beta }: Values,
): { y: Float64Array; bias: Float64Array } {
  const y = new Float64Array(rows * n), bias = new Float64Array(rows);
  for (let o = 0; o < rows; o++) {
    const s = gamma[o] / Math.sqrt(variance[o] + eps);
    for (let i = 0; i < n; i++) y[o * n + i] = s * weight[o * n + i];
    bias[o] = beta[o] - s * mean[o];
  }
  return { y, bias };
}

/** The plain loop of its gradient; `y` is what an accumulating one adds to. */
export function batchNormFoldBackwardReference(
  { rows, n, eps }: BatchNormFoldShape,
  { weight, dFolded, dBias, gamma, mean, variance, y: before }: Values,
  accumulate: 0 | 1,
): { y: Float64Array; dGamma: Float64Array } {
  const y = new Float64Array(rows * n), dGamma = new Float64Array(rows);
  for (let o = 0; o < rows; o++) {
    const r = 1 / Math.sqrt(variance[o] + eps);
    let ds = -mean[o] * dBias[o];
    for (let i = 0; i < n; i++) {
      ds += dFolded[o * n + i] * weight[o * n + i];
      y[o * n + i] = gamma[o] * r * dFolded[o * n + i] + (accumulate ? before[o * n + i] : 0);
    }
    dGamma[o] = r * ds;
  }
  return { y, dGamma };
}
