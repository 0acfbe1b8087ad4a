/**
 * Sizes of attention and its plain loops, one for each kernel (maths in attention.ts).
 *
 * The loops of the kernels take what these read as it is: lse, out and delta of a backward kernel need not come from a
 * forward pass. `attentionReference` and `attentionBackwardReference` are the whole formula, from qkv alone.
 * @module
 */
import type { Values } from "./kernel.ts";
import { softmaxReference } from "./softmax.ts";

/** Sizes of an attention call. */
export interface AttentionShape {
  /** Images, B. */
  readonly batch: number;
  /** Tokens, N. */
  readonly tokens: number;
  /** Heads, H. */
  readonly heads: number;
  /** Channels of one head, Dh. */
  readonly headDim: number;
}

/** Numbers of elements that follow from a shape. */
export function attentionSizes(
  { batch, tokens, heads, headDim }: AttentionShape,
): { rows: number; pairs: number; out: number } {
  const rows = batch * heads * tokens;
  return { rows, pairs: rows * tokens, out: rows * headDim };
}

/** <a, b> of `length` numbers from given places. */
function dot(
  a: ArrayLike<number>,
  aAt: number,
  b: ArrayLike<number>,
  bAt: number,
  length: number,
): number {
  let sum = 0;
  for (let c = 0; c < length; c++) sum += a[aAt + c] * b[bAt + c];
  return sum;
}

/** y += factor x over `length` numbers from given places. */
function add(
  y: Float64Array,
  yAt: number,
  factor: number,
  x: ArrayLike<number>,
  xAt: number,
  length: number,
): void {
  for (let c = 0; c < length; c++) y[yAt + c] += factor * x[xAt + c];
}

/**
 * Visits every query i and key j of every head: `row` is the query's index in [B, H, N], `entry` the pair's in
 * [B, H, N, N]; `at(n, part)` is where the row of a token begins in qkv, `out(n)` where it does in out.
 */
function forEachPair(
  { batch, tokens, heads, headDim }: AttentionShape,
  visit: (
    pair: { i: number; j: number; row: number; entry: number },
    at: (n: number, part: 0 | 1 | 2) => number,
    out: (n: number) => number,
  ) => void,
): void {
  const pair = { i: 0, j: 0, row: 0, entry: 0 };
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = (n: number, part: number): number =>
        (((b * tokens + n) * 3 + part) * heads + h) * headDim;
      const out = (n: number): number => ((b * tokens + n) * heads + h) * headDim;
      for (pair.i = 0; pair.i < tokens; pair.i++) {
        pair.row = (b * heads + h) * tokens + pair.i;
        for (pair.j = 0; pair.j < tokens; pair.j++) {
          pair.entry = pair.row * tokens + pair.j;
          visit(pair, at, out);
        }
      }
    }
  }
}

/** s = scale q k^T. */
export function attentionScoresReference(
  shape: AttentionShape,
  scale: number,
  qkv: ArrayLike<number>,
): { s: Float64Array } {
  const s = new Float64Array(attentionSizes(shape).pairs);
  forEachPair(shape, ({ i, j, entry }, at) => {
    s[entry] = scale * dot(qkv, at(i, 0), qkv, at(j, 1), shape.headDim);
  });
  return { s };
}

/** s becomes the softmax of its rows; lse is their logsumexp. */
export function attentionSoftmaxReference(
  shape: AttentionShape,
  s: ArrayLike<number>,
): { s: Float64Array; lse: Float64Array } {
  const { rows } = attentionSizes(shape), n = shape.tokens;
  const { y } = softmaxReference({ outer: rows, n, inner: 1 }, s);
  const lse = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    // from the row's likeliest entry: the probability of another may be 0
    let best = row * n;
    for (let k = row * n; k < (row + 1) * n; k++) if (s[k] > s[best]) best = k;
    lse[row] = s[best] - Math.log(y[best]);
  }
  return { s: y, lse };
}

/** out = p v. */
export function attentionValuesReference(
  shape: AttentionShape,
  qkv: ArrayLike<number>,
  p: ArrayLike<number>,
): { out: Float64Array } {
  const result = new Float64Array(attentionSizes(shape).out);
  forEachPair(shape, ({ i, j, entry }, at, out) => {
    add(result, out(i), p[entry], qkv, at(j, 2), shape.headDim);
  });
  return { out: result };
}

/** p and ds from any lse and delta, without the consistency that a forward pass would give them. */
function probabilities(
  shape: AttentionShape,
  scale: number,
  { qkv, dOut, lse }: Values,
  delta: ArrayLike<number>,
): { p: Float64Array; ds: Float64Array } {
  const { pairs } = attentionSizes(shape), { headDim } = shape;
  const p = new Float64Array(pairs), ds = new Float64Array(pairs);
  forEachPair(shape, ({ i, j, row, entry }, at, out) => {
    p[entry] = Math.exp(scale * dot(qkv, at(i, 0), qkv, at(j, 1), headDim) - lse[row]);
    ds[entry] = p[entry] * (dot(dOut, out(i), qkv, at(j, 2), headDim) - delta[row]);
  });
  return { p, ds };
}

/** delta = <dOut, out> of every query. */
function deltas(shape: AttentionShape, { out, dOut }: Values): Float64Array {
  const delta = new Float64Array(attentionSizes(shape).rows);
  forEachPair(shape, ({ i, j, row }, _at, place) => {
    if (j === 0) delta[row] = dot(out, place(i), dOut, place(i), shape.headDim);
  });
  return delta;
}

/** The probabilities again and ds. */
export function attentionScoresBackwardReference(
  shape: AttentionShape,
  scale: number,
  inputs: Values,
): { p: Float64Array; ds: Float64Array } {
  return probabilities(shape, scale, inputs, deltas(shape, inputs));
}

/** dqkv from p and ds; `parts` says which of q, k and v. */
function inputGradient(
  shape: AttentionShape,
  scale: number,
  { qkv, dOut, p, ds }: Values,
  parts: string,
): Float64Array {
  const dqkv = new Float64Array(3 * attentionSizes(shape).out), { headDim } = shape;
  forEachPair(shape, ({ i, j, entry }, at, out) => {
    if (parts.includes("q")) add(dqkv, at(i, 0), scale * ds[entry], qkv, at(j, 1), headDim);
    if (parts.includes("k")) add(dqkv, at(j, 1), scale * ds[entry], qkv, at(i, 0), headDim);
    if (parts.includes("v")) add(dqkv, at(j, 2), p[entry], dOut, out(i), headDim);
  });
  return dqkv;
}

/** dqkv from p and ds. */
export function attentionInputBackwardReference(
  shape: AttentionShape,
  scale: number,
  inputs: Values,
): { dqkv: Float64Array } {
  return { dqkv: inputGradient(shape, scale, inputs, "qkv") };
}

/** The q part of dqkv, zeros in the others, and delta. */
export function attentionQueryBackwardReference(
  shape: AttentionShape,
  scale: number,
  inputs: Values,
): { dqkv: Float64Array; delta: Float64Array } {
  const delta = deltas(shape, inputs), { p, ds } = probabilities(shape, scale, inputs, delta);
  return { dqkv: inputGradient(shape, scale, { ...inputs, p, ds }, "q"), delta };
}

/** The k and v parts of dqkv; its q part stays as the other pass left it. */
export function attentionKeyBackwardReference(
  shape: AttentionShape,
  scale: number,
  inputs: Values,
): { dqkv: Float64Array } {
  const { p, ds } = probabilities(shape, scale, inputs, inputs.delta);
  const dqkv = inputGradient(shape, scale, { ...inputs, p, ds }, "kv");
  forEachPair(shape, ({ i, j }, at) => {
    if (j === 0) {
      for (let c = at(i, 0); c < at(i, 0) + shape.headDim; c++) dqkv[c] = inputs.dqkv[c];
    }
  });
  return { dqkv };
}

/** The whole formula, forward: out [B, N, H, Dh] and lse [B, H, N] from packed qkv. */
export function attentionReference(
  qkv: ArrayLike<number>,
  shape: AttentionShape,
  scale: number,
): { out: Float64Array; lse: Float64Array } {
  const { s: scores } = attentionScoresReference(shape, scale, qkv);
  const { s: p, lse } = attentionSoftmaxReference(shape, scores);
  return { ...attentionValuesReference(shape, qkv, p), lse };
}

/** The whole formula, backward: dqkv [B, N, 3, H, Dh]. */
export function attentionBackwardReference(
  qkv: ArrayLike<number>,
  dOut: ArrayLike<number>,
  shape: AttentionShape,
  scale: number,
): { dqkv: Float64Array } {
  const inputs = { qkv, dOut, ...attentionReference(qkv, shape, scale) };
  const { p, ds } = attentionScoresBackwardReference(shape, scale, inputs);
  return attentionInputBackwardReference(shape, scale, { qkv, dOut, p, ds });
}
