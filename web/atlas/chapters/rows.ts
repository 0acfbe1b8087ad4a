/**
 * Pages on kernels that work along rows: reductions, softmax, entmax, normalisation, cross-entropy.
 * @module
 */
import { argmax } from "../../../kernels/argmax.ts";
import { axisLanes, type AxisView } from "../../../kernels/axis_view.ts";
import { columnSum } from "../../../kernels/column_sum.ts";
import { crossEntropy, crossEntropyBackward } from "../../../kernels/cross_entropy.ts";
import { entmaxBackwardPerInvocation, entmaxPerInvocation } from "../../../kernels/entmax.ts";
import {
  entmaxBackwardPerWorkgroup,
  entmaxPerWorkgroup,
} from "../../../kernels/entmax_workgroup.ts";
import {
  layerNormBackwardStrips,
  layerNormPerInvocation,
  type LayerNormShape,
  layerNormStrips,
} from "../../../kernels/layer_norm.ts";
import {
  layerNormBackwardPerWorkgroup,
  layerNormPerWorkgroup,
} from "../../../kernels/layer_norm_workgroup.ts";
import { reduce } from "../../../kernels/reduce.ts";
import { softmaxBackwardPerInvocation, softmaxPerInvocation } from "../../../kernels/softmax.ts";
import {
  softmaxBackwardPerWorkgroup,
  softmaxPerWorkgroup,
} from "../../../kernels/softmax_workgroup.ts";
import { type Chapter, pass } from "../chapter.ts";

const ROWS: { picture: AxisView; timed: AxisView } = {
  picture: { outer: 6, n: 10, inner: 1 },
  timed: { outer: 4096, n: 294, inner: 1 },
};
const dims = ({ outer, n, inner }: AxisView) => inner === 1 ? [outer, n] : [outer, n, inner];

/** Sums and maxima. */
export const REDUCE: Chapter = {
  slug: "reduce",
  title: "Sums along an axis",
  summary:
    "Means, losses and bias gradients end in a sum. Each row to one invocation needs many rows; one row to a whole " +
    "workgroup needs a tree in workgroup memory, with a barrier at each level. The tree is fixed by the shape, so the " +
    "same numbers are added in the same order in every run: results are equal bit for bit, which atomics cannot give.",
  formulas: [{ caption: "A row's sum", tex: "y_r = \\sum_{i=1}^{n} x_{ri}" }],
  passes: [
    pass<AxisView>({
      title: "Along rows",
      sizes: ROWS,
      size: "4096 rows of 294",
      shapes: (view) => ({ x: dims(view), y: [view.outer] }),
      rungs: (["serial", "workgroup"] as const).map((variant) => ({
        title: variant === "serial" ? "One invocation, one row" : "One workgroup, one row",
        file: "reduce.ts",
        launch: (view) => reduce("sum", { view, variant, splits: 1, lanes: 1 }),
      })),
    }),
    pass<{ rows: number; cols: number; strip: number }>({
      title: "Along columns, in strips",
      sizes: {
        picture: { rows: 8, cols: 8, strip: 4 },
        timed: { rows: 1576, cols: 768, strip: 64 },
      },
      size: "1576 rows of 768",
      shapes: ({ rows, cols, strip }) => ({ x: [rows, cols], y: [Math.ceil(rows / strip), cols] }),
      rungs: [{
        title: "A strip of a column for each invocation",
        file: "column_sum.ts",
        launch: ({ rows, cols, strip }) => columnSum(rows, cols, { strip }),
      }],
    }),
    pass<AxisView>({
      title: "The largest of a row",
      sizes: ROWS,
      size: "4096 rows of 294",
      shapes: (view) => ({ x: dims(view), y: [view.outer] }),
      rungs: [{ title: "One invocation, one row", file: "argmax.ts", launch: argmax }],
    }),
  ],
  files: ["reduce.ts", "column_sum.ts", "argmax.ts", "axis_view.ts"],
  tests: ["tests/kernels/reduce_test.ts", "tests/kernels/column_sum_test.ts"],
};

/** Softmax. */
export const SOFTMAX: Chapter = {
  slug: "softmax",
  title: "Softmax",
  summary:
    "Dispatch weights of a mixture of experts, attention's weights, class probabilities. A row has to be seen twice: " +
    "once for its maximum and its sum, once to write. The first rung keeps running values of both, so that one walk " +
    "finds them; the second shares a row among the invocations of a workgroup.",
  formulas: [
    {
      caption: "Forward; the maximum m keeps the exponential finite",
      tex: "y_i = \\frac{e^{x_i - m}}{\\sum_j e^{x_j - m}}, \\qquad m = \\max_j x_j",
    },
    { caption: "Backward", tex: "dx_i = y_i \\Big(dy_i - \\sum_j y_j\\, dy_j\\Big)" },
  ],
  passes: [
    pass<AxisView>({
      title: "Forward",
      sizes: ROWS,
      size: "4096 rows of 294",
      shapes: (view) => ({ x: dims(view), y: dims(view) }),
      rungs: [
        {
          title: "One invocation, one row",
          file: "softmax.ts",
          launch: (view) => softmaxPerInvocation(view, {}, axisLanes(view)),
        },
        {
          title: "One workgroup, one row",
          file: "softmax_workgroup.ts",
          launch: (view) => softmaxPerWorkgroup(view, {}),
        },
      ],
    }),
    pass<AxisView>({
      title: "Backward",
      sizes: ROWS,
      size: "4096 rows of 294",
      shapes: (view) => ({ y: dims(view), dOut: dims(view), dx: dims(view) }),
      rungs: [
        {
          title: "One invocation, one row",
          file: "softmax.ts",
          launch: (view) => softmaxBackwardPerInvocation(view, {}, axisLanes(view)),
        },
        {
          title: "One workgroup, one row",
          file: "softmax_workgroup.ts",
          launch: (view) => softmaxBackwardPerWorkgroup(view, {}),
        },
      ],
    }),
  ],
  files: ["softmax.ts", "softmax_workgroup.ts"],
  tests: ["tests/kernels/softmax_test.ts", "tests/engine/softmax_test.ts"],
};

/** Entmax-1.5. */
export const ENTMAX: Chapter = {
  slug: "entmax",
  title: "Entmax-1.5",
  summary:
    "SpheroMoE combines with it: like softmax, but most weights are exactly zero. Every weight still reads its whole row, " +
    "since the threshold does. That has no closed form without sorting; instead of sorting, which GPUs do badly, " +
    "Newton's rounds climb to it from below, a few walks over the row.",
  formulas: [
    {
      caption: "Weights; the threshold makes them sum to 1",
      tex: "y_i = \\max\\!\\left(\\tfrac{x_i}{2} - \\tau,\\, 0\\right)^2, \\qquad \\sum_i y_i = 1",
    },
    {
      caption: "Backward, over the support only",
      tex:
        "dx_i = \\sqrt{y_i} \\left(dy_i - \\frac{\\sum_j \\sqrt{y_j}\\, dy_j}{\\sum_j \\sqrt{y_j}}\\right)",
    },
  ],
  passes: [
    pass<AxisView>({
      title: "Forward",
      sizes: ROWS,
      size: "4096 rows of 294",
      shapes: (view) => ({ x: dims(view), y: dims(view) }),
      input: (value) => 2 * value,
      rungs: [
        {
          title: "One invocation, one row",
          file: "entmax.ts",
          launch: (view) => entmaxPerInvocation(view, axisLanes(view)),
        },
        {
          title: "One workgroup, one row",
          file: "entmax_workgroup.ts",
          launch: entmaxPerWorkgroup,
        },
      ],
    }),
    pass<AxisView>({
      title: "Backward",
      sizes: ROWS,
      size: "4096 rows of 294",
      shapes: (view) => ({ y: dims(view), dOut: dims(view), dx: dims(view) }),
      // weights: some are 0, and never a whole row of them
      input: (value, name, i) => name === "y" ? i % 3 === 0 ? 0.1 + Math.abs(value) : 0 : value,
      rungs: [
        {
          title: "One invocation, one row",
          file: "entmax.ts",
          launch: (view) => entmaxBackwardPerInvocation(view, axisLanes(view)),
        },
        {
          title: "One workgroup, one row",
          file: "entmax_workgroup.ts",
          launch: entmaxBackwardPerWorkgroup,
        },
      ],
    }),
  ],
  files: ["entmax.ts", "entmax_workgroup.ts"],
  tests: ["tests/kernels/entmax_test.ts", "tests/engine/entmax_test.ts"],
};

const NORM = (rows: number, n: number): LayerNormShape => ({
  ...{ rows, n, eps: 1e-6 },
  ...{ weight: true, bias: true },
});
const NORMS = { picture: NORM(6, 8), timed: NORM(1576, 192) };

/** Layer norm. */
export const LAYER_NORM: Chapter = {
  slug: "layer-norm",
  title: "Layer norm",
  summary:
    "Twice in every block of a Vision Transformer, and on the expert queries of SpheroMoE. Mean and variance of a row " +
    "are saved forward, since two numbers a row are cheaper to keep than to find again. Backward writes three gradients " +
    "in one walk: that of the row, and sums over rows for weight and bias, strip by strip.",
  formulas: [
    {
      caption: "Forward",
      tex:
        "y_i = \\gamma_i \\hat x_i + \\beta_i, \\qquad \\hat x_i = \\frac{x_i - \\mu}{\\sqrt{\\sigma^2 + \\varepsilon}}",
    },
    {
      caption: "Backward, with g the gradient times the weight",
      tex:
        "dx_i = \\frac{1}{\\sqrt{\\sigma^2 + \\varepsilon}} \\left(g_i - \\overline{g} - \\hat x_i\\, \\overline{g \\hat x}\\right), " +
        "\\qquad g_i = \\gamma_i\\, dy_i",
    },
  ],
  passes: [
    pass<LayerNormShape>({
      title: "Forward",
      sizes: NORMS,
      size: "1576 rows of 192",
      shapes: ({ rows, n }) => ({
        x: [rows, n],
        weight: [n],
        bias: [n],
        y: [rows, n],
        stats: [rows, 2],
      }),
      rungs: [
        {
          title: "One invocation, one row",
          file: "layer_norm.ts",
          launch: layerNormPerInvocation,
        },
        {
          title: "One workgroup, one row",
          file: "layer_norm_workgroup.ts",
          launch: layerNormPerWorkgroup,
        },
      ],
    }),
    pass<LayerNormShape>({
      title: "Backward",
      sizes: NORMS,
      size: "1576 rows of 192",
      shapes: ({ rows, n }) => ({
        x: [rows, n],
        stats: [rows, 2],
        dOut: [rows, n],
        weight: [n],
        dx: [rows, n],
        dWeight: [layerNormStrips(rows), n],
        dBias: [layerNormStrips(rows), n],
      }),
      input: (value, name) => name === "stats" ? 0.8 + value / 4 : value,
      rungs: [
        {
          title: "A strip of rows for each invocation",
          file: "layer_norm.ts",
          launch: (shape) => layerNormBackwardStrips(shape, true),
        },
      ],
    }),
    pass<LayerNormShape>({
      title: "Backward, gradient of the input alone",
      sizes: NORMS,
      size: "1576 rows of 192",
      shapes: ({ rows, n }) => ({
        x: [rows, n],
        stats: [rows, 2],
        dOut: [rows, n],
        weight: [n],
        dx: [rows, n],
      }),
      input: (value, name) => name === "stats" ? 0.8 + value / 4 : value,
      rungs: [
        {
          title: "A strip of rows for each invocation",
          file: "layer_norm.ts",
          launch: (shape) => layerNormBackwardStrips(shape, false),
        },
        {
          title: "One workgroup, one row",
          file: "layer_norm_workgroup.ts",
          launch: (shape) => layerNormBackwardPerWorkgroup(shape, false),
        },
      ],
    }),
  ],
  files: ["layer_norm.ts", "layer_norm_workgroup.ts"],
  tests: ["tests/kernels/layer_norm_test.ts", "tests/engine/layer_norm_test.ts"],
};

interface Logits {
  readonly batch: number;
  readonly classes: number;
}

/** Cross-entropy. */
export const CROSS_ENTROPY: Chapter = {
  slug: "cross-entropy",
  title: "Cross-entropy",
  summary:
    "The loss of a classifier: log-softmax, picking the class, label smoothing and the mean in one kernel where rows are " +
    "few, in two where there are many. What the backward pass needs of a row is four numbers, so probabilities are made " +
    "again and never stored.",
  formulas: [
    {
      caption: "Loss of a row with target t and smoothing s",
      tex: "\\ell = \\log \\sum_j e^{x_j} - (1 - s)\\, x_t - \\frac{s}{C} \\sum_j x_j",
    },
    {
      caption: "Backward",
      tex: "dx_j = \\frac{1}{B} \\left(p_j - (1 - s) [j = t] - \\frac{s}{C}\\right)",
    },
  ],
  passes: [
    pass<Logits>({
      title: "Forward",
      sizes: { picture: { batch: 6, classes: 8 }, timed: { batch: 4096, classes: 100 } },
      size: "4096 rows of 100 classes",
      shapes: ({ batch, classes }) => ({
        x: [batch, classes],
        targets: [batch],
        stats: [batch, 4],
        losses: [batch],
      }),
      input: (value, name, _i, { classes }) => name === "targets" ? value % classes : value,
      rungs: (["rows", "workgroup"] as const).map((variant) => ({
        title: variant === "rows" ? "One invocation, one row" : "One workgroup, one row",
        file: "cross_entropy.ts",
        launch: (size) => crossEntropy({ ...size, soft: false, smoothing: 0.1 }, variant),
      })),
    }),
    pass<Logits>({
      title: "Backward",
      sizes: { picture: { batch: 6, classes: 8 }, timed: { batch: 4096, classes: 100 } },
      size: "4096 rows of 100 classes",
      shapes: ({ batch, classes }) => ({
        x: [batch, classes],
        targets: [batch],
        stats: [batch, 4],
        dOut: [1],
        dx: [batch, classes],
      }),
      input: (value, name, _i, { classes }) => name === "targets" ? value % classes : value,
      rungs: [{
        title: "One invocation, one element",
        file: "cross_entropy.ts",
        launch: (size) => crossEntropyBackward({ ...size, soft: false, smoothing: 0.1 }),
      }],
    }),
  ],
  files: ["cross_entropy.ts"],
  tests: ["tests/engine/cross_entropy_test.ts"],
};
