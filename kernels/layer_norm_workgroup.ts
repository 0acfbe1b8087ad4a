/**
 * Layer normalisation with a whole workgroup per row, and the choice of the variant.
 *
 * Math    In layer_norm.ts.
 * Shapes  x, y, g, dx: [rows, n] with n <= 2,048; w, b: [n]; stats: [rows, 2]; partials of dw and db: [strips, n]. f32.
 * Work    Invocation t of W owns columns t, t + W, ... and keeps them in registers (at most 8). Forward: one row a
 *         workgroup, two trees (sum, then squares of the differences). Backward: one strip of rows a workgroup, row
 *         after row; the two means come from one tree over vec2, and dw, db of the own columns stay in registers until
 *         the strip is done.
 * Memory  Forward 8 bytes an element, backward 12: each is read once, all accesses coalesced. 8 and 14 flops: bound by
 *         memory.
 * Cost    log2 W + 2 barriers a tree: hidden on a GPU by other workgroups, dear on a software adapter.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import {
  layerNormBackwardStrips,
  layerNormPerInvocation,
  layerNormReference,
  type LayerNormShape,
  layerNormStrips,
  layerNormStripsReference,
} from "./layer_norm.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, workgroupReduce, workgroupSum } from "./snippets.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** Columns an invocation keeps in registers. */
const KEPT = 8;
/** Strips the backward aims at: enough workgroups for a large GPU, few partial sums. */
const STRIPS = 256;

interface Config {
  readonly size: number;
  readonly kept: number;
  readonly weight: boolean;
  readonly bias: boolean;
}

function tile(n: number): { size: number; kept: number } {
  const size = n <= 512 ? 64 : 256;
  return { size, kept: Math.ceil(n / size) };
}

const forward = memoize(({ size, kept, weight, bias }: Config) =>
  defineProgram({
    name: "layer_norm",
    variant: `workgroup ${size} per row`,
    params: { rows: "u32", n: "u32", eps: "f32" },
    bindings: {
      x: "read f32",
      ...(weight ? { weight: "read f32" as const } : {}),
      ...(bias ? { bias: "read f32" as const } : {}),
      y: "write f32",
      stats: "write vec2<f32>",
    },
    workgroupSize: size,
    workgroupBytes: 4 * size,
    code: wgsl`
${workgroupSum(size)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let row = ${FOLDED_GROUP};
  if (row >= params.rows) { return; }
  let first = row * params.n;
  var own: array<f32, ${kept}>;
  var sum = 0.0;
  for (var k = 0u; k < ${kept}u; k++) {
    let i = k * WORKGROUP_SIZE + t;
    if (i < params.n) { own[k] = x[first + i]; }
    sum += own[k]; // 0 beyond the row
  }
  let mean = workgroup_sum(sum, t) / f32(params.n);
  var squares = 0.0;
  for (var k = 0u; k < ${kept}u; k++) {
    let d = own[k] - mean;
    squares += select(0.0, d * d, k * WORKGROUP_SIZE + t < params.n);
  }
  let rstd = 1.0 / sqrt(workgroup_sum(squares, t) / f32(params.n) + params.eps);
  for (var k = 0u; k < ${kept}u; k++) {
    let i = k * WORKGROUP_SIZE + t;
    if (i < params.n) {
      var h = (own[k] - mean) * rstd;
      #if ${weight}
      h *= weight[i];
      #endif
      #if ${bias}
      h += bias[i];
      #endif
      y[first + i] = h;
    }
  }
  if (t == 0u) { stats[row] = vec2f(mean, rstd); }
}`,
  })
);

interface BackwardConfig {
  readonly size: number;
  readonly kept: number;
  readonly weight: boolean;
  readonly partials: boolean;
}

const backward = memoize(({ size, kept, weight, partials }: BackwardConfig) =>
  defineProgram({
    name: "layer_norm.backward",
    variant: `workgroup ${size} per strip`,
    params: { rows: "u32", n: "u32", strip: "u32" },
    bindings: {
      x: "read f32",
      stats: "read vec2<f32>",
      dOut: "read f32",
      ...(weight ? { weight: "read f32" as const } : {}),
      dx: "write f32",
      ...(partials ? { dWeight: "write f32" as const, dBias: "write f32" as const } : {}),
    },
    workgroupSize: size,
    workgroupBytes: 8 * size,
    code: wgsl`
${workgroupReduce("workgroup_sums", size, "a + b", "vec2f")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let strip = ${FOLDED_GROUP};
  if (strip * params.strip >= params.rows) { return; }
  var dw: array<f32, ${kept}>;
  var db: array<f32, ${kept}>;
  for (var r = 0u; r < params.strip; r++) { // as often in every workgroup, for the barriers inside
    let row = strip * params.strip + r;
    let live = row < params.rows;
    let s = stats[min(row, params.rows - 1u)];
    let first = row * params.n;
    var a: array<f32, ${kept}>;
    var h: array<f32, ${kept}>;
    var sums = vec2f(0.0);
    for (var k = 0u; k < ${kept}u; k++) {
      let i = k * WORKGROUP_SIZE + t;
      a[k] = 0.0;
      h[k] = 0.0;
      if (live && i < params.n) {
        let g = dOut[first + i];
        h[k] = (x[first + i] - s.x) * s.y;
        dw[k] += g * h[k];
        db[k] += g;
        #if ${weight}
        a[k] = g * weight[i];
        #else
        a[k] = g;
        #endif
      }
      sums += vec2f(a[k], a[k] * h[k]);
    }
    let means = workgroup_sums(sums, t) / f32(params.n);
    for (var k = 0u; k < ${kept}u; k++) {
      let i = k * WORKGROUP_SIZE + t;
      if (live && i < params.n) { dx[first + i] = s.y * (a[k] - means.x - h[k] * means.y); }
    }
  }
  #if ${partials}
  for (var k = 0u; k < ${kept}u; k++) {
    let i = k * WORKGROUP_SIZE + t;
    if (i < params.n) {
      dWeight[strip * params.n + i] = dw[k];
      dBias[strip * params.n + i] = db[k];
    }
  }
  #endif
}`,
  })
);

/** y and stats, a workgroup per row of at most 2,048 elements. */
export function layerNormPerWorkgroup(shape: LayerNormShape): Kernel {
  const { rows, n, eps, weight, bias } = shape;
  return {
    program: forward({ ...tile(n), weight, bias }),
    params: { rows, n, eps },
    sizes: { x: rows * n, weight: n, bias: n, y: rows * n, stats: 2 * rows },
    workgroups: foldWorkgroups(rows),
    flops: 8 * rows * n,
    bytes: 8 * rows * n + 8 * rows + 4 * n * (Number(weight) + Number(bias)),
    reference: ({ x, weight, bias }) => layerNormReference(shape, x, weight, bias),
  };
}

/** Rows of a strip of `layerNormBackwardPerWorkgroup`. */
function stripRows(rows: number): number {
  return Math.min(64, ceilDiv(rows, STRIPS));
}

/** dx and, with `partials`, a strip's share of dw and db, for rows of at most 2,048 elements. */
export function layerNormBackwardPerWorkgroup(shape: LayerNormShape, partials: boolean): Kernel {
  const { rows, n, weight } = shape;
  const strip = stripRows(rows), strips = ceilDiv(rows, strip);
  return {
    program: backward({ ...tile(n), weight, partials }),
    params: { rows, n, strip },
    sizes: {
      x: rows * n,
      stats: 2 * rows,
      dOut: rows * n,
      weight: n,
      dx: rows * n,
      dWeight: strips * n,
      dBias: strips * n,
    },
    workgroups: foldWorkgroups(strips),
    flops: 14 * rows * n,
    bytes: 12 * rows * n + 8 * rows + 4 * n * Number(weight) + (partials ? 8 * strips * n : 0),
    reference: (inputs) => layerNormStripsReference(shape, strip, inputs),
  };
}

/** How rows are shared out. */
export type LayerNormVariant = "invocation" | "workgroup";

/** A workgroup per row on GPUs, while a row fits its registers; a row per invocation on software adapters. */
export function layerNormVariant(
  { n }: Pick<LayerNormShape, "n">,
  target: Target,
): LayerNormVariant {
  if (target.adapterClass === "software" || n < 32) return "invocation";
  return tile(n).kept <= KEPT ? "workgroup" : "invocation";
}

/** y and stats, by the variant that suits shape and adapter. */
export function layerNormForward(shape: LayerNormShape, target: Target): Kernel {
  return layerNormVariant(shape, target) === "workgroup"
    ? layerNormPerWorkgroup(shape)
    : layerNormPerInvocation(shape);
}

/** dx and, with `partials`, `strips` partial sums of dw and db, by the variant that suits shape and adapter. */
export function layerNormBackward(
  shape: LayerNormShape,
  target: Target,
  partials: boolean,
): { kernel: Kernel; strips: number } {
  return layerNormVariant(shape, target) === "workgroup"
    ? {
      kernel: layerNormBackwardPerWorkgroup(shape, partials),
      strips: ceilDiv(shape.rows, stripRows(shape.rows)),
    }
    : {
      kernel: layerNormBackwardStrips(shape, partials),
      strips: layerNormStrips(shape.rows),
    };
}
