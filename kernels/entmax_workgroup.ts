/**
 * Entmax-1.5 with a whole workgroup per row, and the choice of the variant.
 *
 * Math    In entmax.ts.
 * Shapes  x, y, g, dx: [outer, n, inner] (axis_view.ts), f32.
 * Work    Invocation t of W owns elements t, t + W, ... and keeps up to 8 of them in registers through all Newton
 *         rounds; a round ends in one tree over (sum, sum of squares) as a vec2.
 * Memory  Each number is read once and written once: 8 bytes, coalesced where inner = 1. Longer rows are read again in
 *         every round, from the cache.
 * Cost    (log2 W + 2) barriers a round. A GPU hides them behind other rows; a software adapter does not.
 * @module
 */
import { axisLanes, type AxisView, ROW_OF_WORKGROUP } from "./axis_view.ts";
import {
  entmaxBackwardPerInvocation,
  entmaxBackwardReference,
  entmaxPerInvocation,
  entmaxReference,
  entmaxRounds,
} from "./entmax.ts";
import { defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { GROUP_ARGUMENTS, MAX_F32, workgroupMax, workgroupReduce } from "./snippets.ts";
import { softmaxVariant } from "./softmax_workgroup.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** Elements an invocation keeps in registers. */
const KEPT = 8;

interface Config {
  readonly size: number;
  /** How many elements of its row an invocation keeps; 0: the row is longer and read again. */
  readonly kept: number;
}

function config(n: number): Config {
  const size = n <= 64 * KEPT ? 64 : 256;
  const kept = Math.ceil(n / size);
  return { size, kept: kept <= KEPT ? kept : 0 };
}

const forward = memoize(({ size, kept }: Config) =>
  defineProgram({
    name: "entmax15",
    variant: `workgroup ${size} per row`,
    params: { rows: "u32", n: "u32", inner: "u32", rounds: "u32" },
    bindings: { x: "read f32", y: "write f32" },
    workgroupSize: size,
    workgroupBytes: 12 * size,
    code: wgsl`
${workgroupMax(size)}
${workgroupReduce("workgroup_sums", size, "a + b", "vec2f")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ROW_OF_WORKGROUP}
  var top = -${MAX_F32};
  #if ${kept > 0}
  var own: array<f32, ${Math.max(1, kept)}>;
  for (var k = 0u; k < ${kept}u; k++) {
    let i = k * WORKGROUP_SIZE + t;
    own[k] = -${MAX_F32};
    if (i < params.n) { own[k] = x[first + i * params.inner]; }
    top = max(top, own[k]);
  }
  #else
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) { top = max(top, x[first + i * params.inner]); }
  #endif
  top = workgroup_max(top, t);
  var threshold = -1.0;
  for (var round = 0u; round < params.rounds; round++) {
    var sums = vec2f(0.0);
    #if ${kept > 0}
    for (var k = 0u; k < ${kept}u; k++) {
      let d = max((own[k] - top) * 0.5 - threshold, 0.0); // 0 beyond the row
      sums += vec2f(d, d * d);
    }
    #else
    for (var i = t; i < params.n; i += WORKGROUP_SIZE) {
      let d = max((x[first + i * params.inner] - top) * 0.5 - threshold, 0.0);
      sums += vec2f(d, d * d);
    }
    #endif
    let total = workgroup_sums(sums, t);
    threshold += (total.y - 1.0) / (2.0 * total.x);
  }
  #if ${kept > 0}
  for (var k = 0u; k < ${kept}u; k++) {
    let i = k * WORKGROUP_SIZE + t;
    let d = max((own[k] - top) * 0.5 - threshold, 0.0);
    if (i < params.n) { y[first + i * params.inner] = d * d; }
  }
  #else
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) {
    let d = max((x[first + i * params.inner] - top) * 0.5 - threshold, 0.0);
    y[first + i * params.inner] = d * d;
  }
  #endif
}`,
  })
);

const backward = memoize(({ size }: Pick<Config, "size">) =>
  defineProgram({
    name: "entmax15.backward",
    variant: `workgroup ${size} per row`,
    params: { rows: "u32", n: "u32", inner: "u32" },
    bindings: { y: "read f32", dOut: "read f32", dx: "write f32" },
    workgroupSize: size,
    workgroupBytes: 8 * size,
    code: wgsl`
${workgroupReduce("workgroup_sums", size, "a + b", "vec2f")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ROW_OF_WORKGROUP}
  var sums = vec2f(0.0);
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) {
    let at = first + i * params.inner;
    let s = sqrt(y[at]);
    sums += vec2f(s, s * dOut[at]);
  }
  sums = workgroup_sums(sums, t);
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) { // the second reading comes from the cache
    let at = first + i * params.inner;
    dx[at] = sqrt(y[at]) * (dOut[at] - sums.y / sums.x);
  }
}`,
  })
);

/** y = entmax15(x), one workgroup per row. */
export function entmaxPerWorkgroup(view: AxisView): Kernel {
  const rows = view.outer * view.inner, size = rows * view.n, rounds = entmaxRounds(view.n);
  return {
    program: forward(config(view.n)),
    params: { rows, n: view.n, inner: view.inner, rounds },
    sizes: { x: size, y: size },
    workgroups: foldWorkgroups(rows),
    flops: (7 * rounds + 6) * size,
    bytes: 8 * size,
    reference: ({ x }) => entmaxReference(view, x),
  };
}

/** dx from y and the gradient by y, one workgroup per row. */
export function entmaxBackwardPerWorkgroup(view: AxisView): Kernel {
  const rows = view.outer * view.inner, size = rows * view.n;
  return {
    program: backward({ size: config(view.n).size }),
    params: { rows, n: view.n, inner: view.inner },
    sizes: { y: size, dOut: size, dx: size },
    workgroups: foldWorkgroups(rows),
    flops: 7 * size,
    bytes: 12 * size,
    reference: ({ y, dOut }) => entmaxBackwardReference(view, y, dOut),
  };
}

/** y = entmax15(x) along the axis of `view`, by the variant that suits shape and adapter (as for softmax). */
export function entmaxForward(view: AxisView, target: Target): Kernel {
  return softmaxVariant(view, target) === "workgroup"
    ? entmaxPerWorkgroup(view)
    : entmaxPerInvocation(view, axisLanes(view));
}

/** dx from y and the gradient by y, by the variant that suits shape and adapter. */
export function entmaxBackward(view: AxisView, target: Target): Kernel {
  return softmaxVariant(view, target) === "workgroup"
    ? entmaxBackwardPerWorkgroup(view)
    : entmaxBackwardPerInvocation(view, axisLanes(view));
}
