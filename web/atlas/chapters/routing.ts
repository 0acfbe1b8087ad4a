/**
 * Pages on routing: cosine scores, weights, soft merging, and the merge over a sparse support.
 * @module
 */
import { axisLanes, type AxisView } from "../../../kernels/axis_view.ts";
import { asMerge, cosineScoresReadable } from "../../../kernels/cosine_routing.ts";
import { supportByToken, supportMerge } from "../../../kernels/entmax_support.ts";
import {
  l2NormalizeBackward,
  l2NormalizeForward,
  type L2NormalizeShape,
} from "../../../kernels/l2_normalize.ts";
import {
  routingBackwardPerInvocation,
  type RoutingKind,
  routingPerInvocation,
} from "../../../kernels/routing_weights.ts";
import {
  routingBackwardPerWorkgroup,
  routingPerWorkgroup,
} from "../../../kernels/routing_weights_workgroup.ts";
import {
  dotsReadable,
  type MergeShape,
  toSlotsReadable,
  toTokensReadable,
} from "../../../kernels/soft_merge.ts";
import {
  dotsTiled,
  type MergeTile,
  toSlotsTiled,
  toTokensTiled,
} from "../../../kernels/soft_merge_tiled.ts";
import { type Chapter, pass, type PassSource } from "../chapter.ts";

const merge = (batch: number, tokens: number, slots: number, dim: number): MergeShape => ({
  ...{ batch, tokens, slots, perExpert: 1 },
  dim,
});
const MERGES = { picture: merge(1, 7, 5, 8), timed: merge(2, 197, 294, 192) };
const MERGE_SIZE = "2 images, 197 tokens, 294 slots, 192 channels";

/** Tiles for a processor and for a GPU; the picture is smaller than the first. */
const TILES: readonly { title: string; tile: MergeTile }[] = [
  { title: "A tile of 4 x 1 vectors for each invocation", tile: { rows: 4, columns: 1, size: 64 } },
  { title: "A tile of 8 x 2 vectors for each invocation", tile: { rows: 8, columns: 2, size: 8 } },
];
const DOT_TILES: readonly { title: string; tile: MergeTile }[] = [
  {
    title: "A tile of 4 x 4 products for each invocation",
    tile: { rows: 4, columns: 4, size: 64 },
  },
  { title: "A tile of 8 x 8 products for each invocation", tile: { rows: 8, columns: 8, size: 8 } },
];

/** The tokens and the slots side by side with what is made of them. */
const mergeShapes = ({ batch, tokens, slots, dim }: MergeShape) => {
  const x = [batch, tokens, dim], v = [slots, batch, dim], weights = [batch, tokens, slots];
  return { x, o: x, v, u: v, weights, g: weights, scale: [batch, tokens] };
};

function mergePass(
  title: string,
  readable: (shape: MergeShape) => ReturnType<typeof dotsReadable>,
  tiled: (shape: MergeShape, tile: MergeTile) => ReturnType<typeof dotsReadable>,
  tiles = TILES,
) {
  return pass<MergeShape>({
    title,
    sizes: MERGES,
    size: MERGE_SIZE,
    shapes: mergeShapes,
    rungs: [
      { title: "One invocation, one element", file: "soft_merge.ts", launch: readable },
      ...tiles.map(({ title, tile }) => ({
        title,
        file: "soft_merge_tiled.ts",
        launch: (shape: MergeShape) => tiled(shape, tile),
      })),
    ],
  });
}

/** Soft merging. */
export const SOFT_MERGE: Chapter = {
  slug: "soft-merge",
  title: "Soft merging",
  summary:
    "No token is sent anywhere: an expert's slot is a weighted mean of all tokens of an image (to slots), and a token's " +
    "result is a weighted mean of all slots (to tokens). Both are differentiable, nothing is dropped, no expert is " +
    "overloaded. Slots of one expert lie side by side over the whole batch, [expert, image and slot, channel], so that " +
    "each expert's rows are one block for its product; this family reads and writes that order, so no transposition is " +
    "needed. The gradients are the same products again.",
  formulas: [
    {
      caption: "To slots, by dispatch weights D that sum to 1 over the tokens",
      tex: "u_s = \\sum_n D_{ns}\\, x_n",
    },
    {
      caption: "To tokens, by combine weights C that sum to 1 over the slots",
      tex: "o_n = \\sum_s C_{ns}\\, v_s",
    },
    {
      caption: "Gradients of weights and rows",
      tex: "dD_{ns} = \\langle du_s, x_n \\rangle, \\qquad dx_n = \\sum_s D_{ns}\\, du_s",
    },
  ],
  passes: [
    mergePass("To slots", toSlotsReadable, toSlotsTiled),
    mergePass("To tokens", toTokensReadable, toTokensTiled),
    mergePass("Products of tokens and slots", dotsReadable, dotsTiled, DOT_TILES),
  ],
  files: ["soft_merge.ts", "soft_merge_tiled.ts"],
  tests: ["tests/kernels/soft_merge_test.ts", "tests/engine/soft_merge_test.ts"],
};

const NORMS: { picture: L2NormalizeShape; timed: L2NormalizeShape } = {
  picture: { rows: 6, n: 8, eps: 1e-6 },
  timed: { rows: 1576, n: 192, eps: 1e-6 },
};
const COSINES = {
  picture: { tokens: 7, slots: 5, dim: 8 },
  timed: { tokens: 394, slots: 294, dim: 192 },
};

/** Cosine routing. */
export const COSINE_ROUTING: Chapter = {
  slug: "cosine-routing",
  title: "Cosine routing",
  summary:
    "SpheroMoE routes on the hypersphere: tokens and expert queries are divided by their lengths, so that a score is the " +
    "cosine of an angle, and a pre-trained model's long tokens cannot claim every expert. The fast rung never writes the " +
    "normalised tokens: the product's kernel finds a token's length while it walks along it, and scales the sums.",
  formulas: [
    {
      caption: "Score of token n and slot s; q is layer-normed before it is divided",
      tex:
        "c_{ns} = \\frac{\\langle x_n, q_s \\rangle}{(\\lVert x_n \\rVert + \\varepsilon)(\\lVert q_s \\rVert + \\varepsilon)}",
    },
    {
      caption: "Gradient of a row divided by its length",
      tex:
        "dx = \\frac{1}{\\lVert x \\rVert + \\varepsilon} \\left(g - \\frac{\\langle g, y \\rangle}{\\lVert x \\rVert}\\, x\\right)",
    },
  ],
  passes: [
    pass<L2NormalizeShape>({
      title: "Rows of length 1",
      sizes: NORMS,
      size: "1576 rows of 192",
      shapes: ({ rows, n }) => ({ x: [rows, n], y: [rows, n] }),
      rungs: (["readable", "vec4", "workgroup"] as const).map((variant) => ({
        title: {
          readable: "One invocation, one row",
          vec4: "One invocation, one row, four numbers at a time",
          workgroup: "One workgroup, one row",
        }[variant],
        file: "l2_normalize.ts",
        launch: (shape) => l2NormalizeForward(shape, variant),
      })),
    }),
    pass<L2NormalizeShape>({
      title: "Rows of length 1, backward",
      sizes: NORMS,
      size: "1576 rows of 192",
      shapes: ({ rows, n }) => ({ x: [rows, n], dOut: [rows, n], dx: [rows, n] }),
      rungs: (["readable", "vec4", "workgroup"] as const).map((variant) => ({
        title: {
          readable: "One invocation, one row",
          vec4: "One invocation, one row, four numbers at a time",
          workgroup: "One workgroup, one row",
        }[variant],
        file: "l2_normalize.ts",
        launch: (shape) => l2NormalizeBackward(shape, variant),
      })),
    }),
    pass<typeof COSINES.picture>({
      title: "Scores of tokens against unit queries",
      sizes: COSINES,
      size: "394 tokens, 294 slots, 192 channels",
      shapes: ({ tokens, slots, dim }) => ({
        x: [tokens, dim],
        v: [slots, dim],
        g: [tokens, slots],
        scale: [tokens],
      }),
      rungs: [
        {
          title: "One invocation, one score",
          file: "cosine_routing.ts",
          launch: (shape) => cosineScoresReadable(shape, 1e-6),
        },
        ...DOT_TILES.map(({ title, tile }) => ({
          title: title.replace("products", "scores"),
          file: "soft_merge_tiled.ts",
          launch: (shape: typeof COSINES.picture) => dotsTiled(asMerge(shape), tile, 1e-6),
        })),
      ],
    }),
  ],
  files: ["l2_normalize.ts", "cosine_routing.ts"],
  tests: ["tests/kernels/cosine_routing_test.ts", "tests/engine/cosine_routing_test.ts"],
};

const VIEWS: { picture: AxisView; timed: AxisView } = {
  picture: { outer: 1, n: 6, inner: 8 },
  timed: { outer: 2, n: 197, inner: 294 },
};
const ROWS: typeof VIEWS = {
  picture: { outer: 6, n: 8, inner: 1 },
  timed: { outer: 394, n: 294, inner: 1 },
};

/** What the kernels of weights bind. */
const weightShapes = ({ outer, n, inner }: AxisView) => {
  const wide = inner === 1 ? [outer, n] : [outer, n, inner],
    rows = inner === 1 ? [outer] : [outer, inner];
  const stats = [2, outer * inner];
  return { c: wide, temperature: [1], weights: wide, g: wide, dc: wide, stats, partials: rows };
};

const weightInput: PassSource<AxisView>["input"] = (value, name) =>
  name === "temperature" ? 0.7 : 2 * value;

/** Statistics as the forward pass makes them: of each row the maximum of the logits, then the key of its kind. */
const backwardInput =
  (kind: RoutingKind): PassSource<AxisView>["input"] => (value, name, i, { outer, inner }) => {
    if (name === "temperature") return 0.7;
    if (name !== "stats") return value;
    if (i < outer * inner) return 2 + value / 8;
    return kind === "softmax" ? 0.5 + value / 8 : -1.5 + value / 8;
  };

function weightPasses(kind: RoutingKind, title: string, sizes: typeof VIEWS, size: string) {
  const common = { sizes, size, shapes: weightShapes };
  return [
    pass<AxisView>({
      ...common,
      title,
      input: weightInput,
      rungs: [
        {
          title: "One invocation, one row",
          file: "routing_weights.ts",
          launch: (view) => routingPerInvocation(view, { kind, noise: false }, axisLanes(view)),
        },
        {
          title: "One workgroup, one row",
          file: "routing_weights_workgroup.ts",
          launch: (view) => routingPerWorkgroup(view, { kind, noise: false }),
        },
      ],
    }),
    pass<AxisView>({
      ...common,
      title: `${title}, backward`,
      input: backwardInput(kind),
      rungs: [
        {
          title: "One invocation, one row",
          file: "routing_weights.ts",
          launch: (view) =>
            routingBackwardPerInvocation(view, { kind, noise: false }, axisLanes(view)),
        },
        {
          title: "One workgroup, one row",
          file: "routing_weights_workgroup.ts",
          launch: (view) => routingBackwardPerWorkgroup(view, { kind, noise: false }),
        },
      ],
    }),
  ];
}

/** From scores to weights. */
export const ROUTING_WEIGHTS: Chapter = {
  slug: "routing-weights",
  title: "Dispatch and combine weights",
  summary:
    "From scores to weights in one kernel: division by the learnable temperature, noise while training, then softmax " +
    "over the tokens (dispatch: every slot shares its attention out) or entmax-1.5 over the slots (combine: every token " +
    "listens to few experts). Softmax over tokens walks across memory, [tokens, slots]: neighbouring invocations own " +
    "neighbouring slots, so their loads lie side by side. Backward also finds each row's share of the temperature's gradient.",
  formulas: [
    {
      caption: "Dispatch",
      tex: "D_{ns} = \\operatorname{softmax}_n \\left(c_{ns} / T_d\\right)",
    },
    {
      caption: "Combine",
      tex: "C_{ns} = \\operatorname{entmax}_{1.5,\\, s} \\left(c_{ns} / T_c\\right)",
    },
    {
      caption: "Gradient of the temperature",
      tex: "dT = -\\frac{1}{T} \\sum_{n, s} dc_{ns}\\, c_{ns}",
    },
  ],
  passes: [
    ...weightPasses("softmax", "Dispatch: softmax over tokens", VIEWS, "2 x 197 tokens, 294 slots"),
    ...weightPasses("entmax15", "Combine: entmax over slots", ROWS, "394 tokens, 294 slots"),
  ],
  files: ["routing_weights.ts", "routing_weights_workgroup.ts"],
  tests: ["tests/kernels/routing_weights_test.ts", "tests/engine/soft_merge_test.ts"],
};

/** The lists as [row, member, (other row, root)], with what they are made of and merge. */
const sparseShapes = (shape: MergeShape) => {
  const { batch, tokens, slots, dim } = shape;
  return {
    c: [batch, tokens, slots],
    temperature: [1],
    stats: [2, batch * tokens],
    support: [batch * tokens, 2 * slots],
    source: [slots, batch, dim],
    y: [batch, tokens, dim],
  };
};

/** The merge over a support. */
export const ENTMAX_SUPPORT: Chapter = {
  slug: "entmax-support",
  title: "Merging over the support",
  summary:
    "Entmax leaves 9 to 18 of a token's 294 weights above zero in the full-size model, so nearly all of the dense merge " +
    "is multiplication by zero. Here the members of each token's support are listed first, then summed. How long a list " +
    "is depends on the data; the code does not: the end of a list is a zero in it.",
  formulas: [{
    caption: "To tokens, over the support S of each",
    tex: "o_n = \\sum_{s \\in S(n)} C_{ns}\\, v_s, \\qquad S(n) = \\{ s : C_{ns} > 0 \\}",
  }],
  passes: [
    pass<MergeShape>({
      title: "List the support and find the threshold",
      sizes: MERGES,
      size: MERGE_SIZE,
      shapes: sparseShapes,
      input: (value, name) => name === "temperature" ? 0.3 : value,
      rungs: [{
        title: "One invocation, one token",
        file: "entmax_support.ts",
        launch: (shape) => supportByToken(shape, false, true),
      }],
    }),
    pass<MergeShape>({
      title: "To tokens, from the lists",
      sizes: MERGES,
      size: MERGE_SIZE,
      shapes: sparseShapes,
      input: (value, name, i, { slots }) => {
        if (name !== "support") return value;
        const member = i >> 1, row = Math.floor(member / slots), k = member % slots;
        if (i % 2 === 0) return (3 * row + 7 * k) % slots;
        return k < 2 ? 0.4 + Math.abs(value) / 4 : 0;
      },
      rungs: [{
        title: "One invocation, one row and some columns",
        file: "entmax_support.ts",
        launch: (shape) => supportMerge(shape, "tokens"),
      }],
    }),
  ],
  files: ["entmax_support.ts", "entmax_support_workgroup.ts"],
  tests: ["tests/kernels/entmax_support_test.ts"],
};
