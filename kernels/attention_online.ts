/**
 * Multi-head self-attention that never stores an N x N matrix: scores live in registers, one at a time.
 *
 * Math    as in `attention.ts`; only the order differs. A row keeps the largest score so far m, the sum l of
 *         exp(s_ij - m) and the sum a of exp(s_ij - m) v_j. A new key j with a larger score first shrinks what is
 *         there ("online softmax", arXiv:1805.02867, arXiv:2205.14135):
 *           m' = max(m, s_ij),  l' = l exp(m - m') + exp(s_ij - m'),  a' = a exp(m - m') + exp(s_ij - m') v_j
 *         and in the end o_i = a / l, L_i = m + log l. exp is exp2 with log2(e) folded into q once.
 *         Backward: p_ij = exp(s_ij - L_i) at once, as L is saved; so s is computed once for dq and once more for dk
 *         and dv. delta_i = <g_i, o_i> is made by the dq pass and read by the other.
 * Shapes  qkv and dqkv [B, N, 3, H, Dh], out and dOut [B, N, H, Dh], lse and delta [B, H, N]. All f32.
 * Work    An invocation owns ROWS neighbouring rows of one head: queries (forward, dq) or keys (dk and dv), with their
 *         sums in registers, and walks over the N rows of the other side. No two invocations write one element, so
 *         sums have one order and need no atomics.
 * Memory  A walked row is 2 Dh loads for, times ROWS, 4 Dh flops forward, 6 Dh for dq, 8 Dh for dk and dv. Two ways:
 *           registers  every invocation loads for itself, and ROWS is as large as the registers allow. Right where a
 *                      load costs many flops and workgroup memory is plain memory: software adapters.
 *           tiled      the workgroup first brings TILE rows into workgroup memory, coalesced, then all its
 *                      invocations read the same address at a time (a broadcast): each row is fetched from memory once
 *                      a workgroup. ROWS is 1, for many invocations. For real GPUs; at Dh = 64 dk and dv take about
 *                      256 registers, the most a GPU invocation has.
 *         Both read vec4 where Dh is a multiple of 4, else single floats. A loaded vector is used at once for all own
 *         rows: loading a whole row first took 10 to 20 % longer (spilled registers). Two or four keys at a time, to
 *         shrink the sums less often, gained nothing.
 * Gain    Times faster than the readable kernels, forward / backward, interleaved; registers variant:
 *           B, H, N, Dh         lavapipe, Deno    SwiftShader, Chrome
 *           64, 4,  49, 16       9 / 16            11 / 22
 *            8, 3, 197, 64       9 / 12             8 / 12
 *         (on an idle 2-core machine, lavapipe: 1.9 / 5 ms and 13.7 / 47 ms). Tiled is 2.5 to 5 times slower than
 *         registers there, and was not yet timed on a GPU.
 * @module
 */
import {
  attentionKeyBackwardReference,
  attentionQueryBackwardReference,
  attentionReference,
  type AttentionShape,
  attentionSizes,
} from "./attention_reference.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, MAX_F32 } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** What the code of an online attention kernel depends on. */
export interface AttentionTiling {
  /** Floats a load brings: 4 where Dh is a multiple of 4. */
  readonly width: 1 | 4;
  /** Loads a row of Dh takes: Dh / width. */
  readonly vectors: number;
  /** Rows an invocation owns. */
  readonly rows: number;
  /** Rows brought into workgroup memory at a time; 0: none, every invocation loads for itself. */
  readonly tile: number;
  /** Invocations of a workgroup. */
  readonly size: number;
}

const PARAMS = {
  batch: "u32",
  tokens: "u32",
  heads: "u32",
  blocks: "u32",
  scale: "f32",
} as const;

/** Writes `text` once for each value of a letter: `unroll("r", 2, "a$r = 0.0;")` is `a0 = 0.0; a1 = 0.0;`. */
function unroll(letter: string, count: number, text: string): string {
  return Array.from({ length: count }, (_, i) => text.replaceAll(`$${letter}`, `${i}`)).join("\n");
}

/**
 * Loops over registers are written out: an array indexed by a variable would not stay in registers. `$r` counts the
 * invocation's rows, `$c` the vectors of a row.
 */
function unrollers(tiling: AttentionTiling): Record<"perRow" | "perVector", (t: string) => string> {
  return {
    perRow: (text) => unroll("r", tiling.rows, text),
    perVector: (text) => unroll("c", tiling.vectors, text),
  };
}

/** What all three programs share: everything but the name, the bindings and the body of main. */
function frame(tiling: AttentionTiling) {
  const { width, vectors, rows, tile, size } = tiling;
  return {
    variant: `online ${tile > 0 ? `tile ${tile}` : `${rows} rows`}${width === 1 ? " scalar" : ""}`,
    params: PARAMS,
    workgroupSize: size,
    workgroupBytes: 8 * tile * vectors * width,
  };
}

/** Types, addresses, and the begin of main: which head and which rows are this invocation's. */
function prelude({ width, vectors, rows, tile }: AttentionTiling): string {
  return wgsl`
alias Vector = ${width === 4 ? "vec4f" : "f32"};
const VECTORS = ${vectors}u; // of a row
const ROWS = ${rows}u;
const LOG2E = 1.4426950408889634;
#if ${tile > 0}
const TILE = ${tile}u;
const BLOCK = WORKGROUP_SIZE * ROWS;
var<workgroup> x_tile: array<Vector, ${tile * vectors}>;
var<workgroup> y_tile: array<Vector, ${tile * vectors}>;
#else
const BLOCK = ROWS;
#endif

fn qkv_row(image: u32, token: u32, part: u32, head: u32) -> u32 {
  return (((image * params.tokens + token) * 3u + part) * params.heads + head) * VECTORS;
}
fn out_row(image: u32, token: u32, head: u32) -> u32 {
  return ((image * params.tokens + token) * params.heads + head) * VECTORS;
}
fn dot_add(a: Vector, b: Vector, sum: f32) -> f32 {
  #if ${width === 4}
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
  #else
  return fma(a, b, sum);
  #endif
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  // A block of rows belongs to a workgroup where it works on one tile together, else to an invocation.
  #if ${tile > 0}
  let block = ${FOLDED_GROUP};
  let offset = t * ROWS;
  #else
  let block = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let offset = 0u;
  #endif
  if (block >= params.batch * params.heads * params.blocks) { return; }
  let image = block / params.blocks / params.heads;
  let head = block / params.blocks % params.heads;
  let stats = block / params.blocks * params.tokens; // where this head begins in lse and delta
  let first = block % params.blocks * BLOCK + offset;
  // Rows past the end repeat the last one, and are not stored.
  ${unroll("r", rows, "let row$r = min(first + $ru, params.tokens - 1u);")}
  ${""}`;
}

/**
 * The walk over the rows j of the other side.
 * @param x array and index of row j in it, as WGSL
 * @param y a second one
 * @param body WGSL for row j, given what reads vector `$c` of it from x and from y
 */
function walk(
  { tile }: AttentionTiling,
  x: { array: string; row: string },
  y: { array: string; row: string },
  body: (x: string, y: string) => string,
): string {
  return wgsl`
  #if ${tile > 0}
  for (var begin = 0u; begin < params.tokens; begin += TILE) {
    let count = min(TILE, params.tokens - begin);
    for (var e = t; e < count * VECTORS; e += WORKGROUP_SIZE) {
      let j = begin + e / VECTORS;
      x_tile[e] = ${x.array}[${x.row} + e % VECTORS];
      y_tile[e] = ${y.array}[${y.row} + e % VECTORS];
    }
    workgroupBarrier(); // the tile is complete
    for (var n = 0u; n < count; n++) {
      let j = begin + n;
      let at = n * VECTORS;
      ${body("x_tile[at + $cu]", "y_tile[at + $cu]")}
    }
    workgroupBarrier(); // everybody has read it: it may be replaced
  }
  #else
  for (var j = 0u; j < params.tokens; j++) {
    let x_at = ${x.row};
    let y_at = ${y.row};
    ${body(`${x.array}[x_at + $cu]`, `${y.array}[y_at + $cu]`)}
  }
  #endif
  ${""}`;
}

const Q_ROW = { array: "qkv", row: "qkv_row(image, j, 0u, head)" };
const K_ROW = { array: "qkv", row: "qkv_row(image, j, 1u, head)" };
const V_ROW = { array: "qkv", row: "qkv_row(image, j, 2u, head)" };
const G_ROW = { array: "dOut", row: "out_row(image, j, head)" };

const forwardProgram = memoize((tiling: AttentionTiling) => {
  const { perRow, perVector } = unrollers(tiling);
  const type = tiling.width === 4 ? "vec4<f32>" : "f32";
  return defineProgram({
    name: "attention",
    ...frame(tiling),
    bindings: { qkv: `read ${type}`, out: `write ${type}`, lse: "write f32" },
    code: wgsl`
${prelude(tiling)}
  ${perRow("let q_at$r = qkv_row(image, row$r, 0u, head);")}
  ${perRow(perVector("let q$r_$c = qkv[q_at$r + $cu] * (params.scale * LOG2E);"))}
  ${perRow(perVector("var a$r_$c = Vector(0.0);"))}
  ${perRow(`var m$r = -${MAX_F32}; var l$r = 0.0;`)}
  ${
      walk(tiling, K_ROW, V_ROW, (k, v) => `
    ${perRow("var s$r = 0.0;")}
    ${perVector(`let k$c = ${k}; ${perRow("s$r = dot_add(q$r_$c, k$c, s$r);")}`)}
    ${
        perRow(`
    let m_new$r = max(m$r, s$r);
    let shrink$r = exp2(m$r - m_new$r);
    let p$r = exp2(s$r - m_new$r);
    m$r = m_new$r;
    l$r = fma(l$r, shrink$r, p$r);`)
      }
    ${
        perVector(
          `let v$c = ${v}; ${perRow("a$r_$c = fma(Vector(p$r), v$c, a$r_$c * shrink$r);")}`,
        )
      }`)
    }
  ${
      perRow(`
  if (first + $ru < params.tokens) {
    let o_at = out_row(image, row$r, head);
    ${perVector("out[o_at + $cu] = a$r_$c * (1.0 / l$r);")}
    lse[stats + row$r] = (m$r + log2(l$r)) / LOG2E;
  }`)
    }
}`,
  });
});

const queryBackwardProgram = memoize((tiling: AttentionTiling) => {
  const { perRow, perVector } = unrollers(tiling);
  const type = tiling.width === 4 ? "vec4<f32>" : "f32";
  return defineProgram({
    name: "attention.backward_q",
    ...frame(tiling),
    bindings: {
      qkv: `read ${type}`,
      out: `read ${type}`,
      dOut: `read ${type}`,
      lse: "read f32",
      delta: "write f32",
      dqkv: `write ${type}`, // the q part, and zeros where backward_kv writes next: no pass leaves holes
    },
    code: wgsl`
${prelude(tiling)}
  for (var row = first; row < min(first + ROWS, params.tokens); row++) {
    for (var c = 0u; c < VECTORS; c++) {
      dqkv[qkv_row(image, row, 1u, head) + c] = Vector(0.0);
      dqkv[qkv_row(image, row, 2u, head) + c] = Vector(0.0);
    }
  }
  ${perRow("let q_at$r = qkv_row(image, row$r, 0u, head);")}
  ${perRow("let o_at$r = out_row(image, row$r, head);")}
  ${perRow(perVector("let q$r_$c = qkv[q_at$r + $cu] * (params.scale * LOG2E);"))}
  ${perRow(perVector("let g$r_$c = dOut[o_at$r + $cu];"))}
  ${perRow(perVector("var dq$r_$c = Vector(0.0);"))}
  ${perRow("var delta$r = 0.0;")}
  ${perRow(perVector("delta$r = dot_add(g$r_$c, out[o_at$r + $cu], delta$r);"))}
  ${perRow("let l$r = lse[stats + row$r] * LOG2E;")}
  ${
      walk(tiling, K_ROW, V_ROW, (k, v) => `
    ${perRow("var s$r = 0.0; var dp$r = 0.0;")}
    ${perVector(`let k$c = ${k}; ${perRow("s$r = dot_add(q$r_$c, k$c, s$r);")}`)}
    ${perVector(`let v$c = ${v}; ${perRow("dp$r = dot_add(g$r_$c, v$c, dp$r);")}`)}
    ${perRow("let ds$r = exp2(s$r - l$r) * (dp$r - delta$r);")}
    ${perVector(perRow("dq$r_$c = fma(Vector(ds$r), k$c, dq$r_$c);"))}`)
    }
  ${
      perRow(`
  if (first + $ru < params.tokens) {
    ${perVector("dqkv[q_at$r + $cu] = dq$r_$c * params.scale;")}
    delta[stats + row$r] = delta$r;
  }`)
    }
}`,
  });
});

const keyBackwardProgram = memoize((tiling: AttentionTiling) => {
  const { perRow, perVector } = unrollers(tiling);
  const type = tiling.width === 4 ? "vec4<f32>" : "f32";
  return defineProgram({
    name: "attention.backward_kv",
    ...frame(tiling),
    bindings: {
      qkv: `read ${type}`,
      dOut: `read ${type}`,
      lse: "read f32",
      delta: "read f32",
      dqkv: `update ${type}`, // not read, but the q part, which backward_q wrote, must stay
    },
    code: wgsl`
${prelude(tiling)}
  ${perRow("let k_at$r = qkv_row(image, row$r, 1u, head);")}
  ${perRow("let v_at$r = qkv_row(image, row$r, 2u, head);")}
  ${perRow(perVector("let k$r_$c = qkv[k_at$r + $cu] * (params.scale * LOG2E);"))}
  ${perRow(perVector("let v$r_$c = qkv[v_at$r + $cu];"))}
  ${perRow(perVector("var dk$r_$c = Vector(0.0); var dv$r_$c = Vector(0.0);"))}
  ${
      walk(tiling, Q_ROW, G_ROW, (q, g) => `
    let l = lse[stats + j] * LOG2E;
    let d = delta[stats + j];
    ${perRow("var s$r = 0.0; var dp$r = 0.0;")}
    ${perVector(`let q$c = ${q}; ${perRow("s$r = dot_add(k$r_$c, q$c, s$r);")}`)}
    ${perRow("let p$r = exp2(s$r - l);")}
    ${
        perVector(`let g$c = ${g}; ${
          perRow(
            "dp$r = dot_add(v$r_$c, g$c, dp$r); dv$r_$c = fma(Vector(p$r), g$c, dv$r_$c);",
          )
        }`)
      }
    ${perRow("let ds$r = p$r * (dp$r - d);")}
    ${perVector(perRow("dk$r_$c = fma(Vector(ds$r), q$c, dk$r_$c);"))}`)
    }
  ${
      perRow(`
  if (first + $ru < params.tokens) {
    ${perVector("dqkv[k_at$r + $cu] = dk$r_$c * params.scale;")}
    ${perVector("dqkv[v_at$r + $cu] = dv$r_$c;")}
  }`)
    }
}`,
  });
});

function launch(shape: AttentionShape, tiling: AttentionTiling, scale: number) {
  const { batch, tokens, heads } = shape;
  const lanes = batch * heads;
  const blocks = ceilDiv(tokens, tiling.rows * (tiling.tile > 0 ? tiling.size : 1));
  const groups = tiling.tile > 0 ? lanes * blocks : ceilDiv(lanes * blocks, tiling.size);
  return {
    params: { batch, tokens, heads, blocks, scale },
    workgroups: foldWorkgroups(groups),
  };
}

/** out [B, N, H, Dh] = softmax(scale q k^T) v and lse [B, H, N], the logsumexp of the scores. */
export function attentionOnline(
  shape: AttentionShape,
  scale: number,
  tiling: AttentionTiling,
): Kernel {
  const { rows, pairs, out } = attentionSizes(shape);
  return {
    program: forwardProgram(tiling),
    ...launch(shape, tiling, scale),
    sizes: { qkv: 3 * out, out, lse: rows },
    flops: pairs * (4 * shape.headDim + 5),
    bytes: 4 * (4 * out + rows),
    reference: ({ qkv }) => attentionReference(qkv, shape, scale),
  };
}

/**
 * The q part of dqkv [B, N, 3, H, Dh] (the others become 0), and delta [B, H, N] = <dOut, out> of each query, for the
 * other pass.
 */
export function attentionOnlineBackwardQ(
  shape: AttentionShape,
  scale: number,
  tiling: AttentionTiling,
): Kernel {
  const { rows, pairs, out } = attentionSizes(shape);
  return {
    program: queryBackwardProgram(tiling),
    ...launch(shape, tiling, scale),
    sizes: { qkv: 3 * out, out, dOut: out, lse: rows, delta: rows, dqkv: 3 * out },
    flops: pairs * (6 * shape.headDim + 3),
    bytes: 4 * (8 * out + 2 * rows),
    reference: (inputs) => attentionQueryBackwardReference(shape, scale, inputs),
  };
}

/** The k and v parts of dqkv [B, N, 3, H, Dh]; runs after `attentionOnlineBackwardQ`. */
export function attentionOnlineBackwardKV(
  shape: AttentionShape,
  scale: number,
  tiling: AttentionTiling,
): Kernel {
  const { rows, pairs, out } = attentionSizes(shape);
  return {
    program: keyBackwardProgram(tiling),
    ...launch(shape, tiling, scale),
    sizes: { qkv: 3 * out, dOut: out, lse: rows, delta: rows, dqkv: 3 * out },
    flops: pairs * (8 * shape.headDim + 3),
    bytes: 4 * (6 * out + 2 * rows),
    reference: (inputs) => attentionKeyBackwardReference(shape, scale, inputs),
  };
}
