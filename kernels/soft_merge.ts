/**
 * The three products of soft routing between tokens and slots (Soft MoE, arXiv:2308.00951; MoE Jetpack,
 * arXiv:2406.04801); here each invocation makes one output.
 *
 * Math    For every image b, with weights w [N, S] between its N tokens x and its S slots v:
 *           to slots    u_s = sum_n w_ns x_n        dispatch; backward of the combine by its slots
 *           to tokens   o_n = sum_s w_ns v_s        combine;  backward of the dispatch by its tokens
 *           dots        g_ns = <x_n, v_s>           gradient of either by the weights; routing scores
 *         Each is the transpose of the others, so these three serve forward and backward of dispatch and combine:
 *           dispatch u = P^T x:  dP = x dU^T (dots),  dx = P dU (to tokens)
 *           combine  o = W y:    dW = dO y^T (dots),  dy = W^T dO (to slots)
 *         and of the cosine scores, where the slots are queries shared by the batch (cosine_routing.ts).
 * Shapes  x, o [B, N, D]; weights, g [B, N, S]; v, u [E, B s, D], S = E s: slot e s + j of image b is row b s + j of
 *         expert e, so that each expert's rows lie together. s = S gives plain [B, S, D]. All f32.
 * Work    One invocation per output number; neighbours own neighbouring channels (or slots) and walk the same weights.
 * Memory  2 loads for 2 flops, so it runs at the speed of the cache. soft_merge_tiled.ts loads each number once for a
 *         tile of outputs.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes of soft routing. */
export interface MergeShape {
  /** B, images. */
  readonly batch: number;
  /** N, tokens of an image. */
  readonly tokens: number;
  /** S, slots of an image, over all experts. */
  readonly slots: number;
  /** s, slots of one expert; divides S. */
  readonly perExpert: number;
  /** D, channels. */
  readonly dim: number;
}

/** WGSL: the row of slot `s` of image `b` in expert-major order. */
export const SLOT_ROW = `fn slot_row(b: u32, s: u32) -> u32 {
  return (s / params.per_expert) * params.batch * params.per_expert + b * params.per_expert + s % params.per_expert;
}`;

/** The same on the host, for references. */
export function slotRow(shape: MergeShape, b: number, s: number): number {
  const { batch, perExpert } = shape;
  return Math.floor(s / perExpert) * batch * perExpert + b * perExpert + s % perExpert;
}

/** Parameters that all kernels of soft routing have. */
export const MERGE_PARAMS = {
  batch: "u32",
  tokens: "u32",
  slots: "u32",
  per_expert: "u32",
  dim: "u32",
} as const;

/** Values of `MERGE_PARAMS`; `width` is a row in the elements that the kernel reads. */
export function mergeParams(shape: MergeShape, width = shape.dim): Record<string, number> {
  const { batch, tokens, slots, perExpert } = shape;
  return { batch, tokens, slots, per_expert: perExpert, dim: width };
}

/** Numbers in the three kinds of arrays. */
export function mergeSizes({ batch, tokens, slots, dim }: MergeShape): {
  tokenRows: number;
  slotRows: number;
  weights: number;
} {
  return {
    tokenRows: batch * tokens * dim,
    slotRows: batch * slots * dim,
    weights: batch * tokens * slots,
  };
}

/** Floating-point operations of any of the three products. */
export function mergeFlops({ batch, tokens, slots, dim }: MergeShape): number {
  return 2 * batch * tokens * slots * dim;
}

/** Bytes of any of the three products, each array once. */
export function mergeBytes(shape: MergeShape): number {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  return 4 * (tokenRows + slotRows + weights);
}

const SIZE = 64;

/** Options of `toSlots`. */
export interface ToSlotsOptions {
  /** Multiply token n by `scale[n]` first: a binding [B N]. */
  readonly scaled?: boolean;
  /** Tokens there are in all, when the last image has fewer than `tokens` (strips of one long image). Default B N. */
  readonly totalTokens?: number;
}

const toSlotsProgram = memoize(({ scaled }: { scaled: boolean }) =>
  defineProgram({
    name: "soft_merge.to_slots",
    params: { ...MERGE_PARAMS, total: "u32" },
    bindings: {
      weights: "read f32",
      ...(scaled ? { scale: "read f32" as const } : {}),
      x: "read f32",
      u: "write f32",
    },
    workgroupSize: SIZE,
    code: wgsl`
${SLOT_ROW}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let d = own % params.dim;
  let s = own / params.dim % params.slots;
  let b = own / (params.dim * params.slots);
  if (b >= params.batch) { return; }
  var sum = 0.0;
  let end = min((b + 1u) * params.tokens, params.total);
  for (var n = b * params.tokens; n < end; n++) {
    #if ${scaled}
    sum += weights[n * params.slots + s] * scale[n] * x[n * params.dim + d];
    #else
    sum += weights[n * params.slots + s] * x[n * params.dim + d];
    #endif
  }
  u[slot_row(b, s) * params.dim + d] = sum;
}`,
  })
);

const toTokensProgram = memoize((_: null) =>
  defineProgram({
    name: "soft_merge.to_tokens",
    params: MERGE_PARAMS,
    bindings: { weights: "read f32", v: "read f32", o: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
${SLOT_ROW}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let d = own % params.dim;
  let n = own / params.dim; // counted over the whole batch
  let b = n / params.tokens;
  if (b >= params.batch) { return; }
  var sum = 0.0;
  for (var s = 0u; s < params.slots; s++) {
    sum += weights[n * params.slots + s] * v[slot_row(b, s) * params.dim + d];
  }
  o[own] = sum;
}`,
  })
);

const dotsProgram = memoize((_: null) =>
  defineProgram({
    name: "soft_merge.dots",
    params: MERGE_PARAMS,
    bindings: { x: "read f32", v: "read f32", g: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
${SLOT_ROW}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let s = own % params.slots;
  let n = own / params.slots;
  let b = n / params.tokens;
  if (b >= params.batch) { return; }
  let row = slot_row(b, s) * params.dim;
  var sum = 0.0;
  for (var d = 0u; d < params.dim; d++) { sum += x[n * params.dim + d] * v[row + d]; }
  g[own] = sum;
}`,
  })
);

/** u = w^T x for every image, one output per invocation. */
export function toSlotsReadable(shape: MergeShape, options: ToSlotsOptions = {}): Kernel {
  const { slotRows } = mergeSizes(shape);
  const total = options.totalTokens ?? shape.batch * shape.tokens;
  return {
    program: toSlotsProgram({ scaled: options.scaled ?? false }),
    params: { ...mergeParams(shape), total },
    sizes: { weights: total * shape.slots, scale: total, x: total * shape.dim, u: slotRows },
    workgroups: foldWorkgroups(ceilDiv(slotRows, SIZE)),
    flops: mergeFlops(shape),
    bytes: mergeBytes(shape),
    reference: ({ weights, x, scale }) =>
      toSlotsReference(shape, weights, x, { scale, totalTokens: total }),
  };
}

/** o = w v for every image, one output per invocation. */
export function toTokensReadable(shape: MergeShape): Kernel {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  return {
    program: toTokensProgram(null),
    params: mergeParams(shape),
    sizes: { weights, v: slotRows, o: tokenRows },
    workgroups: foldWorkgroups(ceilDiv(tokenRows, SIZE)),
    flops: mergeFlops(shape),
    bytes: mergeBytes(shape),
    reference: ({ weights, v }) => toTokensReference(shape, weights, v),
  };
}

/** g = x v^T for every image, one output per invocation. */
export function dotsReadable(shape: MergeShape): Kernel {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  return {
    program: dotsProgram(null),
    params: mergeParams(shape),
    sizes: { x: tokenRows, v: slotRows, g: weights },
    workgroups: foldWorkgroups(ceilDiv(weights, SIZE)),
    flops: mergeFlops(shape),
    bytes: mergeBytes(shape),
    reference: ({ x, v }) => dotsReference(shape, x, v),
  };
}

/** Visits every (image, token, slot): indices of the token row, the slot row and the weight. */
function forEachPair(
  shape: MergeShape,
  visit: (token: number, slot: number, weight: number) => void,
): void {
  for (let n = 0; n < shape.batch * shape.tokens; n++) {
    const b = Math.floor(n / shape.tokens);
    for (let s = 0; s < shape.slots; s++) visit(n, slotRow(shape, b, s), n * shape.slots + s);
  }
}

/** The plain loop of `toSlots`, with the factors and the count of tokens that its options name. */
export function toSlotsReference(
  shape: MergeShape,
  weights: ArrayLike<number>,
  x: ArrayLike<number>,
  { scale, totalTokens = shape.batch * shape.tokens }: {
    readonly scale?: ArrayLike<number>;
    readonly totalTokens?: number;
  } = {},
): { u: Float64Array } {
  const u = new Float64Array(mergeSizes(shape).slotRows), { dim } = shape;
  forEachPair(shape, (n, row, w) => {
    if (n >= totalTokens) return;
    const factor = weights[w] * (scale?.[n] ?? 1);
    for (let d = 0; d < dim; d++) u[row * dim + d] += factor * x[n * dim + d];
  });
  return { u };
}

/** The plain loop of `toTokens`. */
export function toTokensReference(
  shape: MergeShape,
  weights: ArrayLike<number>,
  v: ArrayLike<number>,
): { o: Float64Array } {
  const o = new Float64Array(mergeSizes(shape).tokenRows), { dim } = shape;
  forEachPair(shape, (n, row, w) => {
    for (let d = 0; d < dim; d++) o[n * dim + d] += weights[w] * v[row * dim + d];
  });
  return { o };
}

/** The plain loop of `dots`. */
export function dotsReference(
  shape: MergeShape,
  x: ArrayLike<number>,
  v: ArrayLike<number>,
): { g: Float64Array } {
  const g = new Float64Array(mergeSizes(shape).weights), { dim } = shape;
  forEachPair(shape, (n, row, w) => {
    for (let d = 0; d < dim; d++) g[w] += x[n * dim + d] * v[row * dim + d];
  });
  return { g };
}

/** The plain loop of `dots` over normalised tokens: rows divided by |x| + eps, and the factors. */
export function unitDotsReference(
  shape: MergeShape,
  eps: number,
  x: ArrayLike<number>,
  v: ArrayLike<number>,
): { g: Float64Array; scale: Float64Array } {
  const { g } = dotsReference(shape, x, v), { dim, slots } = shape;
  const scale = new Float64Array(g.length / slots);
  for (let n = 0; n < scale.length; n++) {
    let squares = 0;
    for (let d = 0; d < dim; d++) squares += x[n * dim + d] ** 2;
    scale[n] = 1 / (Math.sqrt(squares) + eps);
    for (let s = 0; s < slots; s++) g[n * slots + s] *= scale[n];
  }
  return { g, scale };
}
