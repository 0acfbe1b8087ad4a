/**
 * The plain loops of the entmax-1.5 combine over its support (maths in entmax_support.ts).
 *
 * Whether a pair at the very threshold is a member of a list is decided by rounding. The loops of the lists therefore
 * accept what the kernel decided there, and only there.
 * @module
 */
import type { Values } from "./kernel.ts";
import { routingForwardReference } from "./routing_weights.ts";
import { type MergeShape, slotRow, toSlotsReference, toTokensReference } from "./soft_merge.ts";

/** |d| below which a pair may or may not be in a list. */
const MARGIN = 1e-5;

/** d of every pair before it is cut off at 0, from the statistics. */
export function supportRoots(
  { tokens, batch, slots }: MergeShape,
  { c, temperature, noise, stats }: Values,
): Float64Array {
  const rows = batch * tokens;
  return Float64Array.from(c, (value, i) => {
    const n = Math.floor(i / slots);
    const logit = value / temperature[0] + (noise?.[i] ?? 0);
    return (logit - stats[n]) / 2 - stats[rows + n];
  });
}

/**
 * One list: (row, d) of its members in order, and a zero where there is room; what follows may be anything.
 * @param want the lists so far as `got` has them; the list's part is overwritten
 * @param members all candidates, those not above the threshold too
 */
function writeList(
  want: Float64Array,
  begin: number,
  length: number,
  members: readonly (readonly [row: number, d: number])[],
): void {
  let at = begin;
  const end = begin + 2 * length;
  for (const [row, d] of members) {
    const listed = d > MARGIN || (d > -MARGIN && want[at] === row && want[at + 1] > 0);
    if (!listed || at === end) continue;
    want.set([row, d], at);
    at += 2;
  }
  if (at < end) want.set([0, 0], at);
}

/** Lists of all tokens, of slots by their rows. */
export function tokenListsReference(
  shape: MergeShape,
  roots: ArrayLike<number>,
  got: ArrayLike<number>,
): Float64Array {
  const { slots, tokens, batch } = shape, want = Float64Array.from(got);
  for (let n = 0; n < batch * tokens; n++) {
    const members = Array.from(
      { length: slots },
      (_, s) => [slotRow(shape, Math.floor(n / tokens), s), roots[n * slots + s]] as const,
    );
    writeList(want, 2 * n * slots, slots, members);
  }
  return want;
}

/** Lists of all slots in the order of their rows, of tokens. */
export function slotListsReference(
  shape: MergeShape,
  roots: ArrayLike<number>,
  got: ArrayLike<number>,
): Float64Array {
  const { slots, tokens, batch } = shape, want = Float64Array.from(got);
  for (let b = 0; b < batch; b++) {
    for (let s = 0; s < slots; s++) {
      const members = Array.from({ length: tokens }, (_, j) => {
        const n = b * tokens + j;
        return [n, roots[n * slots + s]] as const;
      });
      writeList(want, 2 * slotRow(shape, b, s) * tokens, tokens, members);
    }
  }
  return want;
}

/** Statistics, found here, and lists of all tokens. */
export function thresholdsReference(shape: MergeShape, inputs: Values, got: Values): Values {
  const view = { outer: shape.batch * shape.tokens, n: shape.slots, inner: 1 };
  const { stats } = routingForwardReference(view, "entmax15", inputs);
  const roots = supportRoots(shape, { ...inputs, stats });
  return { stats, support: tokenListsReference(shape, roots, got.support) };
}

/** y = w source over lists by token, or w^T source over lists by slot; rows of `candidates` members. */
export function listMergeReference(
  rows: number,
  candidates: number,
  dim: number,
  { support, source }: Values,
): { y: Float64Array } {
  const y = new Float64Array(rows * dim);
  for (let row = 0; row < rows; row++) {
    const end = (row + 1) * candidates;
    for (let k = row * candidates; k < end && support[2 * k + 1] > 0; k++) {
      const from = support[2 * k] * dim, weight = support[2 * k + 1] ** 2;
      for (let d = 0; d < dim; d++) y[row * dim + d] += weight * source[from + d];
    }
  }
  return { y };
}

/** The same over all pairs, from their d. */
export function supportMergeReference(
  shape: MergeShape,
  to: "tokens" | "slots",
  source: ArrayLike<number>,
  roots: ArrayLike<number>,
): { y: Float64Array } {
  const weights = Float64Array.from(roots, (d) => Math.max(d, 0) ** 2);
  return to === "tokens"
    ? { y: toTokensReference(shape, weights, source).o }
    : { y: toSlotsReference(shape, weights, source).u };
}

/** d of every pair, from lists by token. */
export function rootsOfLists(shape: MergeShape, support: ArrayLike<number>): Float64Array {
  const { batch, tokens, slots, perExpert } = shape, block = batch * perExpert;
  const roots = new Float64Array(batch * tokens * slots);
  for (let n = 0; n < batch * tokens; n++) {
    const b = Math.floor(n / tokens);
    for (let k = n * slots; k < (n + 1) * slots && support[2 * k + 1] > 0; k++) {
      const row = support[2 * k]; // expert-major: the inverse of slotRow
      const s = Math.floor(row / block) * perExpert + row % block - b * perExpert;
      roots[n * slots + s] = support[2 * k + 1];
    }
  }
  return roots;
}

/** dc, and of each token its part of the temperature's gradient, from d of every pair. */
export function supportScoresReference(
  shape: MergeShape,
  { c, v, dOut, temperature }: Values,
  roots: ArrayLike<number>,
): { dc: Float64Array; partials: Float64Array } {
  const { slots, dim, tokens, batch } = shape;
  const dc = new Float64Array(c.length), partials = new Float64Array(batch * tokens);
  for (let n = 0; n < batch * tokens; n++) {
    const b = Math.floor(n / tokens);
    let total = 0, mean = 0;
    for (let s = 0; s < slots; s++) {
      const i = n * slots + s, d = Math.max(roots[i], 0), row = slotRow(shape, b, s) * dim;
      if (d === 0) continue;
      for (let k = 0; k < dim; k++) dc[i] += dOut[n * dim + k] * v[row + k];
      total += d;
      mean += d * dc[i];
    }
    mean /= total;
    for (let i = n * slots; i < (n + 1) * slots; i++) {
      dc[i] = Math.max(roots[i], 0) * (dc[i] - mean) / temperature[0];
      partials[n] += dc[i] * c[i];
    }
  }
  return { dc, partials };
}
