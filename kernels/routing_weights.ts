/**
 * Routing weights from scores: softmax or entmax-1.5 of scores / temperature (+ noise) along one axis, and their
 * gradients by scores and temperature. One invocation owns one row (or four).
 *
 * Math    l = c / T + noise, with one learnable temperature T; along the axis of the view
 *           softmax  w = exp(l - m) k,  m = max l,  k = 1 / sum exp(l - m)
 *           entmax   w = max((l - m) / 2 - k, 0)^2, with k the threshold that makes the sum 1 (entmax.ts)
 *         (m, k) of each row is all that is kept: the backward makes the weights again, by the same operations and so
 *         with the same bits. (One log-sum-exp m + log k would do, but rounds at the size of m.)
 *         Backward, with g the gradient by w:
 *           softmax  dl = w (g - sum w g)              entmax  dl = s (g - sum(s g) / sum(s)),  s = sqrt(w)
 *           dc = dl / T,   dT = -sum dl c / T^2 = -(sum dc c) / T
 *         The dc of a row add up to 0, so any number may be taken from its c. With m T, the score at the top, the error
 *         of a large dc there meets a factor near 0: at T = 0.01 it was 1e-4 of dT, and is 1e-6.
 *         Each row writes its sum dc (c - m T); `temperatureGradient` adds the rows by a fixed tree. Noise has no gradient.
 * Shapes  c, noise, w, g, dc: [outer, n, inner]; T: []; stats: [2, outer inner] = all m, then all k; partials
 *         [outer inner]. All f32.
 *         Dispatch weights run along the tokens of [B, N, S] (inner = S), combine weights along the slots (inner = 1).
 * Work    One invocation walks its row 3 times forward (entmax: rounds + 2) and twice backward.
 * Memory  Scores are small beside tokens: N S against N D. Rows with inner > 1 are read coalesced; for inner = 1 on a GPU
 *         routing_weights_workgroup.ts gives a row to a workgroup.
 * @module
 */
import {
  type AxisLanes,
  type AxisView,
  forEachRow,
  laneHelpers,
  laneType,
  laneVariant,
  ROW_OF_INVOCATION,
  viewInLanes,
} from "./axis_view.ts";
import { climbToThreshold, entmaxReference, entmaxRounds } from "./entmax.ts";
import {
  ceilDiv,
  defineProgram,
  foldWorkgroups,
  type Kernel,
  memoize,
  type Values,
} from "./kernel.ts";
import { GROUP_ARGUMENTS, MAX_F32, workgroupSum } from "./snippets.ts";
import { softmaxReference } from "./softmax.ts";
import { wgsl } from "./wgsl.ts";

/** How logits become weights. */
export type RoutingKind = "softmax" | "entmax15";

/** What changes the code of routing weights. */
export interface RoutingOptions {
  /** How logits become weights. */
  readonly kind: RoutingKind;
  /** Is there a noise tensor? */
  readonly noise: boolean;
  /** Write the weights themselves? Sparse kernels need only the statistics. Default true. */
  readonly weights?: boolean;
}

type Config = Required<RoutingOptions> & { readonly lanes: AxisLanes };

const SIZE = 32;

/** Statistics of four rows side by side can be vectors; those of one row cannot. */
const rowType = (lanes: AxisLanes) => lanes === "across" ? "vec4<f32>" : "f32";

/** WGSL: the logit at `i`, from the bindings `c` and `noise` and from `warmth` = 1 / T. */
export const logit = (noise: boolean): string =>
  noise ? "(c[i] * warmth + noise[i])" : "(c[i] * warmth)";

/** WGSL: the first component of a row's statistic, as it is stored. */
const stored = (lanes: AxisLanes, value: string) => lanes === "along" ? `${value}.x` : value;

const forward = memoize(({ kind, noise, weights, lanes }: Config) =>
  defineProgram({
    name: `routing_weights.${kind}`,
    variant: laneVariant(lanes),
    params: { rows: "u32", n: "u32", inner: "u32", rounds: "u32" },
    bindings: {
      c: `read ${laneType(lanes)}`,
      temperature: "read f32",
      ...(noise ? { noise: `read ${laneType(lanes)}` as const } : {}),
      ...(weights ? { weights: `write ${laneType(lanes)}` as const } : {}),
      stats: `write ${rowType(lanes)}`,
    },
    workgroupSize: SIZE,
    code: wgsl`
${laneHelpers(lanes)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ROW_OF_INVOCATION}
  let warmth = 1.0 / temperature[0];
  var top = V(-${MAX_F32});
  for (var i = first; i < end; i += params.inner) { top = max(top, ${logit(noise)}); }
  top = row_max(top);
  #if ${kind === "softmax"}
  var total = V(0.0);
  for (var i = first; i < end; i += params.inner) {
    let e = exp(${logit(noise)} - top);
    #if ${weights}
    weights[i] = e;
    #endif
    total += e;
  }
  let key = 1.0 / row_sum(total);
  #if ${weights}
  for (var i = first; i < end; i += params.inner) { weights[i] *= key; }
  #endif
  #else
  ${climbToThreshold(logit(noise))}
  #if ${weights}
  for (var i = first; i < end; i += params.inner) {
    let d = max((${logit(noise)} - top) * 0.5 - key, V(0.0));
    weights[i] = d * d;
  }
  #endif
  #endif
  stats[row] = ${stored(lanes, "top")};
  stats[params.rows + row] = ${stored(lanes, "key")};
}`,
  })
);

const backward = memoize(({ kind, noise, lanes }: Config) =>
  defineProgram({
    name: `routing_weights.${kind}.backward`,
    variant: laneVariant(lanes),
    params: { rows: "u32", n: "u32", inner: "u32" },
    bindings: {
      c: `read ${laneType(lanes)}`,
      temperature: "read f32",
      ...(noise ? { noise: `read ${laneType(lanes)}` as const } : {}),
      stats: `read ${rowType(lanes)}`,
      g: `read ${laneType(lanes)}`,
      weights: `write ${laneType(lanes)}`,
      dc: `write ${laneType(lanes)}`,
      partials: `write ${rowType(lanes)}`,
    },
    workgroupSize: SIZE,
    code: wgsl`
${laneHelpers(lanes)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ROW_OF_INVOCATION}
  let warmth = 1.0 / temperature[0];
  let top = V(stats[row]);
  let key = V(stats[params.rows + row]);
  var sum = V(0.0);
  #if ${kind === "softmax"}
  for (var i = first; i < end; i += params.inner) {
    let w = exp(${logit(noise)} - top) * key;
    weights[i] = w;
    sum += w * g[i];
  }
  let mean = row_sum(sum);
  #else
  var roots = V(0.0);
  for (var i = first; i < end; i += params.inner) {
    let s = max((${logit(noise)} - top) * 0.5 - key, V(0.0));
    weights[i] = s * s;
    roots += s;
    sum += s * g[i];
  }
  let mean = row_sum(sum) / row_sum(roots);
  #endif
  let middle = top * temperature[0];
  var partial = V(0.0);
  for (var i = first; i < end; i += params.inner) {
    #if ${kind === "softmax"}
    let value = weights[i] * (g[i] - mean) * warmth;
    #else
    let value = sqrt(weights[i]) * (g[i] - mean) * warmth;
    #endif
    dc[i] = value;
    partial += value * (c[i] - middle);
  }
  partial = row_sum(partial);
  partials[row] = ${stored(lanes, "partial")};
}`,
  })
);

/** Sizes of all bindings of a view. */
export function routingSizes(view: AxisView): Record<string, number> {
  const rows = view.outer * view.inner, size = rows * view.n;
  const wide = { c: size, noise: size, weights: size, g: size, dc: size };
  return { ...wide, temperature: 1, stats: 2 * rows, partials: rows };
}

/** Weights (if asked for) and stats, one row or four per invocation. */
export function routingPerInvocation(
  view: AxisView,
  { kind, noise, weights = true }: RoutingOptions,
  lanes: AxisLanes,
): Kernel {
  const { outer, n, inner } = viewInLanes(view, lanes);
  const sizes = routingSizes(view), rounds = kind === "softmax" ? 0 : entmaxRounds(view.n);
  return {
    program: forward({ kind, noise, weights, lanes }),
    params: { rows: outer * inner, n, inner, rounds },
    sizes,
    workgroups: foldWorkgroups(ceilDiv(outer * inner, SIZE)),
    flops: 8 * (rounds + 1) * sizes.c,
    bytes: 4 * (sizes.c * (1 + Number(noise) + Number(weights)) + sizes.stats),
    reference: (inputs) => routingForwardReference(view, kind, inputs),
  };
}

/** dc, weights and partial sums for the temperature, one row or four per invocation. */
export function routingBackwardPerInvocation(
  view: AxisView,
  { kind, noise }: RoutingOptions,
  lanes: AxisLanes,
): Kernel {
  const { outer, n, inner } = viewInLanes(view, lanes);
  const sizes = routingSizes(view);
  return {
    program: backward({ kind, noise, weights: true, lanes }),
    params: { rows: outer * inner, n, inner },
    sizes,
    workgroups: foldWorkgroups(ceilDiv(outer * inner, SIZE)),
    flops: 12 * sizes.c,
    bytes: 4 * (sizes.c * (4 + Number(noise)) + sizes.stats + sizes.partials),
    reference: (inputs) => routingPartialsReference(view, kind, inputs),
  };
}

const TREE = 256;

const temperatureProgram = memoize((_: null) =>
  defineProgram({
    name: "routing_weights.temperature_gradient",
    params: { count: "u32", accumulate: "u32" },
    bindings: { partials: "read f32", temperature: "read f32", dt: "update f32" },
    workgroupSize: TREE,
    workgroupBytes: 4 * TREE,
    code: wgsl`
${workgroupSum(TREE)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  var sum = 0.0;
  for (var i = t; i < params.count; i += WORKGROUP_SIZE) { sum += partials[i]; }
  sum = workgroup_sum(sum, t);
  if (t == 0u) {
    // select, not a product with accumulate: what is overwritten may be NaN
    dt[0] = -sum / temperature[0] + select(0.0, dt[0], params.accumulate == 1u);
  }
}`,
  })
);

/** dT = -(sum of the partial sums) / T, written or added; one workgroup, a fixed tree. */
export function temperatureGradient(count: number, accumulate: 0 | 1): Kernel {
  return {
    program: temperatureProgram(null),
    params: { count, accumulate },
    sizes: { partials: count, temperature: 1, dt: 1 },
    workgroups: [1, 1, 1],
    flops: count + 2,
    bytes: 4 * count + 8 + 4 * accumulate,
    reference: (inputs) => temperatureGradientReference(accumulate, inputs),
  };
}

/** The logits: scores by temperature, and noise. */
function logits({ c, temperature, noise }: Values): Float64Array {
  return Float64Array.from(c, (value, i) => value / temperature[0] + (noise?.[i] ?? 0));
}

/** The plain loop of the weights. */
export function routingReference(
  view: AxisView,
  kind: RoutingKind,
  c: ArrayLike<number>,
  temperature: number,
  noise?: ArrayLike<number>,
): { weights: Float64Array } {
  const l = logits({ c, temperature: [temperature], ...(noise && { noise }) });
  const { y } = kind === "softmax" ? softmaxReference(view, l) : entmaxReference(view, l);
  return { weights: y };
}

/** The plain loop of the forward kernels: weights, and of each row the maximum and the key. */
export function routingForwardReference(
  view: AxisView,
  kind: RoutingKind,
  inputs: Values,
): { weights: Float64Array; stats: number[] } {
  const { c, temperature, noise } = inputs, l = logits(inputs);
  const { weights } = routingReference(view, kind, c, temperature[0], noise);
  const tops: number[] = [], keys: number[] = [];
  forEachRow(view, (first, step) => {
    let best = first;
    for (let k = 0; k < view.n; k++) if (l[first + k * step] > l[best]) best = first + k * step;
    tops.push(l[best]);
    keys.push(kind === "softmax" ? weights[best] : -Math.sqrt(weights[best]));
  });
  return { weights, stats: [...tops, ...keys] };
}

/** The plain loop of the backward kernels, from stats that need not come from a forward pass. */
export function routingPartialsReference(
  view: AxisView,
  kind: RoutingKind,
  inputs: Values,
): { weights: Float64Array; dc: Float64Array; partials: Float64Array } {
  const { c, g, stats, temperature } = inputs, l = logits(inputs), softmax = kind === "softmax";
  const weights = new Float64Array(c.length), dc = new Float64Array(c.length);
  const rows = view.outer * view.inner, partials = new Float64Array(rows);
  let row = 0;
  forEachRow(view, (first, step) => {
    const top = stats[row], key = stats[rows + row], end = first + view.n * step;
    const share = (i: number): number =>
      softmax ? Math.exp(l[i] - top) * key : Math.max((l[i] - top) / 2 - key, 0);
    let total = 0, mean = 0;
    for (let i = first; i < end; i += step) {
      total += share(i);
      mean += share(i) * g[i];
    }
    if (!softmax) mean /= total;
    for (let i = first; i < end; i += step) {
      weights[i] = softmax ? share(i) : share(i) ** 2;
      dc[i] = share(i) * (g[i] - mean) / temperature[0];
      partials[row] += dc[i] * (c[i] - top * temperature[0]);
    }
    row++;
  });
  return { weights, dc, partials };
}

/** The plain loop of the temperature's gradient. */
export function temperatureGradientReference(
  accumulate: 0 | 1,
  { partials, temperature, dt }: Values,
): { dt: number[] } {
  let sum = 0;
  for (let i = 0; i < partials.length; i++) sum += partials[i];
  return { dt: [-sum / temperature[0] + (accumulate ? dt[0] : 0)] };
}

/** The plain loop of the backward, from the weights. */
export function routingBackwardReference(
  view: AxisView,
  kind: RoutingKind,
  c: ArrayLike<number>,
  temperature: number,
  weights: ArrayLike<number>,
  g: ArrayLike<number>,
): { dc: Float64Array; dt: number } {
  const dc = new Float64Array(c.length);
  let dt = 0;
  forEachRow(view, (first, step) => {
    let sum = 0, total = 0;
    const share = (i: number) => kind === "softmax" ? weights[i] : Math.sqrt(weights[i]);
    for (let k = 0, i = first; k < view.n; k++, i += step) {
      total += share(i); // 1 for softmax
      sum += share(i) * g[i];
    }
    for (let k = 0, i = first; k < view.n; k++, i += step) {
      dc[i] = share(i) * (g[i] - sum / total) / temperature;
      dt -= dc[i] * c[i] / temperature;
    }
  });
  return { dc, dt };
}
