/**
 * The catalogue's calls of kernels that work along rows: softmax, entmax, normalisation, reductions.
 * @module
 */
import { argmax, argmaxHits } from "../argmax.ts";
import { axisLanes, type AxisView } from "../axis_view.ts";
import { columnSum } from "../column_sum.ts";
import { entmaxBackwardPerInvocation, entmaxPerInvocation } from "../entmax.ts";
import {
  entmaxBackward,
  entmaxBackwardPerWorkgroup,
  entmaxForward,
  entmaxPerWorkgroup,
} from "../entmax_workgroup.ts";
import {
  l2NormalizeBackward,
  l2NormalizeForward,
  type L2NormalizeShape,
  type L2NormalizeVariant,
  l2NormalizeVariant,
} from "../l2_normalize.ts";
import {
  layerNormBackwardStrips,
  layerNormPerInvocation,
  type LayerNormShape,
} from "../layer_norm.ts";
import {
  layerNormBackward,
  layerNormBackwardPerWorkgroup,
  layerNormForward,
  layerNormPerWorkgroup,
} from "../layer_norm_workgroup.ts";
import { planReduce, reduce, type ReduceFinish, type ReduceFunction } from "../reduce.ts";
import {
  softmaxBackwardPerInvocation,
  type SoftmaxOptions,
  softmaxPerInvocation,
} from "../softmax.ts";
import {
  softmaxBackward,
  softmaxBackwardPerWorkgroup,
  softmaxForward,
  softmaxPerWorkgroup,
} from "../softmax_workgroup.ts";
import { BOTH, type CatalogueEntry, coarse, each, entry, HUGE, pairs, TARGETS } from "./entry.ts";

// Rows by invocation: scalar, along, across; by workgroup: kept in registers once and eight times, and read again. At
// least four workgroups of each.
const VIEWS: AxisView[] = [
  { outer: 101, n: 5, inner: 1 },
  { outer: 99, n: 8, inner: 1 },
  { outer: 10, n: 7, inner: 40 },
  { outer: 21, n: 3, inner: 5 },
];
const LONG: AxisView[] = [
  { outer: 5, n: 37, inner: 1 },
  { outer: 2, n: 500, inner: 3 },
  { outer: 4, n: 513, inner: 1 },
  { outer: 2, n: 2049, inner: 2 },
];
const MANY_ROWS: AxisView = { outer: 2 ** 22, n: 8, inner: 1 };
const MANY_LONG_ROWS: AxisView = { outer: 2 ** 18, n: 128, inner: 1 };

/** Numbers whose rows are far apart, so that one of a neighbour's would be noticed. */
function spread(value: number, i: number, { n, inner }: AxisView): number {
  const row = Math.floor(i / (n * inner)) * inner + i % inner;
  return value + 50 * (row % 3);
}

const LOGS: SoftmaxOptions[] = BOTH.map((log) => ({ log }));
const lanesOf = (views: AxisView[]) =>
  views.map((view): [AxisView, ReturnType<typeof axisLanes>] => [view, axisLanes(view)]);
const withLog = (views: AxisView[]) =>
  pairs(lanesOf(views), LOGS).map(([[view, lanes], log]) => [view, log, lanes] as const);
const selected = pairs(LONG, TARGETS), manySelected = pairs([MANY_LONG_ROWS], TARGETS);

const far = {
  input: (value: number, name: string, i: number, [view]: readonly [AxisView, ...unknown[]]) =>
    name === "x" ? spread(value, i, view) : value,
};

const softmax = [
  entry("softmax", softmaxPerInvocation, {
    small: withLog(VIEWS),
    huge: withLog([MANY_ROWS]),
    ...far,
  }),
  entry("softmax", softmaxBackwardPerInvocation, {
    small: withLog(VIEWS),
    huge: withLog([MANY_ROWS]),
  }),
  entry("softmax_workgroup", softmaxPerWorkgroup, {
    small: pairs([...VIEWS.slice(2), ...LONG], LOGS),
    ...far,
  }),
  entry("softmax_workgroup", softmaxBackwardPerWorkgroup, {
    small: pairs([...VIEWS.slice(2), ...LONG], LOGS),
  }),
  entry("softmax_workgroup", softmaxForward, {
    small: selected,
    huge: manySelected,
    ...far,
  }),
  entry("softmax_workgroup", softmaxBackward, {
    small: selected,
    huge: manySelected,
  }),
];

/** The backward reads weights: a row without a positive one has no gradient. */
const weights = {
  input: (value: number, name: string) => name === "y" ? Math.abs(value) + 0.01 : value,
};
const entmax = [
  entry("entmax", entmaxPerInvocation, {
    small: lanesOf(VIEWS),
    huge: lanesOf([MANY_ROWS]),
    ...far,
  }),
  entry("entmax", entmaxBackwardPerInvocation, {
    small: lanesOf(VIEWS),
    huge: lanesOf([MANY_ROWS]),
    ...weights,
  }),
  entry("entmax_workgroup", entmaxPerWorkgroup, {
    small: each([...VIEWS.slice(2), ...LONG]),
    ...far,
  }),
  entry("entmax_workgroup", entmaxBackwardPerWorkgroup, {
    small: each([...VIEWS.slice(2), ...LONG]),
    ...weights,
  }),
  entry("entmax_workgroup", entmaxForward, {
    small: selected,
    huge: manySelected,
    ...far,
  }),
  entry("entmax_workgroup", entmaxBackward, {
    small: selected,
    huge: manySelected,
    ...weights,
  }),
];

// eps is large enough to be seen
const norms = (rows: number, n: number): LayerNormShape[] =>
  pairs(BOTH, BOTH).map(([weight, bias]) => ({ rows, n, eps: 0.1, weight, bias }));
/** By invocation, scalar and vec4; by workgroup of 64, of 256. */
const NORMS = [norms(101, 5), norms(197, 8), norms(5, 130), norms(6, 600)].flat();
const MANY_NORMS = norms(2 ** 23, 4), MANY_LONG_NORMS = norms(2 ** 18, 64);
const normInput = (
  value: number,
  name: string,
  i: number,
  [{ n }]: readonly [LayerNormShape, ...unknown[]],
) => name === "x" ? spread(value, i, { outer: 1, n, inner: 1 }) / 8 : value;
const withPartials = (shapes: LayerNormShape[]) =>
  pairs(shapes, TARGETS).map(([shape, target]) => [shape, target, true] as const);

const l2 = (rows: number, n: number): [L2NormalizeShape, L2NormalizeVariant][] => {
  const shape = { rows, n, eps: 0.1 };
  const variants = TARGETS.map((target) => l2NormalizeVariant(shape, target));
  return [...new Set([...variants, "readable" as const])].map((variant) => [shape, variant]);
};
const L2 = [...l2(101, 5), ...l2(99, 8), ...l2(5, 67)];
const MANY_L2 = [...l2(2 ** 23, 4), ...l2(2 ** 18, 64)];

const normalizations = [
  entry("layer_norm", layerNormPerInvocation, {
    small: each(NORMS),
    huge: each(MANY_NORMS),
    input: normInput,
  }),
  entry("layer_norm", layerNormBackwardStrips, {
    small: pairs(NORMS, BOTH),
    huge: pairs(MANY_NORMS, BOTH),
  }),
  entry("layer_norm_workgroup", layerNormPerWorkgroup, { small: each(NORMS), input: normInput }),
  entry("layer_norm_workgroup", layerNormBackwardPerWorkgroup, {
    small: pairs([...NORMS, ...norms(519, 40).slice(0, 1)], BOTH),
  }),
  entry("layer_norm_workgroup", layerNormForward, {
    small: pairs(NORMS, TARGETS),
    huge: pairs(MANY_LONG_NORMS, TARGETS),
    input: normInput,
  }),
  entry("layer_norm_workgroup", layerNormBackward, {
    small: withPartials(NORMS),
    huge: withPartials(MANY_LONG_NORMS),
  }),
  entry("l2_normalize", l2NormalizeForward, {
    small: L2,
    huge: MANY_L2,
  }),
  entry("l2_normalize", l2NormalizeBackward, {
    small: L2,
    huge: MANY_L2,
    // the first row is all zeros
    input: (value, name, i, [{ n }]) => name === "x" && i < n ? 0 : value,
  }),
];

const FINISHES: ReduceFinish[] = [{}, { scale: 0.5, accumulate: 0 }, { accumulate: 1 }];
const reductions = (views: AxisView[]): Parameters<typeof reduce>[] => {
  const passes = pairs(views, TARGETS).flatMap(([view, target]) => planReduce(view, target));
  return pairs(pairs(["sum", "max"] as ReduceFunction[], passes), FINISHES)
    .map(([[f, pass], finish]) => [f, pass, finish]);
};
const TALL: AxisView[] = [
  { outer: 1, n: 4100, inner: 1 },
  { outer: 2, n: 9001, inner: 4 },
  { outer: 2, n: 4099, inner: 3 },
  { outer: 4, n: 4096, inner: 1 },
];

const reductionFamily = [
  entry("reduce", reduce, {
    small: reductions([...VIEWS, ...LONG, ...TALL, { outer: 201, n: 7, inner: 1 }, {
      outer: 195,
      n: 8,
      inner: 1,
    }]),
    huge: reductions([MANY_ROWS, MANY_LONG_ROWS, { outer: 1, n: HUGE, inner: 1 }]),
  }),
  entry("column_sum", columnSum, {
    small: [[5, 97], [9, 388], [9, 260, { strip: 4 }], [9, 41, { strip: 2, accumulate: 1 }]],
    huge: [[2 ** 12, 2 ** 13, { strip: 1 }]],
  }),
  entry("argmax", argmax, {
    small: each([...VIEWS, { outer: 201, n: 5, inner: 1 }]),
    huge: each([{ outer: 2 ** 23, n: 4, inner: 1 }]),
    input: coarse,
  }),
  entry("argmax", argmaxHits, {
    small: [[201, 3]],
    huge: [[2 ** 23, 4]],
    input: (value, name, _i, [, n]) => name === "labels" ? value % n : coarse(value),
  }),
];

/** Kernels along rows. */
export const ROWS: readonly CatalogueEntry[] = [
  ...reductionFamily,
  ...softmax,
  ...entmax,
  ...normalizations,
];
