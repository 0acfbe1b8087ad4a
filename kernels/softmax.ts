/**
 * Softmax and its logarithm along any axis, forward and backward; here one invocation owns one row (or four).
 *
 * Math    y_i = exp(x_i - m) / s,  m = max x,  s = sum_k exp(x_k - m)      (the maximum keeps exp from overflowing)
 *         log: y_i = x_i - m - log s
 *         dy_i/dx_k = y_i (delta_ik - y_k), hence with the gradient g of the loss by y
 *           dx_i = y_i (g_i - sum_k g_k y_k)           log: dx_i = g_i - exp(y_i) sum_k g_k
 *         Both need the output only, so y is what the op saves.
 * Shapes  x, y, g, dx: [outer, n, inner] (axis_view.ts), f32.
 * Work    One invocation walks a row three times: maximum, sum of exponentials (left in y), division. The backward walks
 *         twice. With `across` lanes a vec4 holds four neighbouring rows, with `along` four numbers of one row.
 * Memory  3 reads and 2 writes an element, of which the cache serves all but 1 and 1 while a row fits. inner > 1:
 *         neighbours read neighbouring addresses (coalesced). inner = 1: neighbours are a row apart, which a GPU pays
 *         with one transaction each; there softmax_workgroup.ts gives a row to a whole workgroup.
 * Ladder  one -> vec4 lanes -> workgroup (softmax_workgroup.ts).
 * Measured on lavapipe (2 cores), 4,728 rows of 196 or 197 numbers: one 3 ms, vec4 along 1.6, a workgroup per row 12;
 *         backward 2.7, 1.6 and 11.
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

/** What is computed. */
export interface SoftmaxOptions {
  /** The logarithm of softmax instead. Default false. */
  readonly log?: boolean;
}

/** Small workgroups: rows are few and long, and 32 fill the lanes of every adapter. */
const SIZE = 32;

interface Config {
  readonly lanes: AxisLanes;
  readonly log: boolean;
}

const forward = memoize(({ lanes, log }: Config) =>
  defineProgram({
    name: log ? "log_softmax" : "softmax",
    variant: laneVariant(lanes),
    params: { rows: "u32", n: "u32", inner: "u32" },
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
  var total = V(0.0);
  #if ${log}
  for (var i = first; i < end; i += params.inner) { total += exp(x[i] - top); }
  // two subtractions: top + log(total) would round away the logarithm of large inputs
  let log_total = log(row_sum(total));
  for (var i = first; i < end; i += params.inner) { y[i] = (x[i] - top) - log_total; }
  #else
  for (var i = first; i < end; i += params.inner) {
    let e = exp(x[i] - top);
    y[i] = e;
    total += e;
  }
  let scale = 1.0 / row_sum(total);
  for (var i = first; i < end; i += params.inner) { y[i] *= scale; }
  #endif
}`,
  })
);

const backward = memoize(({ lanes, log }: Config) =>
  defineProgram({
    name: log ? "log_softmax.backward" : "softmax.backward",
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
  var total = V(0.0);
  #if ${log}
  for (var i = first; i < end; i += params.inner) { total += dOut[i]; }
  let sum = row_sum(total);
  for (var i = first; i < end; i += params.inner) { dx[i] = dOut[i] - exp(y[i]) * sum; }
  #else
  for (var i = first; i < end; i += params.inner) { total += dOut[i] * y[i]; }
  let mean = row_sum(total);
  for (var i = first; i < end; i += params.inner) { dx[i] = y[i] * (dOut[i] - mean); }
  #endif
}`,
  })
);

/** y = softmax(x), one row or four per invocation. */
export function softmaxPerInvocation(
  view: AxisView,
  { log = false }: SoftmaxOptions,
  lanes: AxisLanes,
): Kernel {
  const { outer, n, inner } = viewInLanes(view, lanes);
  const size = view.outer * view.n * view.inner;
  return {
    program: forward({ lanes, log }),
    params: { rows: outer * inner, n, inner },
    sizes: { x: size, y: size },
    workgroups: foldWorkgroups(ceilDiv(outer * inner, SIZE)),
    flops: 5 * size,
    bytes: 8 * size,
    reference: ({ x }) => softmaxReference(view, x, { log }),
  };
}

/** dx from y and the gradient by y, one row or four per invocation. */
export function softmaxBackwardPerInvocation(
  view: AxisView,
  { log = false }: SoftmaxOptions,
  lanes: AxisLanes,
): Kernel {
  const { outer, n, inner } = viewInLanes(view, lanes);
  const size = view.outer * view.n * view.inner;
  return {
    program: backward({ lanes, log }),
    params: { rows: outer * inner, n, inner },
    sizes: { y: size, dOut: size, dx: size },
    workgroups: foldWorkgroups(ceilDiv(outer * inner, SIZE)),
    flops: 4 * size,
    bytes: 12 * size,
    reference: ({ y, dOut }) => softmaxBackwardReference(view, y, dOut, { log }),
  };
}

/** The plain loop: y = softmax(x) (or its logarithm) along the axis of `view`. */
export function softmaxReference(
  view: AxisView,
  x: ArrayLike<number>,
  { log = false }: SoftmaxOptions = {},
): { y: Float64Array } {
  const y = new Float64Array(x.length);
  forEachRow(view, (first, step) => {
    let top = -Infinity, total = 0;
    for (let i = 0; i < view.n; i++) top = Math.max(top, x[first + i * step]);
    for (let i = 0; i < view.n; i++) total += Math.exp(x[first + i * step] - top);
    for (let i = 0; i < view.n; i++) {
      const shifted = x[first + i * step] - top;
      y[first + i * step] = log ? shifted - Math.log(total) : Math.exp(shifted) / total;
    }
  });
  return { y };
}

/** The plain loop of the backward, from the output y. */
export function softmaxBackwardReference(
  view: AxisView,
  y: ArrayLike<number>,
  dOut: ArrayLike<number>,
  { log = false }: SoftmaxOptions = {},
): { dx: Float64Array } {
  const dx = new Float64Array(y.length);
  forEachRow(view, (first, step) => {
    let sum = 0;
    for (let i = first, k = 0; k < view.n; i += step, k++) sum += log ? dOut[i] : dOut[i] * y[i];
    for (let i = first, k = 0; k < view.n; i += step, k++) {
      dx[i] = log ? dOut[i] - Math.exp(y[i]) * sum : y[i] * (dOut[i] - sum);
    }
  });
  return { dx };
}
