/**
 * Softmax with a whole workgroup per row, and the choice between this and one row per invocation.
 *
 * Math    In softmax.ts.
 * Shapes  x, y, g, dx: [outer, n, inner] (axis_view.ts), f32.
 * Work    Invocation t of W owns elements t, t + W, t + 2W, ... of the row: neighbours read neighbouring addresses.
 *         Maximum and sum are trees over the workgroup (snippets.ts). Up to 8 W elements stay in registers, so that
 *         each is read and written once; longer rows are read again.
 * Memory  8 bytes an element forward, 12 backward: the least there is. 5 flops for 8 bytes: bound by memory.
 * Cost    2 (log2 W + 2) barriers a row. On a GPU they hide behind the loads; on a software adapter, where a barrier
 *         costs as much as several loads and lanes are filled by rows anyway, one row per invocation wins.
 * @module
 */
import { axisLanes, type AxisView, ROW_OF_WORKGROUP } from "./axis_view.ts";
import { defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { GROUP_ARGUMENTS, MAX_F32, workgroupMax, workgroupSum } from "./snippets.ts";
import {
  softmaxBackwardPerInvocation,
  softmaxBackwardReference,
  type SoftmaxOptions,
  softmaxPerInvocation,
  softmaxReference,
} from "./softmax.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** Elements an invocation keeps in registers. */
const KEPT = 8;

interface Config {
  readonly log: boolean;
  readonly size: number;
  /** How many elements of its row an invocation keeps; 0: the row is longer and read again. */
  readonly kept: number;
}

function config(view: AxisView, { log = false }: SoftmaxOptions): Config {
  const size = view.n <= 64 * KEPT ? 64 : 256;
  const kept = Math.ceil(view.n / size);
  return { log, size, kept: kept <= KEPT ? kept : 0 };
}

const forward = memoize(({ log, size, kept }: Config) =>
  defineProgram({
    name: log ? "log_softmax" : "softmax",
    variant: `workgroup ${size} per row`,
    params: { rows: "u32", n: "u32", inner: "u32" },
    bindings: { x: "read f32", y: "write f32" },
    workgroupSize: size,
    workgroupBytes: 8 * size,
    code: wgsl`
${workgroupMax(size)}
${workgroupSum(size)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ROW_OF_WORKGROUP}
  var top = -${MAX_F32};
  var total = 0.0;
  #if ${kept > 0}
  var own: array<f32, ${Math.max(1, kept)}>;
  for (var k = 0u; k < ${kept}u; k++) {
    let i = k * WORKGROUP_SIZE + t;
    own[k] = -${MAX_F32};
    if (i < params.n) { own[k] = x[first + i * params.inner]; }
    top = max(top, own[k]);
  }
  top = workgroup_max(top, t);
  for (var k = 0u; k < ${kept}u; k++) { total += exp(own[k] - top); }
  total = workgroup_sum(total, t);
  for (var k = 0u; k < ${kept}u; k++) {
    let i = k * WORKGROUP_SIZE + t;
    if (i < params.n) {
      #if ${log}
      y[first + i * params.inner] = (own[k] - top) - log(total);
      #else
      y[first + i * params.inner] = exp(own[k] - top) / total;
      #endif
    }
  }
  #else
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) { top = max(top, x[first + i * params.inner]); }
  top = workgroup_max(top, t);
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) { total += exp(x[first + i * params.inner] - top); }
  total = workgroup_sum(total, t);
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) {
    let at = first + i * params.inner;
    #if ${log}
    y[at] = (x[at] - top) - log(total);
    #else
    y[at] = exp(x[at] - top) / total;
    #endif
  }
  #endif
}`,
  })
);

const backward = memoize(({ log, size }: Config) =>
  defineProgram({
    name: log ? "log_softmax.backward" : "softmax.backward",
    variant: `workgroup ${size} per row`,
    params: { rows: "u32", n: "u32", inner: "u32" },
    bindings: { y: "read f32", dOut: "read f32", dx: "write f32" },
    workgroupSize: size,
    workgroupBytes: 4 * size,
    code: wgsl`
${workgroupSum(size)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ROW_OF_WORKGROUP}
  var total = 0.0;
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) {
    let at = first + i * params.inner;
    #if ${log}
    total += dOut[at];
    #else
    total += dOut[at] * y[at];
    #endif
  }
  total = workgroup_sum(total, t);
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) { // the second reading comes from the cache
    let at = first + i * params.inner;
    #if ${log}
    dx[at] = dOut[at] - exp(y[at]) * total;
    #else
    dx[at] = y[at] * (dOut[at] - total);
    #endif
  }
}`,
  })
);

/** y = softmax(x), one workgroup per row. */
export function softmaxPerWorkgroup(view: AxisView, options: SoftmaxOptions): Kernel {
  const rows = view.outer * view.inner, size = rows * view.n;
  return {
    program: forward(config(view, options)),
    params: { rows, n: view.n, inner: view.inner },
    sizes: { x: size, y: size },
    workgroups: foldWorkgroups(rows),
    flops: 5 * size,
    bytes: 8 * size,
    reference: ({ x }) => softmaxReference(view, x, options),
  };
}

/** dx from y and the gradient by y, one workgroup per row. */
export function softmaxBackwardPerWorkgroup(view: AxisView, options: SoftmaxOptions): Kernel {
  const rows = view.outer * view.inner, size = rows * view.n;
  return {
    program: backward({ ...config(view, options), kept: 0 }),
    params: { rows, n: view.n, inner: view.inner },
    sizes: { y: size, dOut: size, dx: size },
    workgroups: foldWorkgroups(rows),
    flops: 4 * size,
    bytes: 12 * size,
    reference: ({ y, dOut }) => softmaxBackwardReference(view, y, dOut, options),
  };
}

/** How rows are shared out. */
export type SoftmaxVariant = "invocation" | "workgroup";

/**
 * Who owns a row. A software adapter has few lanes and dear barriers: an invocation, unless there are too few rows to
 * fill the lanes. A GPU: a workgroup where rows are contiguous, or so few that lanes would idle.
 */
export function softmaxVariant(view: AxisView, target: Target): SoftmaxVariant {
  const rows = view.outer * view.inner;
  if (target.adapterClass === "software") {
    return rows < 8 && view.n >= 512 ? "workgroup" : "invocation";
  }
  if (view.n < 32) return "invocation";
  return view.inner === 1 || rows < 4096 ? "workgroup" : "invocation";
}

/** y = softmax(x) along the axis of `view`, by the variant that suits shape and adapter. */
export function softmaxForward(
  view: AxisView,
  target: Target,
  options: SoftmaxOptions = {},
): Kernel {
  return softmaxVariant(view, target) === "workgroup"
    ? softmaxPerWorkgroup(view, options)
    : softmaxPerInvocation(view, options, axisLanes(view));
}

/** dx from y and the gradient by y, by the variant that suits shape and adapter. */
export function softmaxBackward(
  view: AxisView,
  target: Target,
  options: SoftmaxOptions = {},
): Kernel {
  return softmaxVariant(view, target) === "workgroup"
    ? softmaxBackwardPerWorkgroup(view, options)
    : softmaxBackwardPerInvocation(view, options, axisLanes(view));
}
