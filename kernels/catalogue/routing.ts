/**
 * The catalogue's calls of soft routing: scores, weights and merges.
 * @module
 */
import { axisLanes, type AxisView, forEachRow } from "../axis_view.ts";
import {
  asMerge,
  cosineScoresForward,
  cosineScoresReadable,
  cosineScoresReference,
  type CosineShape,
  plainScoresForward,
} from "../cosine_routing.ts";
import {
  type SparseDirection,
  supportBySlot,
  supportByToken,
  supportMerge,
  supportScores,
} from "../entmax_support.ts";
import { mergePerWorkgroup, scoresPerWorkgroup } from "../entmax_support_workgroup.ts";
import {
  routingBackwardPerInvocation,
  type RoutingKind,
  type RoutingOptions,
  routingPerInvocation,
  routingReference,
  temperatureGradient,
} from "../routing_weights.ts";
import {
  routingBackward,
  routingBackwardPerWorkgroup,
  routingForward,
  routingPerWorkgroup,
} from "../routing_weights_workgroup.ts";
import {
  dotsReadable,
  dotsReference,
  type MergeShape,
  slotRow,
  toSlotsReadable,
  toSlotsReference,
  toTokensReadable,
  toTokensReference,
} from "../soft_merge.ts";
import {
  dots,
  dotsTile,
  dotsTiled,
  type MergeTile,
  mergeTile,
  toSlots,
  toSlotsTiled,
  toTokens,
  toTokensTiled,
} from "../soft_merge_tiled.ts";
import {
  array,
  BOTH,
  type CatalogueEntry,
  each,
  entry,
  pairs,
  sum,
  TARGETS,
  type Values,
} from "./entry.ts";

// ---- weights

const VIEWS: AxisView[] = [
  { outer: 101, n: 5, inner: 1 },
  { outer: 99, n: 8, inner: 1 },
  { outer: 10, n: 7, inner: 40 },
  { outer: 21, n: 3, inner: 5 },
];
const LONG: AxisView[] = [{ outer: 5, n: 37, inner: 1 }, { outer: 2, n: 70, inner: 3 }];
const MANY: AxisView = { outer: 2 ** 22, n: 8, inner: 1 };
const MANY_LONG: AxisView = { outer: 2 ** 18, n: 128, inner: 1 };
const KINDS: RoutingKind[] = ["softmax", "entmax15"];
const OPTIONS: RoutingOptions[] = [
  ...pairs(KINDS, BOTH).map(([kind, noise]) => ({ kind, noise })),
  { kind: "entmax15", noise: true, weights: false },
];

const inLanes = (views: AxisView[]) =>
  pairs(views, OPTIONS).map(([view, options]) => [view, options, axisLanes(view)] as const);
const selected = (views: AxisView[]) =>
  pairs(pairs(views, OPTIONS), TARGETS).map(([[view, options], target]) =>
    [view, options, target] as const
  );

type RoutingArgs = readonly [AxisView, RoutingOptions, ...unknown[]];

/** The logits: scores by temperature, and noise. */
const logits = ({ c, temperature, noise }: Values) =>
  array(c.length, (i) => c[i] / temperature[0] + (noise?.[i] ?? 0));

const weightsForward = {
  input: (value: number, name: string, i: number, [{ n, inner }]: RoutingArgs) => {
    if (name === "temperature") return 0.5 + Math.abs(value);
    // rows far apart, so that a neighbour's number would be noticed
    const row = Math.floor(i / (n * inner)) * inner + i % inner;
    return name === "c" ? value + 40 * (row % 3) : value;
  },
  reference: (inputs: Values, [view, { kind }]: RoutingArgs) => {
    const l = logits(inputs), { temperature, noise } = inputs;
    const { weights } = routingReference(view, kind, inputs.c, temperature[0], noise);
    const tops: number[] = [], keys: number[] = [];
    forEachRow(view, (first, step) => {
      let best = first;
      for (let k = 0; k < view.n; k++) if (l[first + k * step] > l[best]) best = first + k * step;
      tops.push(l[best]);
      keys.push(kind === "softmax" ? weights[best] : -Math.sqrt(weights[best]));
    });
    return { weights, stats: [...tops, ...keys] };
  },
};

/** Statistics that no forward pass made: the maximum about 2, the key as its kind has it. */
function statsInput(value: number, i: number, rows: number, kind: RoutingKind): number {
  if (i < rows) return 2 + value / 8;
  return kind === "softmax" ? 0.5 + value / 8 : -1.5 + value / 8;
}

const weightsBackward = {
  input: (value: number, name: string, i: number, [view, { kind }]: RoutingArgs) => {
    if (name === "temperature") return 0.5 + Math.abs(value);
    return name === "stats" ? statsInput(value, i, view.outer * view.inner, kind) : value;
  },
  reference: (inputs: Values, [view, { kind }]: RoutingArgs) => {
    const { c, g, stats, temperature } = inputs, l = logits(inputs), softmax = kind === "softmax";
    const weights = new Float64Array(c.length), dc = new Float64Array(c.length);
    const rows = view.outer * view.inner, partials = new Float64Array(rows);
    let row = 0;
    forEachRow(view, (first, step) => {
      const top = stats[row], key = stats[rows + row];
      const at = (k: number) => first + k * step;
      const share = (k: number) =>
        softmax ? Math.exp(l[at(k)] - top) * key : Math.max((l[at(k)] - top) / 2 - key, 0);
      const total = softmax ? 1 : sum(view.n, share);
      const mean = sum(view.n, (k) => share(k) * g[at(k)]) / total;
      for (let k = 0; k < view.n; k++) {
        weights[at(k)] = softmax ? share(k) : share(k) ** 2;
        dc[at(k)] = share(k) * (g[at(k)] - mean) / temperature[0];
        partials[row] += dc[at(k)] * (c[at(k)] - top * temperature[0]);
      }
      row++;
    });
    return { weights, dc, partials };
  },
};

const weights = [
  entry("routing_weights", routingPerInvocation, {
    small: inLanes(VIEWS),
    huge: inLanes([MANY]),
    ...weightsForward,
  }),
  entry("routing_weights", routingBackwardPerInvocation, {
    small: inLanes(VIEWS),
    huge: inLanes([MANY]),
    ...weightsBackward,
  }),
  entry("routing_weights", temperatureGradient, {
    small: pairs([1, 300], [0, 1] as const),
    huge: [[2 ** 20, 1]],
    input: (value, name) => name === "temperature" ? 0.5 + Math.abs(value) : value,
    reference: ({ partials, temperature, dt }, [count, accumulate]) => ({
      dt: [-sum(count, (i) => partials[i]) / temperature[0] + (accumulate ? dt[0] : 0)],
    }),
  }),
  entry("routing_weights_workgroup", routingPerWorkgroup, {
    small: pairs([...VIEWS.slice(2), ...LONG], OPTIONS),
    ...weightsForward,
  }),
  entry("routing_weights_workgroup", routingBackwardPerWorkgroup, {
    small: pairs([...VIEWS.slice(2), ...LONG], OPTIONS),
    ...weightsBackward,
  }),
  entry("routing_weights_workgroup", routingForward, {
    small: selected(LONG),
    huge: selected([MANY_LONG]),
    ...weightsForward,
  }),
  entry("routing_weights_workgroup", routingBackward, {
    small: selected(LONG),
    huge: selected([MANY_LONG]),
    ...weightsBackward,
  }),
];

// ---- dense merges

const ODD: MergeShape = { batch: 3, tokens: 13, slots: 15, perExpert: 3, dim: 7 };
const EVEN: MergeShape = { batch: 3, tokens: 37, slots: 22, perExpert: 2, dim: 24 };
const BIG: MergeShape = { batch: 2 ** 7, tokens: 196, slots: 294, perExpert: 2, dim: 192 };
const MERGES = [ODD, EVEN];
const STRIPS = [{}, { scaled: true }];

const tiled = (tileOf: typeof mergeTile) =>
  TARGETS.map((target): [MergeShape, MergeTile] => [EVEN, tileOf(EVEN, target)!]);
const toSlotsOf = (
  { weights, scale, x }: Values,
  shape: MergeShape,
  { totalTokens = shape.batch * shape.tokens }: { totalTokens?: number } = {},
) => {
  const { slots, dim, batch, tokens } = shape;
  const factor = (n: number) => n < totalTokens ? scale?.[n] ?? 1 : 0;
  const all = array(batch * tokens * slots, (i) => {
    const n = Math.floor(i / slots);
    return n < totalTokens ? factor(n) * weights[i] : 0;
  });
  const rows = array(batch * tokens * dim, (i) => x[i] ?? 0);
  return toSlotsReference(shape, all, rows);
};
/** The last of three strips is shorter than the others. */
const cut = (shape: MergeShape) => ({ totalTokens: shape.batch * shape.tokens - 5, scaled: true });

const merges = [
  entry("soft_merge", toSlotsReadable, {
    small: [...pairs(MERGES, STRIPS), [ODD, cut(ODD)]],
    huge: [[BIG, {}]],
    reference: (inputs, [shape, options]) => toSlotsOf(inputs, shape, options),
  }),
  entry("soft_merge", toTokensReadable, {
    small: each(MERGES),
    huge: [[BIG]],
    reference: ({ weights, v }, [shape]) => toTokensReference(shape, weights, v),
  }),
  entry("soft_merge", dotsReadable, {
    small: each(MERGES),
    huge: [[BIG]],
    reference: ({ x, v }, [shape]) => dotsReference(shape, x, v),
  }),
  entry("soft_merge_tiled", toSlotsTiled, {
    small: pairs(tiled(mergeTile), [...STRIPS, cut(EVEN)])
      .map(([[shape, tile], options]) => [shape, tile, options]),
    reference: (inputs, [shape, , options]) => toSlotsOf(inputs, shape, options),
  }),
  entry("soft_merge_tiled", toTokensTiled, {
    small: tiled(mergeTile),
    reference: ({ weights, v }, [shape]) => toTokensReference(shape, weights, v),
  }),
  entry("soft_merge_tiled", dotsTiled, {
    small: [
      ...tiled(dotsTile),
      ...tiled(dotsTile).map(([shape, tile]) => [shape, tile, 0.1] as const),
    ],
    reference: ({ x, v }, [shape, , eps]) => {
      const { g } = dotsReference(shape, x, v), { tokens, batch, dim, slots } = shape;
      const norm = (n: number) => Math.sqrt(sum(dim, (d) => x[n * dim + d] ** 2));
      const scale = array(batch * tokens, (n) => eps === undefined ? 1 : 1 / (norm(n) + eps));
      return { g: g.map((value, i) => value * scale[Math.floor(i / slots)]), scale };
    },
  }),
  entry("soft_merge_tiled", toSlots, {
    small: pairs(MERGES, TARGETS),
    huge: pairs([BIG], TARGETS),
    reference: (inputs, [shape]) => toSlotsOf(inputs, shape),
  }),
  entry("soft_merge_tiled", toTokens, {
    small: pairs(MERGES, TARGETS),
    huge: pairs([BIG], TARGETS),
    reference: ({ weights, v }, [shape]) => toTokensReference(shape, weights, v),
  }),
  entry("soft_merge_tiled", dots, {
    small: pairs(MERGES, TARGETS),
    huge: pairs([BIG], TARGETS),
    reference: ({ x, v }, [shape]) => dotsReference(shape, x, v),
  }),
];

// ---- scores

const SCORES: CosineShape[] = [
  { tokens: 39, slots: 15, dim: 7 },
  { tokens: 101, slots: 22, dim: 12 },
];
const MANY_SCORES: CosineShape = { tokens: 2 ** 16, slots: 294, dim: 192 };
const cosineOf = ({ x, v }: Values, shape: CosineShape, eps: number) => {
  const { scores, scale } = cosineScoresReference(shape, eps, x, v);
  return { g: scores, scale };
};
/** The first token is all zeros. */
const zeroToken = {
  input: (
    value: number,
    name: string,
    i: number,
    [{ dim }]: readonly [CosineShape, ...unknown[]],
  ) => name === "x" && i < dim ? 0 : value,
};
const scores = [
  entry("cosine_routing", cosineScoresReadable, {
    small: pairs(SCORES, [0.1]),
    huge: [[MANY_SCORES, 1e-6]],
    ...zeroToken,
    reference: (inputs, [shape, eps]) => cosineOf(inputs, shape, eps),
  }),
  entry("cosine_routing", cosineScoresForward, {
    small: pairs(SCORES, TARGETS).map(([shape, target]) => [shape, 0.1, target]),
    huge: TARGETS.map((target) => [MANY_SCORES, 1e-6, target]),
    ...zeroToken,
    reference: (inputs, [shape, eps]) => cosineOf(inputs, shape, eps),
  }),
  entry("cosine_routing", plainScoresForward, {
    small: pairs(SCORES, TARGETS),
    huge: pairs([MANY_SCORES], TARGETS),
    reference: ({ x, v }, [shape]) => dotsReference(asMerge(shape), x, v),
  }),
];

// ---- entmax over its support

/** More slots than a workgroup, more tokens than a list in it, rows wider than it. */
const SPARSE: MergeShape[] = [
  ODD,
  EVEN,
  { batch: 2, tokens: 33, slots: 70, perExpert: 7, dim: 4 },
  { batch: 1, tokens: 530, slots: 5, perExpert: 1, dim: 67 },
  { batch: 2, tokens: 5, slots: 66, perExpert: 2, dim: 264 },
];
const LISTED = SPARSE.slice(0, 3);
const DIRECTIONS: SparseDirection[] = ["tokens", "slots"];

type MergeArgs = readonly [MergeShape, ...unknown[]];
const sparseInput = (value: number, name: string, i: number, [shape]: MergeArgs) => {
  const { batch, tokens, slots } = shape;
  if (name === "temperature") return 0.5 + Math.abs(value);
  if (name === "c" && i % slots === 0) return 4 + Math.abs(value); // no token is without a support
  return name === "stats" ? statsInput(value, i, batch * tokens, "entmax15") : value;
};

/** d of every pair, from the statistics. */
function roots(inputs: Values, { tokens, batch, slots }: MergeShape): Float64Array {
  const l = logits(inputs), rows = batch * tokens, { stats } = inputs;
  return l.map((value, i) => {
    const n = Math.floor(i / slots);
    return Math.max((value - stats[n]) / 2 - stats[rows + n], 0);
  });
}

/** A list of pairs (row, d), ended by a zero where there is room; what follows stays as it was. */
function list(length: number, members: readonly [row: number, d: number][]): number[] {
  const flat = members.filter(([, d]) => d > 0).flat();
  if (flat.length < 2 * length) flat.push(0, 0);
  return [...flat, ...Array<number>(2 * length - flat.length).fill(NaN)];
}

const indices = (n: number) => Array.from({ length: n }, (_, i) => i);

/** Lists of all tokens, of slots by their rows. */
function listsByToken(d: ArrayLike<number>, shape: MergeShape): number[] {
  const { slots, tokens } = shape;
  return indices(shape.batch * tokens).flatMap((n) =>
    list(
      slots,
      indices(slots).map((s) => [slotRow(shape, Math.floor(n / tokens), s), d[n * slots + s]]),
    )
  );
}

/** Statistics and lists of all tokens; behind a list stand candidates that did not reach the threshold. */
function thresholdsByToken(inputs: Values, shape: MergeShape): Values {
  const { slots, tokens } = shape, rows = shape.batch * tokens;
  const view: AxisView = { outer: rows, n: slots, inner: 1 }, l = logits(inputs);
  const options: RoutingOptions = { kind: "entmax15", noise: inputs.noise !== undefined };
  const { weights, stats } = weightsForward.reference(inputs, [view, options]);
  const support = listsByToken(Float64Array.from(weights, Math.sqrt), shape);
  for (let n = 0; n < rows; n++) {
    let at = 2 * n * slots;
    for (const s of indices(slots)) {
      const z = (l[n * slots + s] - stats[n]) / 2;
      if (z <= -1) continue;
      const row = slotRow(shape, Math.floor(n / tokens), s);
      if (Number.isNaN(support[at])) [support[at], support[at + 1]] = [row, z];
      at += 2;
    }
  }
  return { stats, support };
}

/** Lists of all slots in the order of their rows, of tokens. */
function listsBySlot(d: ArrayLike<number>, shape: MergeShape): number[] {
  const lists: number[][] = [];
  for (let b = 0; b < shape.batch; b++) {
    for (let s = 0; s < shape.slots; s++) {
      lists[slotRow(shape, b, s)] = list(
        shape.tokens,
        indices(shape.tokens).map((j) => {
          const n = b * shape.tokens + j;
          return [n, d[n * shape.slots + s]];
        }),
      );
    }
  }
  return lists.flat();
}

/** dc and partials of the scores, from d of every pair. */
function scoreGradients(inputs: Values, shape: MergeShape, d: ArrayLike<number>): Values {
  const { c, v, dOut, temperature } = inputs, { slots, dim, tokens, batch } = shape;
  const dc = new Float64Array(c.length), partials = new Float64Array(batch * tokens);
  for (let n = 0; n < batch * tokens; n++) {
    const b = Math.floor(n / tokens), at = (s: number) => n * slots + s;
    const a = array(
      slots,
      (s) => sum(dim, (k) => dOut[n * dim + k] * v[slotRow(shape, b, s) * dim + k]),
    );
    const mean = sum(slots, (s) => d[at(s)] * a[s]) / sum(slots, (s) => d[at(s)]);
    for (let s = 0; s < slots; s++) {
      dc[at(s)] = d[at(s)] * (a[s] - mean) / temperature[0];
      partials[n] += dc[at(s)] * c[at(s)];
    }
  }
  return { dc, partials };
}

/** Rows of the other side in input lists, and how far they go. */
const listLength = (row: number, length: number) => Math.min(length, 1 + (row * 5) % 7);

/** w source, over the pairs whose d is above 0. */
function mergeOf({ source }: Values, shape: MergeShape, to: SparseDirection, d: ArrayLike<number>) {
  const weights = Float64Array.from(d, (value) => value * value);
  return to === "tokens"
    ? { y: toTokensReference(shape, weights, source).o }
    : { y: toSlotsReference(shape, weights, source).u };
}

const sparse = [
  entry("entmax_support", supportByToken, {
    small: pairs(pairs(LISTED, BOTH), BOTH).map((
      [[shape, noise], threshold],
    ) => [shape, noise, threshold]),
    huge: [[BIG, true, true]],
    input: sparseInput,
    reference: (inputs, [shape, , threshold]) =>
      threshold
        ? thresholdsByToken(inputs, shape)
        : { support: listsByToken(roots(inputs, shape), shape) },
  }),
  entry("entmax_support", supportBySlot, {
    small: pairs(LISTED, BOTH),
    huge: [[BIG, true]],
    input: sparseInput,
    reference: (inputs, [shape]) => ({ support: listsBySlot(roots(inputs, shape), shape) }),
  }),
  entry("entmax_support", supportMerge, {
    small: pairs(
      [...LISTED, { ...EVEN, dim: 4 }, { ...EVEN, dim: 8 }, { ...EVEN, dim: 64 }],
      DIRECTIONS,
    ),
    huge: pairs([BIG], DIRECTIONS),
    input: (value, name, i, [shape, to]) => {
      if (name !== "support") return value;
      const length = to === "tokens" ? shape.slots : shape.tokens;
      const others = shape.batch * (to === "tokens" ? shape.slots : shape.tokens);
      const member = i >> 1, row = Math.floor(member / length), k = member % length;
      if (i % 2 === 0) return (row * 3 + k * 7) % others;
      return k < listLength(row, length) ? 0.1 + Math.abs(value) : k % 2 * value;
    },
    reference: ({ support, source }, [{ batch, slots, tokens, dim }, to]) => {
      const length = to === "tokens" ? slots : tokens;
      const rows = batch * (to === "tokens" ? tokens : slots), y = new Float64Array(rows * dim);
      for (let row = 0; row < rows; row++) {
        for (let k = row * length; k < (row + 1) * length && support[2 * k + 1] > 0; k++) {
          for (let d = 0; d < dim; d++) {
            y[row * dim + d] += support[2 * k + 1] ** 2 * source[support[2 * k] * dim + d];
          }
        }
      }
      return { y };
    },
  }),
  entry("entmax_support", supportScores, {
    small: each(LISTED),
    huge: [[BIG]],
    input: (value, name, i, [shape]) => {
      if (name === "temperature") return 0.5 + Math.abs(value);
      if (name !== "support") return value;
      const member = i >> 1, n = Math.floor(member / shape.slots), k = member % shape.slots;
      // every third slot, in order, then the end
      const s = 3 * k + 1, listed = s < shape.slots && k < listLength(n, shape.slots);
      if (i % 2 === 0) return listed ? slotRow(shape, Math.floor(n / shape.tokens), s) : 0;
      return listed ? 0.1 + Math.abs(value) : 0;
    },
    reference: (inputs, [shape]) => {
      const { support, c } = inputs, d = new Float64Array(c.length), { slots } = shape;
      for (let n = 0; n < shape.batch * shape.tokens; n++) {
        for (let k = 0; k < slots && support[2 * (n * slots + k) + 1] > 0; k++) {
          d[n * slots + 3 * k + 1] = support[2 * (n * slots + k) + 1];
        }
      }
      return scoreGradients(inputs, shape, d);
    },
  }),
  entry("entmax_support_workgroup", mergePerWorkgroup, {
    small: pairs(pairs(SPARSE, DIRECTIONS), BOTH).map(([[shape, to], noise]) => [shape, to, noise]),
    huge: pairs([{ ...BIG, batch: 2 ** 9 }], DIRECTIONS).map(([shape, to]) => [shape, to, true]),
    input: sparseInput,
    reference: (inputs, [shape, to]) => mergeOf(inputs, shape, to, roots(inputs, shape)),
  }),
  entry("entmax_support_workgroup", scoresPerWorkgroup, {
    small: pairs(SPARSE, BOTH),
    huge: [[{ ...BIG, batch: 2 ** 9 }, true]],
    input: sparseInput,
    reference: (inputs, [shape]) => scoreGradients(inputs, shape, roots(inputs, shape)),
  }),
];

/** Soft routing. */
export const ROUTING: readonly CatalogueEntry[] = [...weights, ...merges, ...scores, ...sparse];
