/**
 * The catalogue's calls of soft routing: scores, weights and merges.
 * @module
 */
import { axisLanes, type AxisView } from "../axis_view.ts";
import {
  cosineScoresForward,
  cosineScoresReadable,
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
  type MergeShape,
  slotRow,
  toSlotsReadable,
  toTokensReadable,
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
import { BOTH, type CatalogueEntry, each, entry, pairs, TARGETS } from "./entry.ts";

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

const weightsForward = {
  input: (value: number, name: string, i: number, [{ n, inner }]: RoutingArgs) => {
    if (name === "temperature") return 0.5 + Math.abs(value);
    // rows far apart, so that a neighbour's number would be noticed
    const row = Math.floor(i / (n * inner)) * inner + i % inner;
    return name === "c" ? value + 40 * (row % 3) : value;
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
/** The last of three strips is shorter than the others. */
const cut = (shape: MergeShape) => ({ totalTokens: shape.batch * shape.tokens - 5, scaled: true });

const merges = [
  entry("soft_merge", toSlotsReadable, {
    small: [...pairs(MERGES, STRIPS), [ODD, cut(ODD)]],
    huge: [[BIG, {}]],
  }),
  entry("soft_merge", toTokensReadable, {
    small: each(MERGES),
    huge: [[BIG]],
  }),
  entry("soft_merge", dotsReadable, {
    small: each(MERGES),
    huge: [[BIG]],
  }),
  entry("soft_merge_tiled", toSlotsTiled, {
    small: pairs(tiled(mergeTile), [...STRIPS, cut(EVEN)])
      .map(([[shape, tile], options]) => [shape, tile, options]),
  }),
  entry("soft_merge_tiled", toTokensTiled, {
    small: tiled(mergeTile),
  }),
  entry("soft_merge_tiled", dotsTiled, {
    small: [
      ...tiled(dotsTile),
      ...tiled(dotsTile).map(([shape, tile]) => [shape, tile, 0.1] as const),
    ],
  }),
  entry("soft_merge_tiled", toSlots, {
    small: pairs(MERGES, TARGETS),
    huge: pairs([BIG], TARGETS),
  }),
  entry("soft_merge_tiled", toTokens, {
    small: pairs(MERGES, TARGETS),
    huge: pairs([BIG], TARGETS),
  }),
  entry("soft_merge_tiled", dots, {
    small: pairs(MERGES, TARGETS),
    huge: pairs([BIG], TARGETS),
  }),
];

// ---- scores

const SCORES: CosineShape[] = [
  { tokens: 39, slots: 15, dim: 7 },
  { tokens: 101, slots: 22, dim: 12 },
];
const MANY_SCORES: CosineShape = { tokens: 2 ** 16, slots: 294, dim: 192 };
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
  }),
  entry("cosine_routing", cosineScoresForward, {
    small: pairs(SCORES, TARGETS).map(([shape, target]) => [shape, 0.1, target]),
    huge: TARGETS.map((target) => [MANY_SCORES, 1e-6, target]),
    ...zeroToken,
  }),
  entry("cosine_routing", plainScoresForward, {
    small: pairs(SCORES, TARGETS),
    huge: pairs([MANY_SCORES], TARGETS),
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

/** Rows of the other side in input lists, and how far they go. */
const listLength = (row: number, length: number) => Math.min(length, 1 + (row * 5) % 7);

const sparse = [
  entry("entmax_support", supportByToken, {
    small: pairs(pairs(LISTED, BOTH), BOTH).map((
      [[shape, noise], threshold],
    ) => [shape, noise, threshold]),
    huge: [[BIG, true, true]],
    input: sparseInput,
  }),
  entry("entmax_support", supportBySlot, {
    small: pairs(LISTED, BOTH),
    huge: [[BIG, true]],
    input: sparseInput,
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
  }),
  entry("entmax_support_workgroup", mergePerWorkgroup, {
    small: pairs(pairs(SPARSE, DIRECTIONS), BOTH).map(([[shape, to], noise]) => [shape, to, noise]),
    huge: pairs([{ ...BIG, batch: 2 ** 9 }], DIRECTIONS).map(([shape, to]) => [shape, to, true]),
    input: sparseInput,
  }),
  entry("entmax_support_workgroup", scoresPerWorkgroup, {
    small: pairs(SPARSE, BOTH),
    huge: [[{ ...BIG, batch: 2 ** 9 }, true]],
    input: sparseInput,
  }),
];

/** Soft routing. */
export const ROUTING: readonly CatalogueEntry[] = [...weights, ...merges, ...scores, ...sparse];
