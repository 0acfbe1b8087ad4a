/**
 * Rows scaled to length one, forward and backward, with an epsilon that is added to the norm as MoE Jetpack does
 * (arXiv:2406.04801).
 *
 * Math    y = x r,  r = 1 / (|x| + eps)
 *         dr/dx = -r^2 x / |x|, hence with g the gradient of the loss by y
 *           dx = r g - r^2 <g, x> x / |x|
 *         At x = 0 the last factor is 0/0. It counts as 0 here (dx = g / eps), where automatic differentiation of the
 *         formula gives NaN.
 * Shapes  x, y, g, dx: [rows, n], f32.
 * Work    One invocation per row, in vec4 where n allows; `workgroup`: one workgroup per row, reductions as trees, so that
 *         on a GPU neighbours read neighbouring words.
 * Memory  x twice (the second time from the cache), y once. 3 flops for 8 bytes, backward 7 for 12:
 *         bound by memory. The norm is not saved: the backward reads x anyway.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, workgroupReduce, workgroupSum } from "./snippets.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes of a row-wise normalisation. */
export interface L2NormalizeShape {
  /** Number of rows. */
  readonly rows: number;
  /** Length of a row. */
  readonly n: number;
  /** Added to the norm. */
  readonly eps: number;
}

/** Who owns a row, and in what elements it is read. */
export type L2NormalizeVariant = "readable" | "vec4" | "workgroup";

interface Config {
  readonly variant: L2NormalizeVariant;
}

const sizeOf = ({ variant }: Config) => variant === "workgroup" ? 64 : 32;
const typeOf = ({ variant }: Config) => variant === "vec4" ? "vec4<f32>" : "f32";

/** WGSL: `begin`, `end` and `STEP`, which of the elements of its row an invocation walks. */
function ownRow({ variant }: Config): string {
  return variant === "workgroup"
    ? `let row = ${FOLDED_GROUP};
  if (row >= params.rows) { return; }
  let begin = row * params.n + t;
  let end = (row + 1u) * params.n;
  const STEP = WORKGROUP_SIZE;`
    : `let row = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (row >= params.rows) { return; }
  let begin = row * params.n;
  let end = begin + params.n;
  const STEP = 1u;`;
}

const dot = ({ variant }: Config) => variant === "vec4" ? "dot(a, b)" : "a * b";

const forward = memoize((config: Config) =>
  defineProgram({
    name: "l2_normalize",
    variant: config.variant,
    params: { rows: "u32", n: "u32", eps: "f32" },
    bindings: { x: `read ${typeOf(config)}`, y: `write ${typeOf(config)}` },
    workgroupSize: sizeOf(config),
    workgroupBytes: config.variant === "workgroup" ? 4 * sizeOf(config) : 0,
    code: wgsl`
#if ${config.variant === "workgroup"}
${workgroupSum(sizeOf(config))}
#endif
fn product(a: ${typeOf(config)}, b: ${typeOf(config)}) -> f32 { return ${dot(config)}; }
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ownRow(config)}
  var squares = 0.0;
  for (var i = begin; i < end; i += STEP) { squares += product(x[i], x[i]); }
  #if ${config.variant === "workgroup"}
  squares = workgroup_sum(squares, t);
  #endif
  let scale = 1.0 / (sqrt(squares) + params.eps);
  for (var i = begin; i < end; i += STEP) { y[i] = x[i] * scale; }
}`,
  })
);

const backward = memoize((config: Config) =>
  defineProgram({
    name: "l2_normalize.backward",
    variant: config.variant,
    params: { rows: "u32", n: "u32", eps: "f32" },
    bindings: {
      x: `read ${typeOf(config)}`,
      dOut: `read ${typeOf(config)}`,
      dx: `write ${typeOf(config)}`,
    },
    workgroupSize: sizeOf(config),
    workgroupBytes: config.variant === "workgroup" ? 8 * sizeOf(config) : 0,
    code: wgsl`
#if ${config.variant === "workgroup"}
${workgroupReduce("workgroup_sums", sizeOf(config), "a + b", "vec2f")}
#endif
fn product(a: ${typeOf(config)}, b: ${typeOf(config)}) -> f32 { return ${dot(config)}; }
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ownRow(config)}
  var sums = vec2f(0.0); // |x|^2 and <g, x>
  for (var i = begin; i < end; i += STEP) {
    sums += vec2f(product(x[i], x[i]), product(dOut[i], x[i]));
  }
  #if ${config.variant === "workgroup"}
  sums = workgroup_sums(sums, t);
  #endif
  let norm = sqrt(sums.x);
  let scale = 1.0 / (norm + params.eps);
  // select, because 0 * (1 / 0) is NaN
  let pull = select(0.0, scale * scale * sums.y / norm, norm > 0.0);
  for (var i = begin; i < end; i += STEP) { dx[i] = dOut[i] * scale - x[i] * pull; }
}`,
  })
);

/** A workgroup per row on GPUs for rows that fill it; an invocation per row otherwise and on software adapters. */
export function l2NormalizeVariant(
  { n }: Pick<L2NormalizeShape, "n">,
  target: Target,
): L2NormalizeVariant {
  if (target.adapterClass !== "software" && n >= 64) return "workgroup";
  return n % 4 === 0 ? "vec4" : "readable";
}

function launch({ rows, n, eps }: L2NormalizeShape, variant: L2NormalizeVariant) {
  return {
    params: { rows, n: variant === "vec4" ? n / 4 : n, eps },
    workgroups: foldWorkgroups(variant === "workgroup" ? rows : ceilDiv(rows, 32)),
  };
}

/** y = x / (|x| + eps) for every row. */
export function l2NormalizeForward(shape: L2NormalizeShape, variant: L2NormalizeVariant): Kernel {
  const size = shape.rows * shape.n;
  return {
    ...launch(shape, variant),
    program: forward({ variant }),
    sizes: { x: size, y: size },
    flops: 3 * size,
    bytes: 8 * size,
    reference: ({ x }) => l2NormalizeReference(shape, x),
  };
}

/** dx from x and the gradient by y. */
export function l2NormalizeBackward(shape: L2NormalizeShape, variant: L2NormalizeVariant): Kernel {
  const size = shape.rows * shape.n;
  return {
    ...launch(shape, variant),
    program: backward({ variant }),
    sizes: { x: size, dOut: size, dx: size },
    flops: 7 * size,
    bytes: 12 * size,
    reference: ({ x, dOut }) => l2NormalizeBackwardReference(shape, x, dOut),
  };
}

/** The plain loop of the forward. */
export function l2NormalizeReference(
  { rows, n, eps }: L2NormalizeShape,
  x: ArrayLike<number>,
): { y: Float64Array } {
  const y = new Float64Array(rows * n);
  for (let row = 0; row < rows; row++) {
    let squares = 0;
    for (let i = 0; i < n; i++) squares += x[row * n + i] ** 2;
    for (let i = 0; i < n; i++) y[row * n + i] = x[row * n + i] / (Math.sqrt(squares) + eps);
  }
  return { y };
}

/** The plain loop of the backward. */
export function l2NormalizeBackwardReference(
  { rows, n, eps }: L2NormalizeShape,
  x: ArrayLike<number>,
  dOut: ArrayLike<number>,
): { dx: Float64Array } {
  const dx = new Float64Array(rows * n);
  for (let row = 0; row < rows; row++) {
    let squares = 0, along = 0;
    for (let i = row * n; i < (row + 1) * n; i++) {
      squares += x[i] ** 2;
      along += x[i] * dOut[i];
    }
    const norm = Math.sqrt(squares), scale = 1 / (norm + eps);
    const pull = norm > 0 ? scale ** 2 * along / norm : 0;
    for (let i = row * n; i < (row + 1) * n; i++) dx[i] = dOut[i] * scale - x[i] * pull;
  }
  return { dx };
}
