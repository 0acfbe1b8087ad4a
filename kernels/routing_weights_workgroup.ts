/**
 * Routing weights with a whole workgroup per row, and the choice of the variant.
 *
 * Math    In routing_weights.ts.
 * Shapes  As there: c, noise, w, g, dc [outer, n, inner]; T []; stats [2, outer inner]; partials [outer inner]. f32.
 * Work    Invocation t of W owns elements t, t + W, ...; maximum, sums and every Newton round end in a tree over the
 *         workgroup. Meant for GPUs and rows side by side in memory (combine weights: a row is one token's slots).
 * Memory  Scores are read once from memory and then from the cache, coalesced. Dispatch weights, whose rows are
 *         interleaved, are coalesced with one row per invocation already.
 * Cost    (log2 W + 2) barriers a tree: dear on software adapters, which never get this variant.
 * @module
 */
import { axisLanes, type AxisView, ROW_OF_WORKGROUP } from "./axis_view.ts";
import { entmaxRounds } from "./entmax.ts";
import { defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import {
  logit,
  routingBackwardPerInvocation,
  routingForwardReference,
  type RoutingOptions,
  routingPartialsReference,
  routingPerInvocation,
  routingSizes,
} from "./routing_weights.ts";
import { GROUP_ARGUMENTS, MAX_F32, workgroupMax, workgroupReduce } from "./snippets.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

const OWN_ROW = `${ROW_OF_WORKGROUP}
  let begin = first + t * params.inner;
  let end = first + params.n * params.inner;
  let step = WORKGROUP_SIZE * params.inner;
  let warmth = 1.0 / temperature[0];`;

const forward = memoize(({ kind, noise, weights }: Required<RoutingOptions>) =>
  defineProgram({
    name: `routing_weights.${kind}`,
    variant: `workgroup ${SIZE} per row`,
    params: { rows: "u32", n: "u32", inner: "u32", rounds: "u32" },
    bindings: {
      c: "read f32",
      temperature: "read f32",
      ...(noise ? { noise: "read f32" as const } : {}),
      ...(weights ? { weights: "write f32" as const } : {}),
      stats: "write f32",
    },
    workgroupSize: SIZE,
    workgroupBytes: 12 * SIZE,
    code: wgsl`
${workgroupMax(SIZE)}
${workgroupReduce("workgroup_sums", SIZE, "a + b", "vec2f")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${OWN_ROW}
  var top = -${MAX_F32};
  for (var i = begin; i < end; i += step) { top = max(top, ${logit(noise)}); }
  top = workgroup_max(top, t);
  #if ${kind === "softmax"}
  var total = 0.0;
  for (var i = begin; i < end; i += step) { total += exp(${logit(noise)} - top); }
  let key = 1.0 / workgroup_sums(vec2f(total, 0.0), t).x;
  #else
  var key = -1.0;
  for (var round = 0u; round < params.rounds; round++) {
    var sums = vec2f(0.0);
    for (var i = begin; i < end; i += step) {
      let d = max((${logit(noise)} - top) * 0.5 - key, 0.0);
      sums += vec2f(d, d * d);
    }
    sums = workgroup_sums(sums, t);
    key += (sums.y - 1.0) / (2.0 * sums.x);
  }
  #endif
  #if ${weights}
  for (var i = begin; i < end; i += step) {
    #if ${kind === "softmax"}
    weights[i] = exp(${logit(noise)} - top) * key;
    #else
    let d = max((${logit(noise)} - top) * 0.5 - key, 0.0);
    weights[i] = d * d;
    #endif
  }
  #endif
  if (t == 0u) {
    stats[row] = top;
    stats[params.rows + row] = key;
  }
}`,
  })
);

const backward = memoize(({ kind, noise }: RoutingOptions) =>
  defineProgram({
    name: `routing_weights.${kind}.backward`,
    variant: `workgroup ${SIZE} per row`,
    params: { rows: "u32", n: "u32", inner: "u32" },
    bindings: {
      c: "read f32",
      temperature: "read f32",
      ...(noise ? { noise: "read f32" as const } : {}),
      stats: "read f32",
      g: "read f32",
      weights: "write f32",
      dc: "write f32",
      partials: "write f32",
    },
    workgroupSize: SIZE,
    workgroupBytes: 8 * SIZE,
    code: wgsl`
${workgroupReduce("workgroup_sums", SIZE, "a + b", "vec2f")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${OWN_ROW}
  let top = stats[row];
  let key = stats[params.rows + row];
  var sums = vec2f(0.0); // of the shares, and of shares times g
  for (var i = begin; i < end; i += step) {
    #if ${kind === "softmax"}
    let share = exp(${logit(noise)} - top) * key;
    weights[i] = share;
    sums += vec2f(0.0, share * g[i]);
    #else
    let share = max((${logit(noise)} - top) * 0.5 - key, 0.0);
    weights[i] = share * share;
    sums += vec2f(share, share * g[i]);
    #endif
  }
  sums = workgroup_sums(sums, t);
  #if ${kind === "softmax"}
  let mean = sums.y;
  #else
  let mean = sums.y / sums.x;
  #endif
  let middle = top * temperature[0];
  var partial = 0.0;
  for (var i = begin; i < end; i += step) { // reads what this invocation wrote: no barrier needed
    #if ${kind === "softmax"}
    let value = weights[i] * (g[i] - mean) * warmth;
    #else
    let value = sqrt(weights[i]) * (g[i] - mean) * warmth;
    #endif
    dc[i] = value;
    partial += value * (c[i] - middle);
  }
  partial = workgroup_sums(vec2f(partial, 0.0), t).x;
  if (t == 0u) { partials[row] = partial; }
}`,
  })
);

/** Weights (if asked for) and stats, a workgroup per row. */
export function routingPerWorkgroup(
  view: AxisView,
  { kind, noise, weights = true }: RoutingOptions,
): Kernel {
  const rows = view.outer * view.inner, sizes = routingSizes(view);
  const rounds = kind === "softmax" ? 0 : entmaxRounds(view.n);
  return {
    program: forward({ kind, noise, weights }),
    params: { rows, n: view.n, inner: view.inner, rounds },
    sizes,
    workgroups: foldWorkgroups(rows),
    flops: 8 * (rounds + 1) * sizes.c,
    bytes: 4 * (sizes.c * (1 + Number(noise) + Number(weights)) + sizes.stats),
    reference: (inputs) => routingForwardReference(view, kind, inputs),
  };
}

/** dc, weights and partial sums for the temperature, a workgroup per row. */
export function routingBackwardPerWorkgroup(
  view: AxisView,
  { kind, noise }: RoutingOptions,
): Kernel {
  const rows = view.outer * view.inner, sizes = routingSizes(view);
  return {
    program: backward({ kind, noise }),
    params: { rows, n: view.n, inner: view.inner },
    sizes,
    workgroups: foldWorkgroups(rows),
    flops: 12 * sizes.c,
    bytes: 4 * (sizes.c * (4 + Number(noise)) + sizes.stats + sizes.partials),
    reference: (inputs) => routingPartialsReference(view, kind, inputs),
  };
}

/** A workgroup per row on GPUs where rows lie side by side and are long enough to fill it. */
export function routingVariant(view: AxisView, target: Target): "invocation" | "workgroup" {
  if (target.adapterClass === "software") return "invocation";
  return view.inner === 1 && view.n >= 32 ? "workgroup" : "invocation";
}

/** Weights (if asked for) and stats, by the variant that suits shape and adapter. */
export function routingForward(view: AxisView, options: RoutingOptions, target: Target): Kernel {
  return routingVariant(view, target) === "workgroup"
    ? routingPerWorkgroup(view, options)
    : routingPerInvocation(view, options, axisLanes(view));
}

/** dc, weights and partial sums for the temperature, by the variant that suits shape and adapter. */
export function routingBackward(view: AxisView, options: RoutingOptions, target: Target): Kernel {
  return routingVariant(view, target) === "workgroup"
    ? routingBackwardPerWorkgroup(view, options)
    : routingBackwardPerInvocation(view, options, axisLanes(view));
}
