/**
 * The catalogue's calls of attention.
 * @module
 */
import {
  attentionInputBackward,
  attentionReference,
  attentionScores,
  attentionScoresBackward,
  type AttentionShape,
  attentionSizes,
  attentionSoftmax,
  attentionValues,
} from "../attention.ts";
import {
  attentionOnline,
  attentionOnlineBackwardKV,
  attentionOnlineBackwardQ,
  type AttentionTiling,
} from "../attention_online.ts";
import { attentionVariant } from "../attention_variant.ts";
import { softmaxReference } from "../softmax.ts";
import {
  array,
  type CatalogueEntry,
  each,
  entry,
  pairs,
  sum,
  TARGETS,
  type Values,
} from "./entry.ts";

const SCALE = 0.7;
const SHAPES: AttentionShape[] = [
  { batch: 2, tokens: 5, heads: 2, headDim: 3 },
  { batch: 2, tokens: 37, heads: 3, headDim: 8 },
];
const ONLINE: AttentionShape[] = [...SHAPES, { batch: 1, tokens: 133, heads: 2, headDim: 64 }];
const MANY: AttentionShape[] = [{ batch: 2 ** 12, tokens: 49, heads: 3, headDim: 16 }];

/** What the selection takes for one of the three passes. */
const tilings = (shapes: AttentionShape[], pass: "forward" | "backwardQ" | "backwardKV") =>
  pairs(shapes, TARGETS).flatMap(([shape, target]): [AttentionShape, number, AttentionTiling][] => {
    const variant = attentionVariant(shape, target);
    return variant.kind === "online" ? [[shape, SCALE, variant[pass]]] : [];
  });
const scaled = (shapes: AttentionShape[]) => pairs(shapes, [SCALE]);

/** A query i and a key j of one head of one image, and where what belongs to them begins. */
interface Pair {
  /** Index in [B, H, N, N]. */
  readonly entry: number;
  /** Index of the query and of the key in [B, H, N]. */
  readonly query: number;
  readonly key: number;
  /** First element of q_i, k_i, v_i and of q_j, k_j, v_j in qkv. */
  readonly i: readonly [q: number, k: number, v: number];
  readonly j: readonly [q: number, k: number, v: number];
  /** First element of rows i and j in out. */
  readonly outI: number;
  readonly outJ: number;
}

function forEachPair(
  { batch, tokens, heads, headDim }: AttentionShape,
  visit: (pair: Pair) => void,
) {
  const inQkv = (b: number, h: number, n: number) =>
    [0, 1, 2].map((part) => (((b * tokens + n) * 3 + part) * heads + h) * headDim) as [
      number,
      number,
      number,
    ];
  const inOut = (b: number, h: number, n: number) => ((b * tokens + n) * heads + h) * headDim;
  for (let entry = 0; entry < batch * heads * tokens * tokens; entry++) {
    const j = entry % tokens, query = Math.floor(entry / tokens), i = query % tokens;
    const head = Math.floor(query / tokens), h = head % heads, b = Math.floor(head / heads);
    visit({
      entry,
      query,
      key: head * tokens + j,
      i: inQkv(b, h, i),
      j: inQkv(b, h, j),
      outI: inOut(b, h, i),
      outJ: inOut(b, h, j),
    });
  }
}

/** The gradients from any lse and delta, without the consistency that a forward pass would give them. */
function gradients({ qkv, dOut, lse }: Values, shape: AttentionShape, delta: ArrayLike<number>) {
  const { headDim } = shape, { pairs, out } = attentionSizes(shape);
  const p = new Float64Array(pairs), ds = new Float64Array(pairs);
  const dq = new Float64Array(3 * out), dkv = new Float64Array(3 * out);
  forEachPair(shape, ({ entry, query, i, j, outI }) => {
    const dot = sum(headDim, (c) => qkv[i[0] + c] * qkv[j[1] + c]);
    p[entry] = Math.exp(SCALE * dot - lse[query]);
    ds[entry] = p[entry] * (sum(headDim, (c) => dOut[outI + c] * qkv[j[2] + c]) - delta[query]);
    for (let c = 0; c < headDim; c++) {
      dq[i[0] + c] += SCALE * ds[entry] * qkv[j[1] + c];
      dkv[j[1] + c] += SCALE * ds[entry] * qkv[i[0] + c];
      dkv[j[2] + c] += p[entry] * dOut[outI + c];
    }
  });
  return { p, ds, dq, dkv };
}

/** <dOut, out> of every query. */
function deltas({ out, dOut }: Values, shape: AttentionShape): Float64Array {
  const delta = new Float64Array(attentionSizes(shape).rows);
  forEachPair(shape, ({ query, outI }) => {
    delta[query] = sum(shape.headDim, (c) => out[outI + c] * dOut[outI + c]);
  });
  return delta;
}

const readable = [
  entry("attention", attentionScores, {
    small: scaled(SHAPES),
    huge: scaled(MANY),
    reference: ({ qkv }, [shape, scale]) => {
      const s = new Float64Array(attentionSizes(shape).pairs);
      forEachPair(shape, ({ entry, i, j }) => {
        s[entry] = scale * sum(shape.headDim, (c) => qkv[i[0] + c] * qkv[j[1] + c]);
      });
      return { s };
    },
  }),
  entry("attention", attentionSoftmax, {
    small: each(SHAPES),
    huge: each(MANY),
    // rows far apart, so that a neighbour's number would be noticed
    input: (value, _name, i, [{ tokens }]) => value + 50 * (Math.floor(i / tokens) % 3),
    reference: ({ s }, [shape]) => {
      const { tokens: n } = shape, { rows } = attentionSizes(shape);
      const y = softmaxReference({ outer: rows, n, inner: 1 }, s).y;
      const lse = array(rows, (row) => s[row * n] - Math.log(y[row * n]));
      return { s: y, lse };
    },
  }),
  entry("attention", attentionValues, {
    small: each(SHAPES),
    huge: each(MANY),
    reference: ({ qkv, p }, [shape]) => {
      const out = new Float64Array(attentionSizes(shape).out);
      forEachPair(shape, ({ entry, j, outI }) => {
        for (let c = 0; c < shape.headDim; c++) out[outI + c] += p[entry] * qkv[j[2] + c];
      });
      return { out };
    },
  }),
  entry("attention", attentionScoresBackward, {
    small: scaled(SHAPES),
    huge: scaled(MANY),
    reference: (inputs, [shape]) => ({ ...gradients(inputs, shape, deltas(inputs, shape)) }),
  }),
  entry("attention", attentionInputBackward, {
    small: scaled(SHAPES),
    huge: scaled(MANY),
    reference: ({ qkv, dOut, p, ds }, [shape, scale]) => {
      const dqkv = new Float64Array(qkv.length);
      forEachPair(shape, ({ entry, i, j, outI }) => {
        for (let c = 0; c < shape.headDim; c++) {
          dqkv[i[0] + c] += scale * ds[entry] * qkv[j[1] + c];
          dqkv[j[1] + c] += scale * ds[entry] * qkv[i[0] + c];
          dqkv[j[2] + c] += p[entry] * dOut[outI + c];
        }
      });
      return { dqkv };
    },
  }),
];

const online = [
  entry("attention_online", attentionOnline, {
    small: tilings(ONLINE, "forward"),
    huge: tilings(MANY, "forward"),
    reference: ({ qkv }, [shape, scale]) => ({ ...attentionReference(qkv, shape, scale) }),
  }),
  entry("attention_online", attentionOnlineBackwardQ, {
    small: tilings(ONLINE, "backwardQ"),
    huge: tilings(MANY, "backwardQ"),
    input: (value, name) => name === "lse" ? 3 + value : value,
    reference: (inputs, [shape]) => {
      const delta = deltas(inputs, shape);
      return { dqkv: gradients(inputs, shape, delta).dq, delta };
    },
  }),
  entry("attention_online", attentionOnlineBackwardKV, {
    small: tilings(ONLINE, "backwardKV"),
    huge: tilings(MANY, "backwardKV"),
    input: (value, name) => name === "lse" ? 3 + value : value,
    reference: (inputs, [shape]) => {
      const { dkv } = gradients(inputs, shape, inputs.delta);
      // the q part stays as the other pass left it
      forEachPair(shape, ({ i }) => {
        for (let c = 0; c < shape.headDim; c++) dkv[i[0] + c] = inputs.dqkv[i[0] + c];
      });
      return { dqkv: dkv };
    },
  }),
];

/** Attention. */
export const ATTENTION: readonly CatalogueEntry[] = [...readable, ...online];
