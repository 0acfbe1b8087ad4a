/**
 * Pages on element-by-element maps, moving data, random numbers and optimisers.
 * @module
 */
import { cast } from "../../../kernels/cast.ts";
import { countSkips, unscaleGradients, updateScale } from "../../../kernels/grad_scaler.ts";
import { adamw } from "../../../kernels/adamw.ts";
import { addGradientsKernel, addInto } from "../../../kernels/add_into.ts";
import type { ArenaShape } from "../../../kernels/arena_layout.ts";
import { concatRows, embedRows } from "../../../kernels/concat.ts";
import { elementwise, elementwiseBackward } from "../../../kernels/elementwise.ts";
import { fill, floatBits } from "../../../kernels/fill.ts";
import { fmaLoop } from "../../../kernels/fma_loop.ts";
import { normOfPartials, normOfStrips } from "../../../kernels/global_norm.ts";
import { nonFinite } from "../../../kernels/non_finite.ts";
import { patchify, type PatchShape, unpatchify } from "../../../kernels/patchify.ts";
import { type MatrixShape, transposeTiled } from "../../../kernels/permute.ts";
import { dropout, normalNoise, randomWords } from "../../../kernels/random.ts";
import { selfTestKernel } from "../../../kernels/self_test.ts";
import { sgd } from "../../../kernels/sgd.ts";
import { stridedMap } from "../../../kernels/strided_map.ts";
import { type Chapter, pass } from "../chapter.ts";

interface Table {
  readonly rows: number;
  readonly cols: number;
}
const TABLES = { picture: { rows: 6, cols: 8 }, timed: { rows: 2048, cols: 768 } };
const TABLE_SIZE = "2048 rows of 768";

/** Element by element. */
export const ELEMENTWISE: Chapter = {
  slug: "elementwise",
  title: "Element by element",
  summary:
    "The simplest kernels: an element in, an element out. They are bound by memory on every adapter, so what counts is " +
    "that each number is moved once, four at a time, and side by side. One strided kernel serves every broadcast, copy " +
    "and permutation: a stride of 0 reads the same number again and again.",
  formulas: [
    {
      caption: "With strides; 0 broadcasts",
      tex: "y_{i j} = f\\left(a[i s_0 + j s_1],\\; b[i t_0 + j t_1]\\right)",
    },
    { caption: "Backward of a function", tex: "dx_i = f'(x_i)\\, dy_i" },
  ],
  passes: [
    pass<Table>({
      title: "Add a row to every row",
      sizes: TABLES,
      size: TABLE_SIZE,
      shapes: ({ rows, cols }) => ({ a_in: [rows, cols], b_in: [cols], y: [rows, cols] }),
      rungs: [{
        title: "One invocation, four elements",
        file: "strided_map.ts",
        launch: ({ rows, cols }) =>
          stridedMap("add", [rows, cols], {
            a: { strides: [cols, 1], size: rows * cols },
            b: { strides: [0, 1], size: cols },
          }),
      }],
    }),
    pass<Table>({
      title: "GELU",
      sizes: TABLES,
      size: TABLE_SIZE,
      shapes: ({ rows, cols }) => ({ x: [rows, cols], y: [rows, cols] }),
      rungs: [{
        title: "One invocation, four elements",
        file: "elementwise.ts",
        launch: ({ rows, cols }) => elementwise("gelu", rows * cols),
      }],
    }),
    pass<Table>({
      title: "GELU, backward",
      sizes: TABLES,
      size: TABLE_SIZE,
      shapes: ({ rows, cols }) => ({
        saved: [rows, cols],
        dOut: [rows, cols],
        dx: [rows, cols],
      }),
      rungs: [{
        title: "One invocation, four elements",
        file: "elementwise.ts",
        launch: ({ rows, cols }) => elementwiseBackward("gelu", rows * cols),
      }],
    }),
  ],
  files: ["strided_map.ts", "elementwise.ts"],
  tests: ["tests/engine/arithmetic_test.ts", "tests/engine/elementwise_test.ts"],
};

const MATRICES: { picture: MatrixShape; timed: MatrixShape } = {
  picture: { outer: 1, rows: 6, columns: 10 },
  timed: { outer: 8, rows: 197, columns: 576 },
};
const patchShape = (channels: number, side: number, patch: number): PatchShape => ({
  ...{ batch: 1, channels, patch },
  ...{ height: side, width: side },
});
const PATCHES = { picture: patchShape(1, 8, 4), timed: patchShape(3, 224, 16) };
/** An image below its channels, and the patches as rows. */
const patchShapes = ({ channels, height, width, patch }: PatchShape) => ({
  image: [channels * height, width],
  patches: [height * width / patch ** 2, channels * patch ** 2],
});

/** Moving data. */
export const MOVING: Chapter = {
  slug: "moving-data",
  title: "Moving data: transposing, joining, cutting into patches",
  summary:
    "No arithmetic, only addresses. A transposition reads along one axis and writes along the other, so one of the two " +
    "is scattered, unless a block goes through workgroup memory: then both sides of the block are read and written side " +
    "by side. An image becomes tokens by cutting it into patches, each a row.",
  formulas: [
    { caption: "Transposition", tex: "y_{j i} = x_{i j}" },
    {
      caption: "Patch p, pixel (r, c) in it",
      tex: "y_{p,\\, (k, r, c)} = x_{k,\\; P p_0 + r,\\; P p_1 + c}",
    },
  ],
  passes: [
    pass<MatrixShape>({
      title: "Transpose",
      sizes: MATRICES,
      size: "8 matrices of 197 x 576",
      shapes: ({ outer, rows, columns }) => ({
        a_in: [outer, rows, columns],
        y: [outer, columns, rows],
      }),
      rungs: [
        {
          title: "One invocation, one element",
          file: "strided_map.ts",
          launch: ({ outer, rows, columns }) =>
            stridedMap("copy", [outer, columns, rows], {
              a: { strides: [rows * columns, 1, columns], size: outer * rows * columns },
            }),
        },
        { title: "A block through workgroup memory", file: "permute.ts", launch: transposeTiled },
      ],
    }),
    pass<PatchShape>({
      title: "Cut into patches",
      sizes: PATCHES,
      size: "3 x 224 x 224, patches of 16",
      shapes: (shape) => {
        const { image, patches } = patchShapes(shape);
        return { a_in: image, y: patches };
      },
      rungs: [{ title: "One invocation, one run", file: "patchify.ts", launch: patchify }],
    }),
    pass<PatchShape>({
      title: "Back from patches",
      sizes: PATCHES,
      size: "3 x 224 x 224, patches of 16",
      shapes: (shape) => {
        const { image, patches } = patchShapes(shape);
        return { a_in: patches, y: image };
      },
      rungs: [{ title: "One invocation, one run", file: "patchify.ts", launch: unpatchify }],
    }),
    pass<Table>({
      title: "Join rows",
      sizes: TABLES,
      size: TABLE_SIZE,
      shapes: ({ rows, cols }) => ({
        x0: [rows, cols / 4],
        x1: [rows, 3 * cols / 4],
        y: [rows, cols],
      }),
      rungs: [{
        title: "One invocation, one element",
        file: "concat.ts",
        launch: ({ rows, cols }) => concatRows(rows, [cols / 4, 3 * cols / 4]),
      }],
    }),
    pass<Table>({
      title: "Join rows, backward of a slice",
      sizes: TABLES,
      size: TABLE_SIZE,
      shapes: ({ rows, cols }) => ({ x: [rows, cols / 4], y: [rows, cols] }),
      rungs: [{
        title: "One invocation, one element",
        file: "concat.ts",
        launch: ({ rows, cols }) =>
          embedRows({ rows, length: cols, begin: cols / 4, piece: cols / 4 }),
      }],
    }),
  ],
  files: ["permute.ts", "patchify.ts", "concat.ts"],
  tests: ["tests/kernels/permute_test.ts", "tests/engine/patchify_test.ts"],
};

type Count = { readonly count: number };
const COUNTS = { picture: { count: 64 }, timed: { count: 2 ** 21 } };
const line = ({ count }: Count) => [count / 16, 16];

/** Random numbers. */
export const RANDOM: Chapter = {
  slug: "random",
  title: "Random numbers without a state",
  summary:
    "A generator with a state would make invocations wait for each other. Philox is a function instead: number i of " +
    "draw c of step t with seed s is what ten rounds of multiplying and mixing make of (i, c, t, s). So every invocation " +
    "draws alone, two adapters draw the same, and a dropout mask need not be stored: the backward pass makes it again.",
  formulas: [
    {
      caption: "Four words for each counter",
      tex: "w = \\text{Philox}_{4 \\times 32 - 10}(i, c, t;\\; s)",
    },
    { caption: "Dropout", tex: "y_i = \\frac{[u_i \\ge p]}{1 - p}\\, x_i" },
  ],
  passes: [
    pass<Count>({
      title: "Words",
      sizes: COUNTS,
      size: "2,097,152 words",
      shapes: (size) => ({ block: [4], y: line(size) }),
      rungs: [{
        title: "One invocation, four words",
        file: "random.ts",
        launch: ({ count }) => randomWords(count, 0),
      }],
    }),
    pass<Count>({
      title: "Dropout",
      sizes: COUNTS,
      size: "2,097,152 numbers",
      shapes: (size) => ({ block: [4], x: line(size), y: line(size) }),
      rungs: [{
        title: "One invocation, four numbers",
        file: "random.ts",
        launch: ({ count }) => dropout(count, 0, 0.4),
      }],
    }),
    pass<Count>({
      title: "Normal noise, for routing",
      sizes: COUNTS,
      size: "2,097,152 numbers",
      shapes: (size) => ({ block: [4], knots: [normalNoise(4, 0, 1).sizes.knots], y: line(size) }),
      input: (value, name, i) => name === "knots" ? 2 ** 23 - 4096 * i - value % 4096 : value,
      rungs: [{
        title: "One invocation, four numbers",
        file: "random.ts",
        launch: ({ count }) => normalNoise(count, 0, 1),
      }],
    }),
  ],
  files: ["random.ts", "philox.ts"],
  tests: ["tests/kernels/random_test.ts"],
};

const arena = (floats: number, clip: boolean): ArenaShape => ({ floats, spans: 2, clip });
const ARENAS = { picture: arena(128, true), timed: arena(2 ** 21, true) };
/** Blocks belong to two tensors in turn; the second has no gradient. */
const SPANS = [0.9, 0.1, 0.5, 1, 0.8, 0.2, 0.7, 0];
const arenaInput = (value: number, name: string, i: number) => {
  if (name === "blocks") return i % 2;
  if (name === "spans") return SPANS[i];
  if (name === "active_spans") return 1 - i;
  return name === "v" || name === "clip" ? Math.abs(value) : value;
};
const arenaShapes = ({ floats }: ArenaShape) => {
  const all = [floats / 16, 16];
  return {
    ...{ p: all, m: all, v: all, g: all, b: all, blocks: [floats / 64], spans: [2, 4] },
    ...{ clip: [1], active_spans: [2], partials: [1] },
  };
};

/** Optimisers. */
export const OPTIMIZERS: Chapter = {
  slug: "optimizers",
  title: "Optimisers",
  summary:
    "All parameters of a model lie in one arena, so that one launch updates them all; what differs from tensor to tensor " +
    "(rate, decay) is looked up by block. The norm of all gradients, for clipping, is two launches with a fixed tree. " +
    "The update never leaves the GPU: the step's corrections are data in a small buffer.",
  formulas: [
    {
      caption: "AdamW",
      tex:
        "m \\leftarrow \\beta_1 m + (1 - \\beta_1) g, \\quad v \\leftarrow \\beta_2 v + (1 - \\beta_2) g^2, \\quad " +
        "p \\leftarrow p (1 - \\eta \\lambda) - \\eta \\frac{\\hat m}{\\sqrt{\\hat v} + \\varepsilon}",
    },
    {
      caption: "Clipping",
      tex:
        "g \\leftarrow g \\cdot \\min\\!\\left(1,\\; \\frac{c}{\\lVert g \\rVert_2 + 10^{-6}}\\right)",
    },
  ],
  passes: [
    pass<ArenaShape>({
      title: "AdamW",
      sizes: ARENAS,
      size: "2,097,152 parameters",
      shapes: arenaShapes,
      input: arenaInput,
      rungs: [{
        title: "One invocation, four parameters",
        file: "adamw.ts",
        launch: (shape) => adamw(shape, { beta1: 0.9, beta2: 0.99, eps: 1e-4 }),
      }],
    }),
    pass<ArenaShape>({
      title: "SGD with momentum",
      sizes: ARENAS,
      size: "2,097,152 parameters",
      shapes: arenaShapes,
      input: arenaInput,
      rungs: [{
        title: "One invocation, four parameters",
        file: "sgd.ts",
        launch: (shape) => sgd(shape, { momentum: 0.9, nesterov: false }),
      }],
    }),
    pass<ArenaShape>({
      title: "Norm of all gradients: sums of squares",
      sizes: { picture: arena(128, false), timed: arena(2 ** 14, false) },
      size: "16,384 numbers, one strip",
      shapes: arenaShapes,
      input: arenaInput,
      rungs: [{
        title: "One workgroup, one strip",
        file: "global_norm.ts",
        launch: (shape) => normOfStrips(shape, 0, 1),
      }],
    }),
    pass<Count>({
      title: "Norm of all gradients: the end",
      sizes: { picture: { count: 32 }, timed: { count: 128 } },
      size: "128 sums",
      shapes: ({ count }) => ({ partials: [count / 16, 16], norm: [1], coefficient: [1] }),
      input: Math.abs,
      rungs: [{
        title: "One workgroup",
        file: "global_norm.ts",
        launch: ({ count }) => normOfPartials(count, 1),
      }],
    }),
  ],
  files: ["adamw.ts", "sgd.ts", "global_norm.ts", "arena_layout.ts"],
  tests: ["tests/kernels/optimizer_kernels_test.ts", "tests/nn/optim_test.ts"],
};

/** The state of a scaler: the bits of 1024 as f32, good steps, found, skipped ones. */
const SCALER_STATE = [0x44800000, 7, 0, 3];
const HALF_SIZES = { picture: arena(128, false), timed: arena(2 ** 21, false) };

/** Half precision. */
export const HALVES: Chapter = {
  slug: "halves",
  title: "Half precision",
  summary:
    "Half is a storage type here: a kernel loads f16, computes and adds in f32, and stores f16. No kernel is written " +
    "twice; the half form is the same code with its loads and stores converted. Small gradients would vanish in 11 bits, " +
    "so the loss is multiplied by a scale first; a step whose gradients overflow is skipped and the scale halved, all on " +
    "the GPU: whether anything was found is a word of memory that the optimiser's kernel looks at.",
  formulas: [
    {
      caption: "A step with loss scale s",
      tex:
        "g = \\tfrac{1}{s}\\, \\nabla (s L), \\qquad \\text{skipped if any } g \\text{ is not finite}",
    },
    {
      caption: "The scale: backed off when something was found, grown after k good steps",
      tex:
        "s \\leftarrow \\begin{cases} s / 2 & \\text{found} \\\\ 2 s & k \\text{ good steps} \\end{cases}",
    },
  ],
  passes: [
    pass<Count>({
      title: "Cast",
      sizes: COUNTS,
      size: "2,097,152 numbers",
      shapes: (size) => ({ x: line(size), y: line(size) }),
      rungs: [{
        title: "One invocation, four numbers",
        file: "cast.ts",
        launch: ({ count }) => cast(count),
      }],
    }),
    pass<ArenaShape>({
      title: "Unscale and look for what is not finite",
      sizes: HALF_SIZES,
      size: "2,097,152 gradients",
      shapes: (shape) => ({ ...arenaShapes(shape), state: [4] }),
      input: (value, name, i) => name === "state" ? SCALER_STATE[i] : arenaInput(value, name, i),
      rungs: [{
        title: "One invocation, four gradients",
        file: "grad_scaler.ts",
        launch: unscaleGradients,
      }],
    }),
    pass<Count>({
      title: "Count the steps that tensors did not take",
      sizes: { picture: { count: 16 }, timed: { count: 1024 } },
      size: "1,024 tensors",
      shapes: ({ count }) => ({ state: [4], active_spans: [count], skips: [count] }),
      input: (value, name, i) =>
        name === "state"
          ? [...SCALER_STATE.slice(0, 2), 1, 3][i]
          : name === "skips"
          ? value
          : i % 2,
      rungs: [{
        title: "One invocation, one tensor",
        file: "grad_scaler.ts",
        launch: ({ count }) => countSkips(count),
      }],
    }),
    pass<null>({
      title: "Move the scale",
      sizes: { picture: null, timed: null },
      size: "4 words",
      shapes: () => ({ state: [4] }),
      input: (_value, _name, i) => SCALER_STATE[i],
      rungs: [{
        title: "One invocation",
        file: "grad_scaler.ts",
        launch: () => updateScale({ growth: 2, backoff: 0.5, interval: 8 }),
      }],
    }),
  ],
  files: ["half.ts", "cast.ts", "grad_scaler.ts"],
  tests: ["tests/kernels/half_test.ts"],
};

/** What the engine itself runs. */
export const ENGINE: Chapter = {
  slug: "engine",
  title: "The engine's own kernels",
  summary:
    "Small kernels that the engine needs: filling, adding gradients, the self-test that refuses a miscompiling driver, " +
    "the scan for NaN by bit pattern (comparisons may be optimised away; bits may not), and the loop of multiply-adds " +
    "that measures what an adapter can do at best.",
  formulas: [{
    caption: "Not finite: all bits of the exponent set",
    tex: "(\\text{bits}(x) \\mathbin{\\&} \\mathtt{7f800000}_{16}) = \\mathtt{7f800000}_{16}",
  }],
  passes: [
    pass<Count>({
      title: "Fill",
      sizes: COUNTS,
      size: "2,097,152 numbers",
      shapes: (size) => ({ y: line(size) }),
      rungs: [{
        title: "One invocation, one word",
        file: "fill.ts",
        launch: ({ count }) => fill(count, floatBits(0.5)),
      }],
    }),
    pass<Count>({
      title: "Add two gradients",
      sizes: COUNTS,
      size: "2,097,152 numbers",
      shapes: (size) => ({ a: line(size), b: line(size), y: line(size) }),
      rungs: [{
        title: "One invocation, four numbers",
        file: "add_into.ts",
        launch: ({ count }) => addGradientsKernel(count),
      }],
    }),
    pass<Count>({
      title: "Add to a gradient",
      sizes: COUNTS,
      size: "2,097,152 numbers",
      shapes: (size) => ({ a: line(size), y: line(size) }),
      rungs: [{
        title: "One invocation, four numbers",
        file: "add_into.ts",
        launch: ({ count }) => addInto(count, 1),
      }],
    }),
    pass<Count>({
      title: "Scan for NaN and infinity",
      sizes: COUNTS,
      size: "2,097,152 numbers",
      shapes: (size) => ({ x: line(size), flags: [1] }),
      input: (value, name) => name === "x" ? value : 0,
      rungs: [{
        title: "A strip for each invocation",
        file: "non_finite.ts",
        launch: ({ count }) => nonFinite(count, 0, 1),
      }],
    }),
    pass<Count>({
      title: "Multiply-adds and nothing else",
      sizes: { picture: { count: 16 }, timed: { count: 4096 } },
      size: "4096 invocations",
      shapes: ({ count }) => ({ y: [count / 16, 16] }),
      rungs: [{
        title: "Chains of multiply-adds",
        file: "fma_loop.ts",
        launch: ({ count }) => fmaLoop(count, 1),
      }],
    }),
    pass<null>({
      title: "Self-test",
      sizes: { picture: null, timed: null },
      size: "64 invocations",
      shapes: () => {
        const { sizes } = selfTestKernel();
        return Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, [size]]));
      },
      rungs: [{ title: "One workgroup", file: "self_test.ts", launch: selfTestKernel }],
    }),
  ],
  files: ["fill.ts", "add_into.ts", "non_finite.ts", "fma_loop.ts", "self_test.ts"],
  tests: ["tests/engine/self_test_test.ts", "tests/engine/anomaly_test.ts"],
};
