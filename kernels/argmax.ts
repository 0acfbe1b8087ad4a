/**
 * Where the maximum of each row lies, and how often it is where a label says.
 *
 * Math    argmax  y[o, c] = the smallest k for which x[o, k, c] is the largest of its row
 *         hits    y[r] = 1 if that k equals label[r], else 0
 *         No gradient flows through either.
 * Shapes  x [outer, n, inner] f32 -> y u32 [outer, inner]; hits: inner = 1, labels u32 [outer], y f32 [outer].
 * Work    One invocation a row walks it once, keeping the first of equals.
 * Memory  Each number is read once for one comparison. inner > 1: neighbours read neighbouring words; inner = 1: they are
 *         a row apart. It serves evaluation (ten to some thousand classes), a small part of the work there, so no variant
 *         shares a row among invocations.
 * @module
 */
import type { AxisView } from "./axis_view.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

const program = memoize(({ hits }: { hits: boolean }) =>
  defineProgram({
    name: hits ? "argmax_hits" : "argmax",
    params: { rows: "u32", n: "u32", inner: "u32" },
    bindings: hits
      ? { x: "read f32", labels: "read u32", y: "write f32" }
      : { x: "read f32", y: "write u32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let row = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (row >= params.rows) { return; }
  let begin = row / params.inner * params.n * params.inner + row % params.inner;
  var best = x[begin];
  var at = 0u;
  for (var k = 1u; k < params.n; k++) {
    let v = x[begin + k * params.inner];
    if (v > best) {
      best = v;
      at = k;
    }
  }
  #if ${hits}
  y[row] = select(0.0, 1.0, labels[row] == at);
  #else
  y[row] = at;
  #endif
}`,
  })
);

/** y = index of the maximum. Bindings: x, y. */
export function argmax({ outer, n, inner }: AxisView): Kernel {
  const rows = outer * inner;
  return {
    program: program({ hits: false }),
    params: { rows, n, inner },
    sizes: { x: rows * n, y: rows },
    workgroups: foldWorkgroups(ceilDiv(rows, SIZE)),
    flops: rows * n,
    bytes: 4 * rows * (n + 1),
    reference: ({ x }) => argmaxReference({ outer, n, inner }, x),
  };
}

/** y = 1 where the maximum of a row of x [rows, n] is at its label. Bindings: x, labels, y. */
export function argmaxHits(rows: number, n: number): Kernel {
  return {
    program: program({ hits: true }),
    params: { rows, n, inner: 1 },
    sizes: { x: rows * n, labels: rows, y: rows },
    workgroups: foldWorkgroups(ceilDiv(rows, SIZE)),
    flops: rows * n,
    bytes: 4 * rows * (n + 2),
    reference: ({ x, labels }) => argmaxHitsReference(n, x, labels),
  };
}

/** The plain loop of `argmax`. */
export function argmaxReference(
  { outer, n, inner }: AxisView,
  x: ArrayLike<number>,
): { y: Uint32Array } {
  const y = new Uint32Array(outer * inner);
  for (let row = 0; row < y.length; row++) {
    const begin = Math.floor(row / inner) * n * inner + row % inner;
    for (let k = 1; k < n; k++) {
      if (x[begin + k * inner] > x[begin + y[row] * inner]) y[row] = k;
    }
  }
  return { y };
}

/** The plain loop of `argmaxHits`. */
export function argmaxHitsReference(
  n: number,
  x: ArrayLike<number>,
  labels: ArrayLike<number>,
): { y: Float64Array } {
  const { y } = argmaxReference({ outer: labels.length, n, inner: 1 }, x);
  return { y: Float64Array.from(y, (k, row) => k === labels[row] ? 1 : 0) };
}
