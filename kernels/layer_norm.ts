/**
 * Layer normalisation over the last axis (arXiv:1607.06450), forward and backward; here one invocation owns a row.
 *
 * Math    m = mean(x),  v = mean((x - m)^2),  r = 1 / sqrt(v + eps),  h = (x - m) r,  y = h w + b
 *         With g the gradient of the loss by y, and a = g w the one by h: m and v depend on every x, which takes the
 *         parts of a along 1 and along h away,
 *           dx = r (a - mean(a) - h mean(a h)),   dw = sum over rows of g h,   db = sum over rows of g.
 * Shapes  x, y, g, dx: [rows, n]; w, b: [n] (each optional); stats: [rows, 2] = (m, r), saved for the backward;
 *         partials of dw and db: [strips, n]. All f32.
 * Work    Forward: an invocation walks its row three times (mean, variance, output). The two-pass variance is exact
 *         where E[x^2] - E[x]^2 cancels.
 *         Backward: a workgroup owns a strip of STRIP rows. First invocation t takes the two means of row t; after the
 *         one barrier it takes columns t, t + W, ... of all rows of the strip, writes dx and adds up its columns' share
 *         of dw and db. kernels/column_sum.ts adds the strips. No atomics: the order of additions is fixed.
 * Memory  Forward 8 bytes an element if the cache keeps a row (4 n bytes) for three passes; about 8 flops. Backward:
 *         x and g are read twice, dx written once; the second reading is coalesced, the first a row per invocation.
 *         On a GPU that first reading is slow: layer_norm_workgroup.ts.
 * Measured on lavapipe (2 cores), [1576, 192] with weight and bias: 0.6 ms forward and 0.7 backward; a workgroup per row
 *         takes 4.3 and 4.1.
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
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes and options of a layer norm. */
export interface LayerNormShape {
  /** Number of rows. */
  readonly rows: number;
  /** Length of a row. */
  readonly n: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Is there a weight? */
  readonly weight: boolean;
  /** Is there a bias? */
  readonly bias: boolean;
}

const SIZE = 32;
/** Rows of a strip of the backward, and invocations of its workgroups. */
const STRIP = 64;

interface Config {
  readonly vectors: boolean;
  readonly weight: boolean;
  readonly bias: boolean;
}

/** `alias V`, and the sum over the components of one. */
const lanes = (vectors: boolean) =>
  vectors
    ? "alias V = vec4f;\nfn total(v: V) -> f32 { return (v.x + v.y) + (v.z + v.w); }"
    : "alias V = f32;\nfn total(v: V) -> f32 { return v; }";

const forward = memoize(({ vectors, weight, bias }: Config) => {
  const type = vectors ? "vec4<f32>" : "f32";
  return defineProgram({
    name: "layer_norm",
    variant: vectors ? "row per invocation, vec4" : "readable",
    params: { rows: "u32", n: "u32", length: "f32", eps: "f32" },
    bindings: {
      x: `read ${type}`,
      ...(weight ? { weight: `read ${type}` as const } : {}),
      ...(bias ? { bias: `read ${type}` as const } : {}),
      y: `write ${type}`,
      stats: "write vec2<f32>",
    },
    workgroupSize: SIZE,
    code: wgsl`
${lanes(vectors)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let row = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (row >= params.rows) { return; }
  let first = row * params.n;
  var sum = V(0.0);
  for (var i = 0u; i < params.n; i++) { sum += x[first + i]; }
  let mean = total(sum) / params.length;
  var squares = V(0.0);
  for (var i = 0u; i < params.n; i++) {
    let d = x[first + i] - mean;
    squares += d * d;
  }
  let rstd = 1.0 / sqrt(total(squares) / params.length + params.eps);
  for (var i = 0u; i < params.n; i++) {
    var h = (x[first + i] - mean) * rstd;
    #if ${weight}
    h *= weight[i];
    #endif
    #if ${bias}
    h += bias[i];
    #endif
    y[first + i] = h;
  }
  stats[row] = vec2f(mean, rstd);
}`,
  });
});

interface BackwardConfig {
  readonly vectors: boolean;
  readonly weight: boolean;
  /** Also make the partial sums of dw and db. */
  readonly partials: boolean;
}

const backward = memoize(({ vectors, weight, partials }: BackwardConfig) => {
  const type = vectors ? "vec4<f32>" : "f32";
  return defineProgram({
    name: "layer_norm.backward",
    variant: vectors ? "strips, vec4" : "readable",
    params: { rows: "u32", n: "u32", length: "f32" },
    bindings: {
      x: `read ${type}`,
      stats: "read vec2<f32>",
      dOut: `read ${type}`,
      ...(weight ? { weight: `read ${type}` as const } : {}),
      dx: `write ${type}`,
      ...(partials ? { dWeight: `write ${type}` as const, dBias: `write ${type}` as const } : {}),
    },
    workgroupSize: STRIP,
    workgroupBytes: 8 * STRIP,
    code: wgsl`
${lanes(vectors)}
var<workgroup> means: array<vec2f, ${STRIP}>; // mean(a) and mean(a h) of every row of the strip
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let strip = ${FOLDED_GROUP};
  let begin = strip * ${STRIP}u;
  if (begin >= params.rows) { return; }
  let end = min(begin + ${STRIP}u, params.rows);
  if (begin + t < end) {
    let first = (begin + t) * params.n;
    let s = stats[begin + t];
    var along_one = V(0.0);
    var along_h = V(0.0);
    for (var i = 0u; i < params.n; i++) {
      #if ${weight}
      let a = dOut[first + i] * weight[i];
      #else
      let a = dOut[first + i];
      #endif
      along_one += a;
      along_h += a * (x[first + i] - s.x);
    }
    means[t] = vec2f(total(along_one), total(along_h) * s.y) / params.length;
  }
  workgroupBarrier();
  for (var i = t; i < params.n; i += WORKGROUP_SIZE) {
    #if ${weight}
    let w = weight[i];
    #endif
    var dw = V(0.0);
    var db = V(0.0);
    for (var row = begin; row < end; row++) {
      let s = stats[row];
      let mean = means[row - begin];
      let g = dOut[row * params.n + i];
      let h = (x[row * params.n + i] - s.x) * s.y;
      dw += g * h;
      db += g;
      #if ${weight}
      dx[row * params.n + i] = s.y * (g * w - mean.x - h * mean.y);
      #else
      dx[row * params.n + i] = s.y * (g - mean.x - h * mean.y);
      #endif
    }
    #if ${partials}
    dWeight[strip * params.n + i] = dw;
    dBias[strip * params.n + i] = db;
    #endif
  }
}`,
  });
});

/** y and stats, a row per invocation. */
export function layerNormPerInvocation(shape: LayerNormShape): Kernel {
  const { rows, n, eps, weight, bias } = shape;
  const vectors = n % 4 === 0;
  return {
    program: forward({ vectors, weight, bias }),
    params: { rows, n: vectors ? n / 4 : n, length: n, eps },
    sizes: { x: rows * n, weight: n, bias: n, y: rows * n, stats: 2 * rows },
    workgroups: foldWorkgroups(ceilDiv(rows, SIZE)),
    flops: 8 * rows * n,
    bytes: 8 * rows * n + 8 * rows + 4 * n * (Number(weight) + Number(bias)),
    reference: ({ x, weight, bias }) => layerNormReference(shape, x, weight, bias),
  };
}

/** How many strips the partial sums of dw and db have with `layerNormBackwardStrips`. */
export function layerNormStrips(rows: number): number {
  return ceilDiv(rows, STRIP);
}

/** dx and, with `partials`, a strip's share of dw and db: [strips, n] each. */
export function layerNormBackwardStrips(shape: LayerNormShape, partials: boolean): Kernel {
  const { rows, n, weight } = shape;
  const vectors = n % 4 === 0;
  const strips = layerNormStrips(rows);
  return {
    program: backward({ vectors, weight, partials }),
    params: { rows, n: vectors ? n / 4 : n, length: n },
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
    reference: (inputs) => layerNormStripsReference(shape, STRIP, inputs),
  };
}

/** The plain loop of the forward. */
export function layerNormReference(
  { rows, n, eps }: Pick<LayerNormShape, "rows" | "n" | "eps">,
  x: ArrayLike<number>,
  weight?: ArrayLike<number>,
  bias?: ArrayLike<number>,
): { y: Float64Array; stats: Float64Array } {
  const y = new Float64Array(rows * n), stats = new Float64Array(2 * rows);
  for (let row = 0; row < rows; row++) {
    let mean = 0, variance = 0;
    for (let i = 0; i < n; i++) mean += x[row * n + i] / n;
    for (let i = 0; i < n; i++) variance += (x[row * n + i] - mean) ** 2 / n;
    const rstd = 1 / Math.sqrt(variance + eps);
    for (let i = 0; i < n; i++) {
      y[row * n + i] = (x[row * n + i] - mean) * rstd * (weight?.[i] ?? 1) + (bias?.[i] ?? 0);
    }
    stats.set([mean, rstd], 2 * row);
  }
  return { y, stats };
}

/** The plain loop of the backward kernels: partial sums of dWeight and dBias for each strip of rows. */
export function layerNormStripsReference(
  { rows, n }: Pick<LayerNormShape, "rows" | "n">,
  strip: number,
  { x, stats, dOut, weight }: Values,
): { dx: Float64Array; dWeight: Float64Array; dBias: Float64Array } {
  const dx = new Float64Array(rows * n), strips = ceilDiv(rows, strip);
  const dWeight = new Float64Array(strips * n), dBias = new Float64Array(strips * n);
  const x64 = Float64Array.from(x), stats64 = Float64Array.from(stats);
  const dOut64 = Float64Array.from(dOut);
  for (let s = 0; s < strips; s++) {
    const from = s * strip, to = Math.min(rows, from + strip);
    const part = layerNormBackwardReference(
      { rows: to - from, n },
      x64.subarray(from * n, to * n),
      stats64.subarray(2 * from, 2 * to),
      dOut64.subarray(from * n, to * n),
      weight,
    );
    dx.set(part.dx, from * n);
    dWeight.set(part.dWeight, s * n);
    dBias.set(part.dBias, s * n);
  }
  return { dx, dWeight, dBias };
}

/** The plain loop of the backward; dWeight and dBias are whole sums, not partial ones. */
export function layerNormBackwardReference(
  { rows, n }: Pick<LayerNormShape, "rows" | "n">,
  x: ArrayLike<number>,
  stats: ArrayLike<number>,
  dOut: ArrayLike<number>,
  weight?: ArrayLike<number>,
): { dx: Float64Array; dWeight: Float64Array; dBias: Float64Array } {
  const dx = new Float64Array(rows * n);
  const dWeight = new Float64Array(n), dBias = new Float64Array(n);
  for (let row = 0; row < rows; row++) {
    const mean = stats[2 * row], rstd = stats[2 * row + 1];
    let alongOne = 0, alongH = 0;
    for (let i = 0; i < n; i++) {
      const at = row * n + i, h = (x[at] - mean) * rstd, a = dOut[at] * (weight?.[i] ?? 1);
      alongOne += a / n;
      alongH += a * h / n;
      dWeight[i] += dOut[at] * h;
      dBias[i] += dOut[at];
    }
    for (let i = 0; i < n; i++) {
      const at = row * n + i, h = (x[at] - mean) * rstd;
      dx[at] = rstd * (dOut[at] * (weight?.[i] ?? 1) - alongOne - h * alongH);
    }
  }
  return { dx, dWeight, dBias };
}
