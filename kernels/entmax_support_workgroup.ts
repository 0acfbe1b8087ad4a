/**
 * The entmax-1.5 combine over its support with a workgroup per token or slot, for GPUs, and the choice between this, the
 * listed and the dense way.
 *
 * Math    In entmax_support.ts.
 * Shapes  As there, without lists: c, noise, dc [B, N, S]; T []; stats [2, B N]; v, dv [E, B s, D]; o, do [B, N, D].
 * Work    Products: one workgroup per output row. Its W invocations look at one candidate each, W apart, and list row and
 *         weight of those that count in workgroup memory, each in a segment of its own, so that the order of additions
 *         is fixed; after one barrier all walk the lists together, each owning channels t, t + W, ... of the sum. More
 *         than CHUNK candidates take several rounds.
 *         Scores: invocation t of W looks at slots t, t + W, ... of its token and makes the dot products of those that
 *         count: 9 to 18 of them fall on about as many different invocations. Two trees a token.
 * Memory  Every score once, then the rows that count: in products coalesced, in scores one row an invocation, from the
 *         cache. No list ever leaves the workgroup.
 * Cost    Workgroup memory is zeroed for every workgroup and barriers split it: on a software adapter a row cost 2 to 4
 *         us of that, more than its products.
 * @module
 */
import { type SparseDirection, TYPICAL_SUPPORT } from "./entmax_support.ts";
import {
  supportMergeReference,
  supportRoots,
  supportScoresReference,
} from "./entmax_support_reference.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, workgroupReduce } from "./snippets.ts";
import { logit } from "./routing_weights.ts";
import { MERGE_PARAMS, mergeParams, type MergeShape, mergeSizes, SLOT_ROW } from "./soft_merge.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;
/** Candidates listed between two barriers: 4 KiB of workgroup memory. */
const CHUNK = 512;
/** Room of one invocation in the lists. */
const SEGMENT = CHUNK / SIZE;

/** WGSL: d of the pair with weight index `i`, of token row `n`. */
const root = (noise: boolean) =>
  `fn root(i: u32, n: u32, warmth: f32) -> f32 {
  return max((${logit(noise)} - stats[n]) * 0.5 - stats[params.batch * params.tokens + n], 0.0);
}`;

const logitBindings = (noise: boolean) => ({
  c: "read f32" as const,
  temperature: "read f32" as const,
  ...(noise ? { noise: "read f32" as const } : {}),
  stats: "read f32" as const,
});

interface MergeConfig {
  readonly to: SparseDirection;
  readonly noise: boolean;
  readonly vectors: boolean;
  /** Elements of a row that an invocation owns. */
  readonly owned: number;
}

const merge = memoize(({ to, noise, vectors, owned }: MergeConfig) => {
  const type = vectors ? "vec4<f32>" : "f32", alias = vectors ? "vec4f" : "f32";
  return defineProgram({
    name: `entmax_support.to_${to}`,
    variant: `workgroup ${SIZE} per row${vectors ? ", vec4" : ""}`,
    params: MERGE_PARAMS,
    bindings: { ...logitBindings(noise), source: `read ${type}`, y: `write ${type}` },
    workgroupSize: SIZE,
    workgroupBytes: 8 * CHUNK + 4 * SIZE,
    code: wgsl`
${SLOT_ROW}
${root(noise)}
var<workgroup> rows: array<u32, ${CHUNK}>; // of the source, of those that count
var<workgroup> weights: array<f32, ${CHUNK}>;
var<workgroup> counts: array<u32, ${SIZE}>;
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = ${FOLDED_GROUP};
  #if ${to === "tokens"}
  let b = own / params.tokens;
  let candidates = params.slots;
  let y_row = own;
  #else
  let b = own / params.slots;
  let s = own % params.slots;
  let candidates = params.tokens;
  let y_row = slot_row(b, s);
  #endif
  if (b >= params.batch) { return; }
  let warmth = 1.0 / temperature[0];
  var sums: array<${alias}, ${owned}>;
  for (var base = 0u; base < candidates; base += ${CHUNK}u) {
    var count = 0u;
    for (var k = base + t; k < min(base + ${CHUNK}u, candidates); k += WORKGROUP_SIZE) {
      #if ${to === "tokens"}
      let d = root(own * params.slots + k, own, warmth);
      let row = slot_row(b, k);
      #else
      let row = b * params.tokens + k;
      let d = root(row * params.slots + s, row, warmth);
      #endif
      if (d > 0.0) {
        rows[t * ${SEGMENT}u + count] = row;
        weights[t * ${SEGMENT}u + count] = d * d;
        count++;
      }
    }
    counts[t] = count;
    workgroupBarrier();
    for (var lane = 0u; lane < WORKGROUP_SIZE; lane++) {
      let last = lane * ${SEGMENT}u + counts[lane];
      for (var k = lane * ${SEGMENT}u; k < last; k++) {
        let w = weights[k];
        let at = rows[k] * params.dim + t;
        for (var j = 0u; j < ${owned}u; j++) {
          if (t + j * WORKGROUP_SIZE < params.dim) { sums[j] += w * source[at + j * WORKGROUP_SIZE]; }
        }
      }
    }
    workgroupBarrier(); // all lists are read before the next chunk overwrites them
  }
  for (var j = 0u; j < ${owned}u; j++) {
    if (t + j * WORKGROUP_SIZE < params.dim) {
      y[y_row * params.dim + t + j * WORKGROUP_SIZE] = sums[j];
    }
  }
}`,
  });
});

const scores = memoize(({ noise, vectors }: { noise: boolean; vectors: boolean }) => {
  const type = vectors ? "vec4<f32>" : "f32";
  return defineProgram({
    name: "entmax_support.scores",
    variant: `workgroup ${SIZE} per token${vectors ? ", vec4" : ""}`,
    params: MERGE_PARAMS,
    bindings: {
      ...logitBindings(noise),
      dOut: `read ${type}`,
      v: `read ${type}`,
      dc: "write f32",
      partials: "write f32",
    },
    workgroupSize: SIZE,
    workgroupBytes: 8 * SIZE,
    code: wgsl`
${SLOT_ROW}
${root(noise)}
${workgroupReduce("workgroup_sums", SIZE, "a + b", "vec2f")}
fn product(a: ${type}, b: ${type}) -> f32 { return ${vectors ? "dot(a, b)" : "a * b"}; }
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let n = ${FOLDED_GROUP};
  if (n >= params.batch * params.tokens) { return; }
  let b = n / params.tokens;
  let first = n * params.slots;
  let warmth = 1.0 / temperature[0];
  var sums = vec2f(0.0); // of d, and of d a
  for (var s = t; s < params.slots; s += WORKGROUP_SIZE) {
    let d = root(first + s, n, warmth);
    var a = 0.0;
    if (d > 0.0) {
      let row = slot_row(b, s) * params.dim;
      for (var k = 0u; k < params.dim; k++) { a += product(dOut[n * params.dim + k], v[row + k]); }
    }
    dc[first + s] = a;
    sums += vec2f(d, d * a);
  }
  sums = workgroup_sums(sums, t);
  let mean = sums.y / sums.x;
  let middle = stats[n] * temperature[0];
  var partial = 0.0;
  for (var s = t; s < params.slots; s += WORKGROUP_SIZE) { // reads what this invocation wrote: no barrier needed
    let value = root(first + s, n, warmth) * (dc[first + s] - mean) * warmth;
    dc[first + s] = value;
    partial += value * (c[first + s] - middle);
  }
  partial = workgroup_sums(vec2f(partial, 0.0), t).x;
  if (t == 0u) { partials[n] = partial; }
}`,
  });
});

/** y = w source towards tokens, or w^T source towards slots; a workgroup per row of y. */
export function mergePerWorkgroup(
  shape: MergeShape,
  to: SparseDirection,
  noise: boolean,
): Kernel {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  const vectors = shape.dim % 4 === 0, width = vectors ? shape.dim / 4 : shape.dim;
  const tokens = shape.batch * shape.tokens;
  return {
    program: merge({ to, noise, vectors, owned: ceilDiv(width, SIZE) }),
    params: mergeParams(shape, width),
    sizes: {
      c: weights,
      temperature: 1,
      noise: weights,
      stats: 2 * tokens,
      source: to === "tokens" ? slotRows : tokenRows,
      y: to === "tokens" ? tokenRows : slotRows,
    },
    workgroups: foldWorkgroups(to === "tokens" ? tokens : shape.batch * shape.slots),
    flops: weights * (4 + 2 * shape.dim * TYPICAL_SUPPORT),
    bytes: 4 * (weights * (1 + Number(noise)) + tokenRows + slotRows),
    reference: (inputs) =>
      supportMergeReference(shape, to, inputs.source, supportRoots(shape, inputs)),
  };
}

/** dc and partial sums for the temperature, from the gradient by the tokens; a workgroup per token. */
export function scoresPerWorkgroup(shape: MergeShape, noise: boolean): Kernel {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  const vectors = shape.dim % 4 === 0, tokens = shape.batch * shape.tokens;
  return {
    program: scores({ noise, vectors }),
    params: mergeParams(shape, vectors ? shape.dim / 4 : shape.dim),
    sizes: {
      c: weights,
      temperature: 1,
      noise: weights,
      stats: 2 * tokens,
      dOut: tokenRows,
      v: slotRows,
      dc: weights,
      partials: tokens,
    },
    workgroups: foldWorkgroups(tokens),
    flops: weights * (8 + 2 * shape.dim * TYPICAL_SUPPORT),
    bytes: 4 * (weights * (2 + Number(noise)) + tokenRows + slotRows),
    reference: (inputs) => supportScoresReference(shape, inputs, supportRoots(shape, inputs)),
  };
}

/** How the entmax combine is computed. */
export type EntmaxCombineVariant = "dense" | "lists" | "workgroup";

/** Few slots: the support is a large part of them, and dense products in register tiles win. */
const DENSE_SLOTS = 48;

/** Dense for few slots; else over the support, listed in memory on software adapters, in the workgroup on GPUs. */
export function entmaxCombineVariant(
  { slots, batch, tokens }: Pick<MergeShape, "slots" | "batch" | "tokens">,
  target: Target,
): EntmaxCombineVariant {
  if (slots <= DENSE_SLOTS) return "dense";
  // lists number rows in f32
  const listable = batch * Math.max(tokens, slots) < 2 ** 24;
  return target.adapterClass === "software" && listable ? "lists" : "workgroup";
}
