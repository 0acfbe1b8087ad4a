/**
 * Cross-entropy of logits and labels, softmax included.
 *
 * Math    p = softmax(x), row by row        log p[c] = (x[c] - m) - z,  m = max x,  z = log sum exp(x - m)
 *         q[c] = (1 - s) t[c] + s / C       the target t, smoothed by s (arXiv:1512.00567, section 7)
 *         loss[r] = -sum_c q[c] log p[c]
 *                 = T z - sum_c q[c] (x[c] - m),   T = sum_c q[c]  (1 where the target sums to 1)
 *         mean    = sum_r loss[r] / B
 *         Backward of the mean, with dOut its gradient:  dx[r, c] = dOut / B (T p[c] - q[c])
 * Shapes  x, dx [B, C] f32; labels u32 or i32 [B], then t is 1 at the label and 0 elsewhere, or targets f32 [B, C].
 *         stats [B, 4] holds (m, z, T, 0) a row: the backward makes p again from it with one exponential. m and z stay
 *         apart, as their sum would lose the digits of z when m is large. losses [B] or, from `fused`, the mean [1].
 * Work    rows       One invocation a row, two passes over it; the mean is a reduction after it.
 *         workgroup  One workgroup a row, for GPUs and many classes.
 *         fused      One workgroup does everything, mean included: small batches of few classes cost one dispatch.
 *         backward   One invocation an element.
 * Memory  The logits once from memory and once from the cache; 4 bytes for some 8 operations. With `rows` neighbours are
 *         a row apart, which few classes forgive; `workgroup` and the backward read neighbouring words.
 * Labels  Out of range they cannot be reported from here (the data layer checks them); they count as the last class, so
 *         that nothing is read out of bounds.
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
import { FOLDED_GROUP, GROUP_ARGUMENTS, MAX_F32, workgroupMax, workgroupSum } from "./snippets.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes and options of a cross-entropy. */
export interface CrossEntropyShape {
  /** Rows of the logits. */
  readonly batch: number;
  /** Columns of the logits. */
  readonly classes: number;
  /** True: the targets are [B, C] weights of the classes; false: [B] class numbers. */
  readonly soft: boolean;
  /** s above, in [0, 1]. */
  readonly smoothing: number;
}

/** Who computes a row, see the head of this file. */
export type CrossEntropyVariant = "rows" | "workgroup" | "fused";

const SIZE = 64;
const PARAMS = { batch: "u32", classes: "u32", keep: "f32", spread: "f32" } as const;

/** The variant for a shape: one dispatch where that is little work, else rows, shared on a GPU when they are long. */
export function crossEntropyVariant(
  { batch, classes }: { batch: number; classes: number },
  target: Target,
): CrossEntropyVariant {
  if (batch * classes <= 4096) return "fused";
  return target.adapterClass !== "software" && classes >= 128 ? "workgroup" : "rows";
}

/** The smoothed target of one class, as a WGSL function. */
function smoothed(soft: boolean): string {
  return wgsl`
fn smoothed(row: u32, c: u32) -> f32 {
  #if ${soft}
  let t = targets[row * params.classes + c];
  #else
  let t = select(0.0, 1.0, c == min(targets[row], params.classes - 1u));
  #endif
  return params.keep * t + params.spread;
}`;
}

/** `row_loss(row)`: one invocation's walk over a row. */
function rowLoss(soft: boolean): string {
  return wgsl`
${smoothed(soft)}
fn row_loss(row: u32) -> f32 {
  let begin = row * params.classes;
  var top = -${MAX_F32};
  for (var c = 0u; c < params.classes; c++) { top = max(top, x[begin + c]); }
  var total = 0.0;    // sum of exp(x - m)
  var expected = 0.0; // sum of q (x - m)
  var weight = 0.0;   // sum of q
  for (var c = 0u; c < params.classes; c++) {
    let v = x[begin + c] - top;
    let q = smoothed(row, c);
    total += exp(v);
    expected += q * v;
    weight += q;
  }
  let z = log(total);
  stats[row] = vec4f(top, z, weight, 0.0);
  return weight * z - expected;
}`;
}

const bindings = (soft: boolean) =>
  ({
    x: "read f32",
    targets: soft ? "read f32" : "read u32",
    stats: "write vec4<f32>",
    losses: "write f32",
  }) as const;

const rows = memoize(({ soft }: { soft: boolean }) =>
  defineProgram({
    name: "cross_entropy",
    variant: "rows",
    params: PARAMS,
    bindings: bindings(soft),
    workgroupSize: SIZE,
    code: wgsl`
${rowLoss(soft)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let row = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (row < params.batch) { losses[row] = row_loss(row); }
}`,
  })
);

const fused = memoize(({ soft }: { soft: boolean }) =>
  defineProgram({
    name: "cross_entropy",
    variant: "fused",
    params: PARAMS,
    bindings: bindings(soft),
    workgroupSize: SIZE,
    workgroupBytes: 4 * SIZE,
    code: wgsl`
${rowLoss(soft)}
${workgroupSum(SIZE)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) t: u32) {
  var mine = 0.0;
  for (var row = t; row < params.batch; row += WORKGROUP_SIZE) { mine += row_loss(row); }
  let total = workgroup_sum(mine, t);
  if (t == 0u) { losses[0] = total / f32(params.batch); }
}`,
  })
);

const workgroup = memoize(({ soft }: { soft: boolean }) =>
  defineProgram({
    name: "cross_entropy",
    variant: "workgroup",
    params: PARAMS,
    bindings: bindings(soft),
    workgroupSize: SIZE,
    workgroupBytes: 8 * SIZE,
    code: wgsl`
${smoothed(soft)}
${workgroupMax(SIZE)}
${workgroupSum(SIZE)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let row = ${FOLDED_GROUP};
  if (row >= params.batch) { return; } // the whole workgroup leaves
  let begin = row * params.classes;
  var highest = -${MAX_F32};
  for (var c = t; c < params.classes; c += WORKGROUP_SIZE) { highest = max(highest, x[begin + c]); }
  let top = workgroup_max(highest, t);
  var total = 0.0;
  var expected = 0.0;
  var weight = 0.0;
  for (var c = t; c < params.classes; c += WORKGROUP_SIZE) {
    let v = x[begin + c] - top;
    let q = smoothed(row, c);
    total += exp(v);
    expected += q * v;
    weight += q;
  }
  let z = log(workgroup_sum(total, t));
  let all_expected = workgroup_sum(expected, t);
  let all_weight = workgroup_sum(weight, t);
  if (t == 0u) {
    stats[row] = vec4f(top, z, all_weight, 0.0);
    losses[row] = all_weight * z - all_expected;
  }
}`,
  })
);

const backward = memoize(({ soft }: { soft: boolean }) =>
  defineProgram({
    name: "cross_entropy.backward",
    params: PARAMS,
    bindings: {
      x: "read f32",
      targets: soft ? "read f32" : "read u32",
      stats: "read vec4<f32>",
      dOut: "read f32",
      dx: "write f32",
    },
    workgroupSize: SIZE,
    code: wgsl`
${smoothed(soft)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.batch * params.classes) { return; }
  let row = i / params.classes;
  let s = stats[row];
  let p = exp((x[i] - s.x) - s.y);
  let q = smoothed(row, i % params.classes);
  dx[i] = dOut[0] / f32(params.batch) * (s.z * p - q);
}`,
  })
);

function paramsOf({ batch, classes, smoothing }: CrossEntropyShape): Record<string, number> {
  return { batch, classes, keep: 1 - smoothing, spread: smoothing / classes };
}

/**
 * Forward. Bindings: x, targets, stats [B, 4], losses: [B], or with `fused` [1], the mean.
 */
export function crossEntropy(shape: CrossEntropyShape, variant: CrossEntropyVariant): Kernel {
  const { batch, classes, soft } = shape;
  const make = { rows, workgroup, fused }[variant];
  const groups = { rows: ceilDiv(batch, SIZE), workgroup: batch, fused: 1 }[variant];
  const targets = soft ? batch * classes : batch;
  const losses = variant === "fused" ? 1 : batch;
  return {
    program: make({ soft }),
    params: paramsOf(shape),
    sizes: { x: batch * classes, targets, stats: 4 * batch, losses },
    workgroups: foldWorkgroups(groups),
    flops: 8 * batch * classes,
    bytes: 4 * (batch * classes + targets + 4 * batch + losses),
    reference: ({ x, targets }) => lossesReference(shape, x, targets, variant === "fused"),
  };
}

/** Backward of the mean. Bindings: x, targets, stats, dOut [1], dx [B, C]. */
export function crossEntropyBackward(shape: CrossEntropyShape): Kernel {
  const { batch, classes, soft } = shape;
  const count = batch * classes;
  const targets = soft ? count : batch;
  return {
    program: backward({ soft }),
    params: paramsOf(shape),
    sizes: { x: count, targets, stats: 4 * batch, dOut: 1, dx: count },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: 6 * count,
    bytes: 4 * (2 * count + targets + 4 * batch),
    reference: (inputs) => crossEntropyBackwardReference(shape, inputs),
  };
}

/** q of a class in a row: the smoothed target. */
function smoothedReference(
  { classes, soft, smoothing }: CrossEntropyShape,
  targets: ArrayLike<number>,
  row: number,
  c: number,
): number {
  const given = soft
    ? targets[row * classes + c]
    : Number(Math.min(targets[row], classes - 1) === c);
  return (1 - smoothing) * given + smoothing / classes;
}

/** The plain loop of the forward; `mean`: losses is their mean. */
export function lossesReference(
  shape: CrossEntropyShape,
  x: ArrayLike<number>,
  targets: ArrayLike<number>,
  mean: boolean,
): { stats: Float64Array; losses: Float64Array } {
  const { batch, classes } = shape;
  const stats = new Float64Array(4 * batch), losses = new Float64Array(batch);
  for (let row = 0; row < batch; row++) {
    let top = -Infinity, sum = 0, total = 0;
    for (let c = 0; c < classes; c++) top = Math.max(top, x[row * classes + c]);
    for (let c = 0; c < classes; c++) sum += Math.exp(x[row * classes + c] - top);
    for (let c = 0; c < classes; c++) {
      const q = smoothedReference(shape, targets, row, c);
      losses[row] -= q * (x[row * classes + c] - top - Math.log(sum));
      total += q;
    }
    stats.set([top, Math.log(sum), total], 4 * row);
  }
  if (!mean) return { stats, losses };
  return { stats, losses: Float64Array.of(losses.reduce((a, b) => a + b, 0) / batch) };
}

/** The plain loop: the mean loss. */
export function crossEntropyReference(
  shape: CrossEntropyShape,
  x: ArrayLike<number>,
  targets: ArrayLike<number>,
): { loss: number } {
  return { loss: lossesReference(shape, x, targets, true).losses[0] };
}

/** The plain loop of the backward, from the statistics. */
export function crossEntropyBackwardReference(
  shape: CrossEntropyShape,
  { x, targets, stats, dOut }: Values,
): { dx: Float64Array } {
  const { batch, classes } = shape;
  const dx = new Float64Array(batch * classes);
  for (let i = 0; i < dx.length; i++) {
    const row = Math.floor(i / classes);
    const top = stats[4 * row], log = stats[4 * row + 1], total = stats[4 * row + 2];
    const q = smoothedReference(shape, targets, row, i % classes);
    dx[i] = dOut[0] / batch * (total * Math.exp(x[i] - top - log) - q);
  }
  return { dx };
}
