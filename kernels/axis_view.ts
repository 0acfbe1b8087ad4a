/**
 * One axis of an array, as the kernels that work along it see it: `[outer, n, inner]`.
 *
 * Row-major order puts element i of row (o, k) at `(o n + i) inner + k`: a row is `n` elements, `inner` apart. With
 * inner = 1 rows lie one after another; with inner > 1 they are interleaved, and neighbouring invocations that own
 * neighbouring rows read neighbouring addresses.
 * @module
 */

import type { ElementType } from "./kernel.ts";
import { FOLDED_GROUP } from "./snippets.ts";

/** Sizes before, along and after an axis. */
export interface AxisView {
  /** Product of the dimensions before the axis. */
  readonly outer: number;
  /** Length of the axis. */
  readonly n: number;
  /** Product of the dimensions after the axis. */
  readonly inner: number;
}

/** The view of `shape` along `axis`, which must be in [0, rank). */
export function axisView(shape: readonly number[], axis: number): AxisView {
  const product = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);
  return {
    outer: product(shape.slice(0, axis)),
    n: shape[axis],
    inner: product(shape.slice(axis + 1)),
  };
}

/** Calls `visit(first, step)` once per row: element i of the row is at `first + i * step`. For plain-loop references. */
export function forEachRow(view: AxisView, visit: (first: number, step: number) => void): void {
  for (let o = 0; o < view.outer; o++) {
    for (let k = 0; k < view.inner; k++) visit(o * view.n * view.inner + k, view.inner);
  }
}

/**
 * How one invocation can hold several numbers of such a view at once:
 * `one` row, scalar by scalar; `along` one row, four neighbours of it in a vector (inner = 1);
 * `across` four neighbouring rows, one in each component (inner divisible by 4).
 */
export type AxisLanes = "one" | "along" | "across";

/** The widest lanes that fit a view: vectors need 4 numbers side by side, and every row must start at a multiple of 4. */
export function axisLanes({ n, inner }: AxisView): AxisLanes {
  if (inner % 4 === 0) return "across";
  return inner === 1 && n % 4 === 0 ? "along" : "one";
}

/** The view counted in the lanes' elements (vectors, unless lanes are `one`). */
export function viewInLanes({ outer, n, inner }: AxisView, lanes: AxisLanes): AxisView {
  if (lanes === "along") return { outer, n: n / 4, inner };
  return lanes === "across" ? { outer, n, inner: inner / 4 } : { outer, n, inner };
}

/** The element of a buffer that is read in such lanes. */
export function laneType(lanes: AxisLanes): ElementType {
  return lanes === "one" ? "f32" : "vec4<f32>";
}

/** The variant's name of a kernel that gives a row (or four) to each invocation. */
export function laneVariant(lanes: AxisLanes): string {
  return lanes === "one" ? "readable" : `row per invocation, vec4 ${lanes}`;
}

/**
 * WGSL: which row an invocation owns; those without one leave. Its elements are `first`, `first + params.inner`, ...
 * below `end`. Needs `params.rows`, `params.n` and `params.inner`, counted in the lanes' elements.
 */
export const ROW_OF_INVOCATION = `
  let row = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (row >= params.rows) { return; }
  let first = (row / params.inner) * params.n * params.inner + row % params.inner;
  let end = first + params.n * params.inner;`;

/** WGSL: which row a workgroup owns, and its first element. Whole workgroups leave, so barriers stay legal. */
export const ROW_OF_WORKGROUP = `
  let row = ${FOLDED_GROUP};
  if (row >= params.rows) { return; }
  let first = (row / params.inner) * params.n * params.inner + row % params.inner;`;

/**
 * WGSL for kernels with one row (or four) per invocation: `alias V`, and what combines a vector's components into a
 * result for the whole row (nothing to do when components are different rows).
 */
export function laneHelpers(lanes: AxisLanes): string {
  if (lanes === "one") {
    return `alias V = f32;
fn row_max(v: V) -> V { return v; }
fn row_sum(v: V) -> V { return v; }`;
  }
  if (lanes === "across") {
    return `alias V = vec4f;
fn row_max(v: V) -> V { return v; }
fn row_sum(v: V) -> V { return v; }`;
  }
  return `alias V = vec4f;
fn row_max(v: V) -> V { return V(max(max(v.x, v.y), max(v.z, v.w))); }
fn row_sum(v: V) -> V { return V((v.x + v.y) + (v.z + v.w)); }`;
}
