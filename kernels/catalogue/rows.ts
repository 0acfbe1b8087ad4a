/**
 * The catalogue's calls of kernels that work along rows: softmax, entmax, normalisation, reductions.
 * @module
 */
import { argmax, argmaxHits, argmaxReference } from "../argmax.ts";
import { axisLanes, type AxisView } from "../axis_view.ts";
import { columnSum } from "../column_sum.ts";
import {
  entmaxBackwardPerInvocation,
  entmaxBackwardReference,
  entmaxPerInvocation,
  entmaxReference,
} from "../entmax.ts";
import {
  entmaxBackward,
  entmaxBackwardPerWorkgroup,
  entmaxForward,
  entmaxPerWorkgroup,
} from "../entmax_workgroup.ts";
import type { Kernel } from "../kernel.ts";
import {
  l2NormalizeBackward,
  l2NormalizeBackwardReference,
  l2NormalizeForward,
  l2NormalizeReference,
  type L2NormalizeShape,
  type L2NormalizeVariant,
  l2NormalizeVariant,
} from "../l2_normalize.ts";
import {
  layerNormBackwardReference,
  layerNormBackwardStrips,
  layerNormPerInvocation,
  layerNormReference,
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
  softmaxBackwardReference,
  type SoftmaxOptions,
  softmaxPerInvocation,
  softmaxReference,
} from "../softmax.ts";
import {
  softmaxBackward,
  softmaxBackwardPerWorkgroup,
  softmaxForward,
  softmaxPerWorkgroup,
} from "../softmax_workgroup.ts";
import {
  array,
  BOTH,
  type CatalogueEntry,
  coarse,
  each,
  entry,
  HUGE,
  pairs,
  sum,
  TARGETS,
  type Values,
} from "./entry.ts";

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
const softmaxOf = ({ x }: Values, view: AxisView, options?: SoftmaxOptions) =>
  softmaxReference(view, x, options);
const softmaxGradient = ({ y, dOut }: Values, view: AxisView, options?: SoftmaxOptions) =>
  softmaxBackwardReference(view, y, dOut, options);

const softmax = [
  entry("softmax", softmaxPerInvocation, {
    small: withLog(VIEWS),
    huge: withLog([MANY_ROWS]),
    ...far,
    reference: (inputs, [view, options]) => softmaxOf(inputs, view, options),
  }),
  entry("softmax", softmaxBackwardPerInvocation, {
    small: withLog(VIEWS),
    huge: withLog([MANY_ROWS]),
    reference: (inputs, [view, options]) => softmaxGradient(inputs, view, options),
  }),
  entry("softmax_workgroup", softmaxPerWorkgroup, {
    small: pairs([...VIEWS.slice(2), ...LONG], LOGS),
    ...far,
    reference: (inputs, [view, options]) => softmaxOf(inputs, view, options),
  }),
  entry("softmax_workgroup", softmaxBackwardPerWorkgroup, {
    small: pairs([...VIEWS.slice(2), ...LONG], LOGS),
    reference: (inputs, [view, options]) => softmaxGradient(inputs, view, options),
  }),
  entry("softmax_workgroup", softmaxForward, {
    small: selected,
    huge: manySelected,
    ...far,
    reference: (inputs, [view]) => softmaxOf(inputs, view),
  }),
  entry("softmax_workgroup", softmaxBackward, {
    small: selected,
    huge: manySelected,
    reference: (inputs, [view]) => softmaxGradient(inputs, view),
  }),
];

/** The backward reads weights: a row without a positive one has no gradient. */
const weights = {
  input: (value: number, name: string) => name === "y" ? Math.abs(value) + 0.01 : value,
};
const entmaxForwards = {
  ...far,
  reference: ({ x }: Values, [view]: readonly [AxisView, ...unknown[]]) => entmaxReference(view, x),
};
const entmaxBackwards = {
  ...weights,
  reference: ({ y, dOut }: Values, [view]: readonly [AxisView, ...unknown[]]) =>
    entmaxBackwardReference(view, y, dOut),
};
const entmax = [
  entry("entmax", entmaxPerInvocation, {
    small: lanesOf(VIEWS),
    huge: lanesOf([MANY_ROWS]),
    ...entmaxForwards,
  }),
  entry("entmax", entmaxBackwardPerInvocation, {
    small: lanesOf(VIEWS),
    huge: lanesOf([MANY_ROWS]),
    ...entmaxBackwards,
  }),
  entry("entmax_workgroup", entmaxPerWorkgroup, {
    small: each([...VIEWS.slice(2), ...LONG]),
    ...entmaxForwards,
  }),
  entry("entmax_workgroup", entmaxBackwardPerWorkgroup, {
    small: each([...VIEWS.slice(2), ...LONG]),
    ...entmaxBackwards,
  }),
  entry("entmax_workgroup", entmaxForward, {
    small: selected,
    huge: manySelected,
    ...entmaxForwards,
  }),
  entry("entmax_workgroup", entmaxBackward, {
    small: selected,
    huge: manySelected,
    ...entmaxBackwards,
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
const normForwards = {
  input: normInput,
  reference: ({ x, weight, bias }: Values, [shape]: readonly [LayerNormShape, ...unknown[]]) => ({
    ...layerNormReference(shape, x, weight, bias),
  }),
};
const normBackwards = {
  reference: (
    { x, stats, dOut, weight }: Values,
    [{ rows, n }]: readonly [LayerNormShape, ...unknown[]],
    kernel: Kernel,
  ) => {
    const strip = kernel.params.strip ?? 64, strips = Math.ceil(rows / strip);
    const dx = new Float64Array(rows * n);
    const dWeight = new Float64Array(strips * n), dBias = new Float64Array(strips * n);
    for (let s = 0; s < strips; s++) {
      const from = s * strip, to = Math.min(rows, from + strip);
      const cut = (values: ArrayLike<number>, width: number) =>
        Array.from(values).slice(from * width, to * width);
      const part = layerNormBackwardReference(
        { rows: to - from, n },
        cut(x, n),
        cut(stats, 2),
        cut(dOut, n),
        weight,
      );
      dx.set(part.dx, from * n);
      dWeight.set(part.dWeight, s * n);
      dBias.set(part.dBias, s * n);
    }
    return { dx, dWeight, dBias };
  },
};
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
    ...normForwards,
  }),
  entry("layer_norm", layerNormBackwardStrips, {
    small: pairs(NORMS, BOTH),
    huge: pairs(MANY_NORMS, BOTH),
    ...normBackwards,
  }),
  entry("layer_norm_workgroup", layerNormPerWorkgroup, { small: each(NORMS), ...normForwards }),
  entry("layer_norm_workgroup", layerNormBackwardPerWorkgroup, {
    small: pairs([...NORMS, ...norms(519, 40).slice(0, 1)], BOTH),
    ...normBackwards,
  }),
  entry("layer_norm_workgroup", layerNormForward, {
    small: pairs(NORMS, TARGETS),
    huge: pairs(MANY_LONG_NORMS, TARGETS),
    ...normForwards,
  }),
  entry("layer_norm_workgroup", layerNormBackward, {
    small: withPartials(NORMS),
    huge: withPartials(MANY_LONG_NORMS),
    ...normBackwards,
  }),
  entry("l2_normalize", l2NormalizeForward, {
    small: L2,
    huge: MANY_L2,
    reference: ({ x }, [shape]) => l2NormalizeReference(shape, x),
  }),
  entry("l2_normalize", l2NormalizeBackward, {
    small: L2,
    huge: MANY_L2,
    // the first row is all zeros
    input: (value, name, i, [{ n }]) => name === "x" && i < n ? 0 : value,
    reference: ({ x, dOut }, [shape]) => l2NormalizeBackwardReference(shape, x, dOut),
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
    reference: (inputs, [f, { view, splits }, { scale = 1, accumulate = 0 } = {}], { params }) => {
      const { outer, n, inner } = view, unit = axisLanes(view) === "along" ? 4 : 1;
      const y = new Float64Array(outer * splits * inner).fill(f === "sum" ? 0 : -Infinity);
      for (let i = 0; i < inputs.x.length; i++) {
        const o = Math.floor(i / (n * inner)), column = i % inner;
        const k = Math.floor((Math.floor(i / inner) % n) / unit); // of what one load takes
        const chunk = Math.floor(k / params.chunk);
        const split = chunk * params.lanes + (k - chunk * params.chunk) % params.lanes;
        const at = (o * splits + split) * inner + column;
        y[at] = f === "sum" ? y[at] + inputs.x[i] : Math.max(y[at], inputs.x[i]);
      }
      return { y: y.map((value, i) => scale * value + (accumulate ? inputs.y[i] : 0)) };
    },
  }),
  entry("column_sum", columnSum, {
    small: [[5, 97], [9, 388], [9, 260, { strip: 4 }], [9, 41, { strip: 2, accumulate: 1 }]],
    huge: [[2 ** 12, 2 ** 13, { strip: 1 }]],
    reference: ({ x, y }, [rows, cols, { strip = rows, accumulate = 0 } = {}]) => ({
      y: array(Math.ceil(rows / strip) * cols, (i) => {
        const first = Math.floor(i / cols) * strip, count = Math.min(strip, rows - first);
        const total = sum(count, (row) => x[(first + row) * cols + i % cols]);
        return total + (accumulate ? y[i] : 0);
      }),
    }),
  }),
  entry("argmax", argmax, {
    small: each([...VIEWS, { outer: 201, n: 5, inner: 1 }]),
    huge: each([{ outer: 2 ** 23, n: 4, inner: 1 }]),
    input: coarse,
    reference: ({ x }, [view]) => argmaxReference(view, x),
  }),
  entry("argmax", argmaxHits, {
    small: [[201, 3]],
    huge: [[2 ** 23, 4]],
    input: (value, name, _i, [, n]) => name === "labels" ? value % n : coarse(value),
    reference: ({ x, labels }, [outer, n]) => {
      const { y } = argmaxReference({ outer, n, inner: 1 }, x);
      return { y: array(outer, (i) => y[i] === labels[i] ? 1 : 0) };
    },
  }),
];

/** Kernels along rows. */
export const ROWS: readonly CatalogueEntry[] = [
  ...reductionFamily,
  ...softmax,
  ...entmax,
  ...normalizations,
];
