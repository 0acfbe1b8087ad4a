/**
 * Cosine routing scores: how well token n fits the query of slot s (MoE Jetpack, arXiv:2406.04801); here one invocation
 * makes one score.
 *
 * Math    c_ns = r_n <x_n, q_s>,   r_n = 1 / (|x_n| + eps)
 *         eps is added to the norm as in the reference code, so a zero token scores 0 everywhere. The queries are
 *         normalised before, once (layer norm, then L2), by their own ops.
 *         Backward, with g = d loss / d c. First the gradient by the unit token r x, G_n = sum_s g_ns q_s: "to tokens" of
 *         soft_merge.ts, for one image of all B N tokens with q as its slots. Then
 *           dx_n = r_n G_n - r_n^2 <x_n, G_n> x_n / |x_n|     the backward of l2_normalize.ts; its last term is 0 at x = 0
 *           dq_s = sum_n g_ns r_n x_n                         "to slots" of scaled tokens, in strips of tokens whose
 *                                                             partial sums column_sum.ts adds
 * Shapes  x [B N, D], q [S, D] -> c [B N, S] and r [B N] (saved for dq), f32. The bindings have the names of soft_merge.ts:
 *         q is `v`, c is `g`, r is `scale`.
 * Work    One invocation per score; neighbours own neighbouring slots, share the token and walk D together. Each computes
 *         the token's norm again, for one more multiply-add beside its own.
 * Memory  2 loads for 2 multiply-adds, and queries D apart: not coalesced, served by the cache. `dotsTiled` of
 *         soft_merge_tiled.ts, with the norm in its loop, loads each number once for a tile of scores instead.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { type MergeShape, unitDotsReference } from "./soft_merge.ts";
import { dots, dotsTile, dotsTiled } from "./soft_merge_tiled.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes of cosine routing. */
export interface CosineShape {
  /** B N, tokens of the whole batch. */
  readonly tokens: number;
  /** S, slots. */
  readonly slots: number;
  /** D, channels. */
  readonly dim: number;
}

const SIZE = 64;

const scoresProgram = memoize((_: null) =>
  defineProgram({
    name: "cosine_routing.scores",
    params: { tokens: "u32", slots: "u32", dim: "u32", eps: "f32" },
    bindings: { x: "read f32", v: "read f32", g: "write f32", scale: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let n = own / params.slots;
  let s = own % params.slots;
  if (n >= params.tokens) { return; }
  var score = 0.0;
  var squares = 0.0;
  for (var d = 0u; d < params.dim; d++) {
    let value = x[n * params.dim + d];
    score += value * v[s * params.dim + d];
    squares += value * value;
  }
  let factor = 1.0 / (sqrt(squares) + params.eps);
  g[own] = score * factor;
  if (s == 0u) { scale[n] = factor; }
}`,
  })
);

/** Cosine routing as soft routing of one image with all tokens of the batch, whose slots are the queries. */
export function asMerge({ tokens, slots, dim }: CosineShape): MergeShape {
  return { batch: 1, tokens, slots, perExpert: slots, dim };
}

/** Scores `g` and factors `scale` from tokens `x` and queries `v`, one score per invocation. */
export function cosineScoresReadable(shape: CosineShape, eps: number): Kernel {
  const { tokens, slots, dim } = shape;
  return {
    program: scoresProgram(null),
    params: { tokens, slots, dim, eps },
    sizes: { x: tokens * dim, v: slots * dim, g: tokens * slots, scale: tokens },
    workgroups: foldWorkgroups(ceilDiv(tokens * slots, SIZE)),
    flops: 2 * tokens * dim * (slots + 1),
    bytes: 4 * (tokens * dim + slots * dim + tokens * slots + tokens),
    reference: ({ x, v }) => unitDotsReference(asMerge(shape), eps, x, v),
  };
}

/** Scores `g` and factors `scale` from tokens `x` and queries `v`, by the variant that suits shape and adapter. */
export function cosineScoresForward(shape: CosineShape, eps: number, target: Target): Kernel {
  const tile = dotsTile(shape, target);
  return tile ? dotsTiled(asMerge(shape), tile, eps) : cosineScoresReadable(shape, eps);
}

/** Scores `g` = <x, v> without normalised tokens, by the variant that suits shape and adapter. */
export function plainScoresForward(shape: CosineShape, target: Target): Kernel {
  return dots(asMerge(shape), target);
}

/**
 * How the sum over tokens of dq is cut: `strips` strips of `tokens` tokens. There are fewer slots and channels than
 * lanes, so strips work at the same time and their partial sums [strips, S, D] are added afterwards.
 */
export function queryStrips(
  shape: CosineShape,
  target: Target,
): { strips: number; tokens: number } {
  const software = target.adapterClass === "software";
  const tiles = Math.max(1, ceilDiv(shape.slots * shape.dim, software ? 256 : 16));
  const wanted = ceilDiv(software ? 96 : 16384, tiles);
  const tokens = ceilDiv(shape.tokens, Math.min(wanted, ceilDiv(shape.tokens, 64)));
  return { strips: ceilDiv(shape.tokens, tokens), tokens };
}

/** The plain loop of the scores and the factors. */
export function cosineScoresReference(
  shape: CosineShape,
  eps: number,
  x: ArrayLike<number>,
  queries: ArrayLike<number>,
): { scores: Float64Array; scale: Float64Array } {
  const { g: scores, scale } = unitDotsReference(asMerge(shape), eps, x, queries);
  return { scores, scale };
}
