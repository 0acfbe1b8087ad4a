/**
 * The entmax-1.5 combine over its support only: products of soft routing that skip the zeros (maths in soft_merge.ts and
 * routing_weights.ts). Here the supports are listed in memory, by one invocation each.
 *
 * Math    w_ns = d_ns^2,  d_ns = max((l_ns - m_n) / 2 - k_n, 0),  l = c / T (+ noise), with (m, k) of each token saved.
 *           to tokens   o_n = sum_s w_ns v_s          forward
 *           to slots    dv_s = sum_n w_ns do_n        backward by the slots
 *           scores      a_ns = <do_n, v_s>, only where d > 0;  dc_ns = d (a - sum(d a) / sum d) / T;
 *                       each token's sum dc (c - one of its c) is left for the temperature (routing_weights.ts)
 *         In the full-size MoE Jetpack model 9 to 18 of a token's 294 weights are not zero, so nearly all of the dense
 *         products is multiplication by zero.
 * Shapes  c, noise, dc [B, N, S]; T []; stats [2, B N]; v, dv [E, B s, D]; o, do [B, N, D]; partials [B N].
 *         support: pairs (row of the other side, d), by token [B N, S] or by slot [B S, N]; d = 0 ends a list that is
 *         not full. Row numbers are f32, exact to 2^24. Lists are temporaries of one pass.
 * Work    Lists: one invocation per token or slot. By token, forward, it also finds the threshold, by the rounds of
 *         entmax.ts over those numbers that can count at all.
 *         Products: one invocation per row and C vec4 columns walks the row's list.
 *         Scores: one invocation per token. It makes its dot products from the list and not while it looks at the
 *         slots, as neighbours' supports differ and lanes without work would wait for those that have some.
 *         With K members of the support a token, an image takes N S comparisons and N K D multiply-adds, where the dense
 *         product takes N S D.
 * Memory  Every score once, and a row of D numbers for each member; neighbouring invocations share the row's list and
 *         read neighbouring columns. No barrier and no workgroup memory, whose zeroing alone cost more on software
 *         adapters than the products. entmax_support_workgroup.ts is for GPUs.
 * Measured on lavapipe (2 cores), batch 8, N 197, S 294, D 192, support 7: forward 7.4 ms to find the thresholds and
 *         lists, 1.5 for the product, against 5 and 21 dense; backward 9.6 against 60. With 24 slots and a support of 5,
 *         dense products win (2.0 against 2.7, and 2.6 against 4.3).
 * @module
 */
import { entmaxRounds } from "./entmax.ts";
import {
  listMergeReference,
  rootsOfLists,
  slotListsReference,
  supportRoots,
  supportScoresReference,
  thresholdsReference,
  tokenListsReference,
} from "./entmax_support_reference.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, MAX_F32 } from "./snippets.ts";
import { logit } from "./routing_weights.ts";
import { MERGE_PARAMS, mergeParams, type MergeShape, mergeSizes, SLOT_ROW } from "./soft_merge.ts";
import { wgsl } from "./wgsl.ts";

/** Which side the sums run towards. */
export type SparseDirection = "tokens" | "slots";

const SIZE = 16;

/** What the support holds when nothing is measured: about 5 % of the pairs. Only declared costs depend on it. */
export const TYPICAL_SUPPORT = 0.05;

const byToken = memoize(({ noise, threshold }: { noise: boolean; threshold: boolean }) =>
  defineProgram({
    name: threshold ? "entmax_support.threshold" : "entmax_support.by_token",
    params: { ...MERGE_PARAMS, ...(threshold ? { rounds: "u32" } : {}) },
    bindings: {
      c: "read f32",
      temperature: "read f32",
      ...(noise ? { noise: "read f32" as const } : {}),
      stats: threshold ? "write f32" : "read f32",
      support: "write vec2<f32>",
    },
    workgroupSize: SIZE,
    code: wgsl`
${SLOT_ROW}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let n = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let rows = params.batch * params.tokens;
  if (n >= rows) { return; }
  let b = n / params.tokens;
  let first = n * params.slots;
  let end = first + params.slots;
  let warmth = 1.0 / temperature[0];
  var next = first;
  #if ${threshold}
  var top = -${MAX_F32};
  for (var i = first; i < end; i++) { top = max(top, ${logit(noise)}); }
  // The threshold only climbs from -1: what is not above -1 never counts, and the rounds are for the others alone.
  for (var i = first; i < end; i++) {
    let z = (${logit(noise)} - top) * 0.5;
    if (z > -1.0) {
      support[next] = vec2f(f32(slot_row(b, i - first)), z);
      next++;
    }
  }
  var key = -1.0;
  for (var round = 0u; round < params.rounds; round++) {
    var sum = 0.0;
    var squares = 0.0;
    for (var k = first; k < next; k++) {
      let d = max(support[k].y - key, 0.0);
      sum += d;
      squares += d * d;
    }
    key += (squares - 1.0) / (2.0 * sum);
  }
  stats[n] = top;
  stats[rows + n] = key;
  let candidates = next;
  next = first;
  for (var k = first; k < candidates; k++) {
    let candidate = support[k];
    if (candidate.y - key > 0.0) {
      support[next] = vec2f(candidate.x, candidate.y - key);
      next++;
    }
  }
  #else
  let top = stats[n];
  let key = stats[rows + n];
  for (var i = first; i < end; i++) {
    let d = (${logit(noise)} - top) * 0.5 - key;
    if (d > 0.0) {
      support[next] = vec2f(f32(slot_row(b, i - first)), d);
      next++;
    }
  }
  #endif
  if (next < end) { support[next] = vec2f(0.0); }
}`,
  })
);

const bySlot = memoize(({ noise }: { noise: boolean }) =>
  defineProgram({
    name: "entmax_support.by_slot",
    params: MERGE_PARAMS,
    bindings: {
      c: "read f32",
      temperature: "read f32",
      ...(noise ? { noise: "read f32" as const } : {}),
      stats: "read f32",
      support: "write vec2<f32>",
    },
    workgroupSize: SIZE,
    code: wgsl`
${SLOT_ROW}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let b = own / params.slots;
  let s = own % params.slots;
  if (b >= params.batch) { return; }
  let warmth = 1.0 / temperature[0];
  let rows = params.batch * params.tokens;
  let first = slot_row(b, s) * params.tokens;
  var next = first;
  for (var n = b * params.tokens; n < (b + 1u) * params.tokens; n++) {
    let i = n * params.slots + s;
    let d = (${logit(noise)} - stats[n]) * 0.5 - stats[rows + n];
    if (d > 0.0) {
      support[next] = vec2f(f32(n), d);
      next++;
    }
  }
  if (next < first + params.tokens) { support[next] = vec2f(0.0); }
}`,
  })
);

const unroll = (count: number, text: (j: number) => string) =>
  Array.from({ length: count }, (_, j) => text(j)).join("\n");

interface MergeConfig {
  readonly to: SparseDirection;
  readonly vectors: boolean;
  readonly columns: number;
}

const merge = memoize(({ to, vectors, columns }: MergeConfig) => {
  const type = vectors ? "vec4<f32>" : "f32";
  return defineProgram({
    name: `entmax_support.to_${to}`,
    variant: vectors ? `${columns} vec4` : "readable",
    params: { rows: "u32", candidates: "u32", dim: "u32" },
    bindings: { support: "read vec2<f32>", source: `read ${type}`, y: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let across = params.dim / ${columns}u;
  let row = own / across;
  let column = own % across * ${columns}u;
  if (row >= params.rows) { return; }
  ${unroll(columns, (j) => `var sum${j} = ${vectors ? "vec4f" : "f32"}(0.0);`)}
  for (var k = row * params.candidates; k < (row + 1u) * params.candidates; k++) {
    let member = support[k];
    if (member.y <= 0.0) { break; }
    let w = member.y * member.y;
    let at = u32(member.x) * params.dim + column;
    ${unroll(columns, (j) => `sum${j} += w * source[at + ${j}u];`)}
  }
  let at = row * params.dim + column;
  ${unroll(columns, (j) => `y[at + ${j}u] = sum${j};`)}
}`,
  });
});

const scores = memoize(({ vectors }: { vectors: boolean }) => {
  const type = vectors ? "vec4<f32>" : "f32";
  return defineProgram({
    name: "entmax_support.scores",
    variant: vectors ? "vec4" : "readable",
    params: { ...MERGE_PARAMS },
    bindings: {
      support: "read vec2<f32>",
      c: "read f32",
      temperature: "read f32",
      dOut: `read ${type}`,
      v: `read ${type}`,
      dc: "write f32",
      partials: "write f32",
    },
    workgroupSize: SIZE,
    code: wgsl`
// The slot of image b whose row in expert-major order is given: the inverse of slot_row.
fn slot_of(row: u32, b: u32) -> u32 {
  let block = params.batch * params.per_expert;
  return row / block * params.per_expert + row % block - b * params.per_expert;
}
fn product(a: ${type}, b: ${type}) -> f32 { return ${vectors ? "dot(a, b)" : "a * b"}; }
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let n = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (n >= params.batch * params.tokens) { return; }
  let b = n / params.tokens;
  let first = n * params.slots;
  let end = first + params.slots;
  let warmth = 1.0 / temperature[0];
  for (var i = first; i < end; i++) { dc[i] = 0.0; }
  var roots = 0.0;
  var weighted = 0.0;
  var last = first;
  while (last < end) {
    let member = support[last];
    if (member.y <= 0.0) { break; }
    let row = u32(member.x) * params.dim;
    var a = 0.0;
    for (var d = 0u; d < params.dim; d++) { a += product(dOut[n * params.dim + d], v[row + d]); }
    dc[first + slot_of(u32(member.x), b)] = a;
    roots += member.y;
    weighted += member.y * a;
    last++;
  }
  let mean = weighted / roots;
  let middle = c[first + slot_of(u32(support[first].x), b)];
  var partial = 0.0;
  for (var k = first; k < last; k++) {
    let member = support[k];
    let i = first + slot_of(u32(member.x), b);
    let value = member.y * (dc[i] - mean) * warmth;
    dc[i] = value;
    partial += value * (c[i] - middle);
  }
  partials[n] = partial;
}`,
  });
});

function listSizes(shape: MergeShape): Record<string, number> {
  const { weights } = mergeSizes(shape);
  return {
    c: weights,
    temperature: 1,
    noise: weights,
    stats: 2 * shape.batch * shape.tokens,
    support: 2 * weights,
  };
}

/** Lists of all tokens' supports. With `threshold` the statistics are found first and written, else they are read. */
export function supportByToken(shape: MergeShape, noise: boolean, threshold: boolean): Kernel {
  const { weights } = mergeSizes(shape), rounds = entmaxRounds(shape.slots);
  return {
    program: byToken({ noise, threshold }),
    params: { ...mergeParams(shape), ...(threshold ? { rounds } : {}) },
    sizes: listSizes(shape),
    workgroups: foldWorkgroups(ceilDiv(shape.batch * shape.tokens, SIZE)),
    flops: weights * (4 + (threshold ? 6 * rounds + 2 : 0)),
    bytes: 4 * weights * (1 + Number(noise) + 2 * TYPICAL_SUPPORT),
    reference: (inputs, got) =>
      threshold
        ? thresholdsReference(shape, inputs, got)
        : { support: tokenListsReference(shape, supportRoots(shape, inputs), got.support) },
  };
}

/** Lists of all slots' tokens. */
export function supportBySlot(shape: MergeShape, noise: boolean): Kernel {
  const { weights } = mergeSizes(shape);
  return {
    program: bySlot({ noise }),
    params: mergeParams(shape),
    sizes: listSizes(shape),
    workgroups: foldWorkgroups(ceilDiv(shape.batch * shape.slots, SIZE)),
    flops: 4 * weights,
    bytes: 4 * weights * (1 + Number(noise) + 2 * TYPICAL_SUPPORT),
    reference: (inputs, got) => ({
      support: slotListsReference(shape, supportRoots(shape, inputs), got.support),
    }),
  };
}

/** y = w source towards tokens (lists by token), or w^T source towards slots (lists by slot). */
export function supportMerge(shape: MergeShape, to: SparseDirection): Kernel {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  const vectors = shape.dim % 4 === 0, width = vectors ? shape.dim / 4 : shape.dim;
  const columns = vectors ? [4, 3, 2, 1].find((c) => width % c === 0)! : 1;
  const [rows, candidates] = to === "tokens"
    ? [shape.batch * shape.tokens, shape.slots]
    : [shape.batch * shape.slots, shape.tokens];
  return {
    program: merge({ to, vectors, columns }),
    params: { rows, candidates, dim: width },
    sizes: {
      support: 2 * weights,
      source: to === "tokens" ? slotRows : tokenRows,
      y: to === "tokens" ? tokenRows : slotRows,
    },
    workgroups: foldWorkgroups(ceilDiv(rows * (width / columns), SIZE)),
    flops: 2 * weights * shape.dim * TYPICAL_SUPPORT,
    bytes: 4 * (2 * weights * TYPICAL_SUPPORT + tokenRows + slotRows),
    reference: (inputs) => listMergeReference(rows, candidates, shape.dim, inputs),
  };
}

/** dc and partial sums for the temperature, from lists by token and the gradient by the tokens. */
export function supportScores(shape: MergeShape): Kernel {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  const vectors = shape.dim % 4 === 0, tokens = shape.batch * shape.tokens;
  return {
    program: scores({ vectors }),
    params: mergeParams(shape, vectors ? shape.dim / 4 : shape.dim),
    sizes: { ...listSizes(shape), dOut: tokenRows, v: slotRows, dc: weights, partials: tokens },
    workgroups: foldWorkgroups(ceilDiv(tokens, SIZE)),
    flops: 2 * weights * shape.dim * TYPICAL_SUPPORT,
    bytes: 4 * (weights * (1 + 3 * TYPICAL_SUPPORT) + tokenRows + slotRows),
    reference: (inputs) =>
      supportScoresReference(shape, inputs, rootsOfLists(shape, inputs.support)),
  };
}
