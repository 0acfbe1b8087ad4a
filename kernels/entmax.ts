/**
 * Entmax-1.5 (arXiv:1905.05702) along any axis, forward and backward: a softmax that gives exact zeros. Here one
 * invocation owns one row (or four).
 *
 * Math    With z = (x - max x) / 2:  y_i = max(z_i - t, 0)^2, where t is the threshold with sum y = 1.
 *         f(t) = sum max(z_i - t, 0)^2 - 1 is convex and falling, f(-1) >= 0 (the maximum alone gives 1), so Newton
 *           t <- t + f(t) / (2 sum max(z_i - t, 0))
 *         started at -1 climbs to the root and never passes it: no sorting, no bisection, no bracket. The number of
 *         rounds is fixed by the width (`entmaxRounds`), so that work and bits do not depend on the data.
 *         Backward, with g the gradient by y: y = s^2 for s = max(z - t, 0), so dy_i = 2 s_i (dz_i - dt), and sum dy = 0
 *         gives dt; hence
 *           dx_i = s_i (g_i - sum(s g) / sum(s)),  s = sqrt(y):   zero outside the support, and only y is needed.
 * Shapes  x, y, g, dx: [outer, n, inner] (axis_view.ts), f32.
 * Work    One invocation walks its row once a round; with `across` lanes a vec4 holds four rows, with `along` four
 *         numbers of one row.
 * Memory  (rounds + 2) readings of a row, all but the first from the cache; 7 operations a number and round. inner > 1:
 *         neighbours read neighbouring addresses; inner = 1: they are a row apart, which a GPU pays for, so there
 *         entmax_workgroup.ts gives a row to a workgroup and keeps it in registers.
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
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { GROUP_ARGUMENTS, MAX_F32 } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 32;

/**
 * Newton rounds after which the threshold is exact to f32 for every row of `n` numbers. The hardest row is flat: there
 * t climbs from -1 to -1 / sqrt(n) by halves, and the last rounds double the number of correct digits.
 */
export function entmaxRounds(n: number): number {
  if (n <= 294) return 8;
  if (n <= 1000) return 10;
  return n <= 4096 ? 12 : Math.ceil(Math.log2(n) / 2) + 6;
}

/**
 * WGSL: the Newton rounds. Needs `top` (the maximum) and the row `first`, `end` with `params.inner` between elements and
 * `params.rounds`; declares the threshold `key`, relative to the maximum.
 * @param logit expression of element `i`
 */
export function climbToThreshold(logit: string): string {
  return `var key = V(-1.0);
  for (var round = 0u; round < params.rounds; round++) {
    var sum = V(0.0);
    var squares = V(0.0);
    for (var i = first; i < end; i += params.inner) {
      let d = max((${logit} - top) * 0.5 - key, V(0.0));
      sum += d;
      squares += d * d;
    }
    key += (row_sum(squares) - 1.0) / (2.0 * row_sum(sum));
  }`;
}

const forward = memoize(({ lanes }: { lanes: AxisLanes }) =>
  defineProgram({
    name: "entmax15",
    variant: laneVariant(lanes),
    params: { rows: "u32", n: "u32", inner: "u32", rounds: "u32" },
    bindings: { x: `read ${laneType(lanes)}`, y: `write ${laneType(lanes)}` },
    workgroupSize: SIZE,
    code: wgsl`
${laneHelpers(lanes)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ROW_OF_INVOCATION}
  var top = V(-${MAX_F32});
  for (var i = first; i < end; i += params.inner) { top = max(top, x[i]); }
  top = row_max(top);
  ${climbToThreshold("x[i]")}
  for (var i = first; i < end; i += params.inner) {
    let d = max((x[i] - top) * 0.5 - key, V(0.0));
    y[i] = d * d;
  }
}`,
  })
);

const backward = memoize(({ lanes }: { lanes: AxisLanes }) =>
  defineProgram({
    name: "entmax15.backward",
    variant: laneVariant(lanes),
    params: { rows: "u32", n: "u32", inner: "u32" },
    bindings: {
      y: `read ${laneType(lanes)}`,
      dOut: `read ${laneType(lanes)}`,
      dx: `write ${laneType(lanes)}`,
    },
    workgroupSize: SIZE,
    code: wgsl`
${laneHelpers(lanes)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ROW_OF_INVOCATION}
  var weights = V(0.0);
  var weighted = V(0.0);
  for (var i = first; i < end; i += params.inner) {
    let s = sqrt(y[i]);
    weights += s;
    weighted += s * dOut[i];
  }
  let mean = row_sum(weighted) / row_sum(weights);
  for (var i = first; i < end; i += params.inner) { dx[i] = sqrt(y[i]) * (dOut[i] - mean); }
}`,
  })
);

/** y = entmax15(x), one row or four per invocation. */
export function entmaxPerInvocation(view: AxisView, lanes: AxisLanes): Kernel {
  const { outer, n, inner } = viewInLanes(view, lanes);
  const size = view.outer * view.n * view.inner, rounds = entmaxRounds(view.n);
  return {
    program: forward({ lanes }),
    params: { rows: outer * inner, n, inner, rounds },
    sizes: { x: size, y: size },
    workgroups: foldWorkgroups(ceilDiv(outer * inner, SIZE)),
    flops: (7 * rounds + 6) * size,
    bytes: 8 * size,
    reference: ({ x }) => entmaxReference(view, x),
  };
}

/** dx from y and the gradient by y, one row or four per invocation. */
export function entmaxBackwardPerInvocation(view: AxisView, lanes: AxisLanes): Kernel {
  const { outer, n, inner } = viewInLanes(view, lanes);
  const size = view.outer * view.n * view.inner;
  return {
    program: backward({ lanes }),
    params: { rows: outer * inner, n, inner },
    sizes: { y: size, dOut: size, dx: size },
    workgroups: foldWorkgroups(ceilDiv(outer * inner, SIZE)),
    flops: 7 * size,
    bytes: 12 * size,
    reference: ({ y, dOut }) => entmaxBackwardReference(view, y, dOut),
  };
}

/** The plain loop: the threshold by bisection in float64, so that it shares no idea with the kernel. */
export function entmaxReference(view: AxisView, x: ArrayLike<number>): { y: Float64Array } {
  const y = new Float64Array(x.length);
  forEachRow(view, (first, step) => {
    const z = new Float64Array(view.n);
    for (let i = 0; i < view.n; i++) z[i] = x[first + i * step] / 2;
    const top = z.reduce((a, b) => Math.max(a, b), -Infinity);
    let low = top - 1, high = top;
    for (let round = 0; round < 60; round++) {
      const middle = (low + high) / 2;
      let sum = 0;
      for (const v of z) sum += Math.max(v - middle, 0) ** 2;
      if (sum >= 1) low = middle;
      else high = middle;
    }
    for (let i = 0; i < view.n; i++) y[first + i * step] = Math.max(z[i] - low, 0) ** 2;
  });
  return { y };
}

/** The plain loop of the backward, from the output y. */
export function entmaxBackwardReference(
  view: AxisView,
  y: ArrayLike<number>,
  dOut: ArrayLike<number>,
): { dx: Float64Array } {
  const dx = new Float64Array(y.length);
  forEachRow(view, (first, step) => {
    let weights = 0, weighted = 0;
    for (let i = first, k = 0; k < view.n; i += step, k++) {
      weights += Math.sqrt(y[i]);
      weighted += Math.sqrt(y[i]) * dOut[i];
    }
    for (let i = first, k = 0; k < view.n; i += step, k++) {
      dx[i] = Math.sqrt(y[i]) * (dOut[i] - weighted / weights);
    }
  });
  return { dx };
}
