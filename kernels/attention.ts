/**
 * Multi-head self-attention, the kernels to read: every step of the textbook formula is one plain kernel, and the
 * N x N matrices between them are kept in memory. `attention_online.ts` keeps none and is what normally runs.
 *
 * Math    forward, for each image b and head h (arXiv:1706.03762, eq. 1), with rows q_i, k_j, v_j of length Dh:
 *           s_ij = scale <q_i, k_j>           1 scores
 *           p_ij = exp(s_ij - L_i),  L_i = log sum_j exp(s_ij)     2 softmax; L ("logsumexp") is kept for the backward
 *           o_i  = sum_j p_ij v_j             3 values
 *         backward, given g_i = d loss / d o_i. The value step is linear, so
 *           dv_j = sum_i p_ij g_i             and dp_ij = <g_i, v_j>.
 *         A softmax moves probability between its entries: d p_ij / d s_ik = p_ij ([j = k] - p_ik). Hence
 *           ds_ij = p_ij (dp_ij - delta_i),   delta_i = sum_k p_ik dp_ik = <g_i, sum_k p_ik v_k> = <g_i, o_i>:
 *         the sum over a whole row of N is a dot product of length Dh. Then, scores being bilinear,
 *           dq_i = scale sum_j ds_ij k_j,     dk_j = scale sum_i ds_ij q_i.
 * Shapes  qkv [B, N, 3, H, Dh] -> out [B, N, H, Dh], lse [B, H, N]: the packing of timm, so that q, k and v are read
 *         where the projection wrote them and dqkv goes straight to its backward. s, p and ds are [B, H, N, N]. All f32.
 * Work    One invocation an entry of the result, except 2: one invocation a row.
 * Memory  Scores: an invocation walks two rows of length Dh for one number, 2 Dh flops on 2 Dh loads. Values and dqkv:
 *         2 N flops on 2 N loads. One flop a load, mostly from the caches, again and again: this is what tiling is for.
 *         N x N matrices go through memory four times forward (s written, read and written as p, read) and four times
 *         backward (p and ds written and read); with Dh = 64 one at N = 197 is as large as qkv, and grows with N^2.
 * @module
 */
import {
  attentionInputBackwardReference,
  attentionScoresBackwardReference,
  attentionScoresReference,
  type AttentionShape,
  attentionSizes,
  attentionSoftmaxReference,
  attentionValuesReference,
} from "./attention_reference.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, MAX_F32 } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;
const SIZES = { tokens: "u32", heads: "u32", headDim: "u32" } as const;

/** Where the row of a token begins in qkv (part 0 q, 1 k, 2 v) and in out. `token` counts over the whole batch. */
const ROW_FUNCTIONS = wgsl`
fn qkv_row(token: u32, part: u32, head: u32) -> u32 {
  return ((token * 3u + part) * params.heads + head) * params.headDim;
}
fn out_row(token: u32, head: u32) -> u32 {
  return (token * params.heads + head) * params.headDim;
}`;

/** Splits the index of an [B, H, N, N] entry into head, query i and key j; tokens count over the whole batch. */
const ENTRY_OF_PAIR = wgsl`
  let entry = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (entry >= params.count) { return; }
  let query = entry / params.tokens; // row of [B, H, N]
  let head = query / params.tokens % params.heads;
  let first = query / (params.tokens * params.heads) * params.tokens; // first token of the image
  let i = first + query % params.tokens;
  let j = first + entry % params.tokens;`;

const scoresProgram = memoize((_: null) =>
  defineProgram({
    name: "attention.scores",
    params: { ...SIZES, count: "u32", scale: "f32" },
    bindings: { qkv: "read f32", s: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
${ROW_FUNCTIONS}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ENTRY_OF_PAIR}
  let q = qkv_row(i, 0u, head);
  let k = qkv_row(j, 1u, head);
  var sum = 0.0;
  for (var c = 0u; c < params.headDim; c++) { sum += qkv[q + c] * qkv[k + c]; }
  s[entry] = params.scale * sum;
}`,
  })
);

const softmaxProgram = memoize((_: null) =>
  defineProgram({
    name: "attention.softmax",
    params: { tokens: "u32", rows: "u32" },
    bindings: { s: "update f32", lse: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let row = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (row >= params.rows) { return; }
  let begin = row * params.tokens;
  let end = begin + params.tokens;
  var largest = -${MAX_F32}; // taken off first, so that no exp overflows and one of them is 1
  for (var e = begin; e < end; e++) { largest = max(largest, s[e]); }
  var sum = 0.0;
  for (var e = begin; e < end; e++) { sum += exp(s[e] - largest); }
  let log_sum = largest + log(sum);
  for (var e = begin; e < end; e++) { s[e] = exp(s[e] - largest) / sum; }
  lse[row] = log_sum;
}`,
  })
);

const valuesProgram = memoize((_: null) =>
  defineProgram({
    name: "attention.values",
    params: { ...SIZES, count: "u32" },
    bindings: { qkv: "read f32", p: "read f32", out: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
${ROW_FUNCTIONS}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let element = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (element >= params.count) { return; }
  let c = element % params.headDim;
  let head = element / params.headDim % params.heads;
  let token = element / (params.headDim * params.heads);
  let image = token / params.tokens;
  let row = ((image * params.heads + head) * params.tokens + token % params.tokens) * params.tokens;
  var sum = 0.0;
  for (var j = 0u; j < params.tokens; j++) {
    sum += p[row + j] * qkv[qkv_row(image * params.tokens + j, 2u, head) + c];
  }
  out[element] = sum;
}`,
  })
);

const scoresBackwardProgram = memoize((_: null) =>
  defineProgram({
    name: "attention.scores_backward",
    params: { ...SIZES, count: "u32", scale: "f32" },
    bindings: {
      qkv: "read f32",
      out: "read f32",
      dOut: "read f32",
      lse: "read f32",
      p: "write f32",
      ds: "write f32",
    },
    workgroupSize: SIZE,
    code: wgsl`
${ROW_FUNCTIONS}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  ${ENTRY_OF_PAIR}
  let q = qkv_row(i, 0u, head);
  let k = qkv_row(j, 1u, head);
  let v = qkv_row(j, 2u, head);
  let o = out_row(i, head);
  var score = 0.0;
  var dp = 0.0;
  var delta = 0.0; // the same for the whole row; made anew by every entry, to keep this one kernel
  for (var c = 0u; c < params.headDim; c++) {
    score += qkv[q + c] * qkv[k + c];
    dp += dOut[o + c] * qkv[v + c];
    delta += dOut[o + c] * out[o + c];
  }
  let probability = exp(params.scale * score - lse[query]);
  p[entry] = probability;
  ds[entry] = probability * (dp - delta);
}`,
  })
);

const inputBackwardProgram = memoize((_: null) =>
  defineProgram({
    name: "attention.input_backward",
    params: { ...SIZES, count: "u32", scale: "f32" },
    bindings: {
      qkv: "read f32",
      dOut: "read f32",
      p: "read f32",
      ds: "read f32",
      dqkv: "write f32",
    },
    workgroupSize: SIZE,
    code: wgsl`
${ROW_FUNCTIONS}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let element = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (element >= params.count) { return; }
  let c = element % params.headDim;
  let head = element / params.headDim % params.heads;
  let part = element / (params.headDim * params.heads) % 3u;
  let token = element / (params.headDim * params.heads * 3u);
  let image = token / params.tokens;
  let n = token % params.tokens;
  let matrix = (image * params.heads + head) * params.tokens * params.tokens; // of this head in p and ds
  var sum = 0.0;
  for (var m = 0u; m < params.tokens; m++) {
    let other = image * params.tokens + m;
    if (part == 0u) { // dq_n: along row n
      sum += ds[matrix + n * params.tokens + m] * qkv[qkv_row(other, 1u, head) + c];
    } else if (part == 1u) { // dk_n: along column n
      sum += ds[matrix + m * params.tokens + n] * qkv[qkv_row(other, 0u, head) + c];
    } else { // dv_n: along column n
      sum += p[matrix + m * params.tokens + n] * dOut[out_row(other, head) + c];
    }
  }
  dqkv[element] = select(params.scale, 1.0, part == 2u) * sum;
}`,
  })
);

/** Step 1: s [B, H, N, N] = scale q k^T. */
export function attentionScores(shape: AttentionShape, scale: number): Kernel {
  const { tokens, heads, headDim } = shape;
  const { pairs, out } = attentionSizes(shape);
  return {
    program: scoresProgram(null),
    params: { tokens, heads, headDim, count: pairs, scale },
    sizes: { qkv: 3 * out, s: pairs },
    workgroups: foldWorkgroups(ceilDiv(pairs, SIZE)),
    flops: pairs * (2 * headDim + 1),
    bytes: 4 * (2 * out + pairs),
    reference: ({ qkv }) => attentionScoresReference(shape, scale, qkv),
  };
}

/** Step 2: s becomes p = softmax of its rows, in place; lse [B, H, N] is the logsumexp of each row. */
export function attentionSoftmax(shape: AttentionShape): Kernel {
  const { rows, pairs } = attentionSizes(shape);
  return {
    program: softmaxProgram(null),
    params: { tokens: shape.tokens, rows },
    sizes: { s: pairs, lse: rows },
    workgroups: foldWorkgroups(ceilDiv(rows, SIZE)),
    flops: 5 * pairs,
    bytes: 4 * (2 * pairs + rows),
    reference: ({ s }) => attentionSoftmaxReference(shape, s),
  };
}

/** Step 3: out [B, N, H, Dh] = p v. */
export function attentionValues(shape: AttentionShape): Kernel {
  const { tokens, heads, headDim } = shape;
  const { pairs, out } = attentionSizes(shape);
  return {
    program: valuesProgram(null),
    params: { tokens, heads, headDim, count: out },
    sizes: { qkv: 3 * out, p: pairs, out },
    workgroups: foldWorkgroups(ceilDiv(out, SIZE)),
    flops: 2 * pairs * headDim,
    bytes: 4 * (2 * out + pairs),
    reference: ({ qkv, p }) => attentionValuesReference(shape, qkv, p),
  };
}

/** Backward, first half: the probabilities again and ds, both [B, H, N, N]. */
export function attentionScoresBackward(shape: AttentionShape, scale: number): Kernel {
  const { tokens, heads, headDim } = shape;
  const { rows, pairs, out } = attentionSizes(shape);
  return {
    program: scoresBackwardProgram(null),
    params: { tokens, heads, headDim, count: pairs, scale },
    sizes: { qkv: 3 * out, out, dOut: out, lse: rows, p: pairs, ds: pairs },
    workgroups: foldWorkgroups(ceilDiv(pairs, SIZE)),
    flops: pairs * (6 * headDim + 5),
    bytes: 4 * (5 * out + rows + 2 * pairs),
    reference: (inputs) => attentionScoresBackwardReference(shape, scale, inputs),
  };
}

/** Backward, second half: dqkv [B, N, 3, H, Dh] from p and ds. */
export function attentionInputBackward(shape: AttentionShape, scale: number): Kernel {
  const { tokens, heads, headDim } = shape;
  const { pairs, out } = attentionSizes(shape);
  return {
    program: inputBackwardProgram(null),
    params: { tokens, heads, headDim, count: 3 * out, scale },
    sizes: { qkv: 3 * out, dOut: out, p: pairs, ds: pairs, dqkv: 3 * out },
    workgroups: foldWorkgroups(ceilDiv(3 * out, SIZE)),
    flops: 6 * pairs * headDim,
    bytes: 4 * (6 * out + 2 * pairs),
    reference: (inputs) => attentionInputBackwardReference(shape, scale, inputs),
  };
}
