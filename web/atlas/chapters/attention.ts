/**
 * The page on attention.
 * @module
 */
import {
  attentionInputBackward,
  attentionScores,
  attentionScoresBackward,
  attentionSoftmax,
  attentionValues,
} from "../../../kernels/attention.ts";
import {
  attentionOnline,
  attentionOnlineBackwardKV,
  attentionOnlineBackwardQ,
} from "../../../kernels/attention_online.ts";
import type { AttentionShape } from "../../../kernels/attention_reference.ts";
import { attentionVariant } from "../../../kernels/attention_variant.ts";
import { DEFAULT_TARGET } from "../../../kernels/target.ts";
import { type Chapter, pass, type PassSource } from "../chapter.ts";

const SIZES = {
  picture: { batch: 1, tokens: 6, heads: 2, headDim: 4 },
  timed: { batch: 2, tokens: 197, heads: 3, headDim: 64 },
};

/** Dimensions of everything that attention's kernels bind. */
function shapes({ batch, tokens, heads, headDim }: AttentionShape) {
  const dim = heads * headDim, pairs = [batch, heads, tokens, tokens];
  const rows = [batch, heads, tokens], out = [batch, tokens, dim], qkv = [batch, tokens, 3 * dim];
  return { qkv, dqkv: qkv, out, dOut: out, lse: rows, delta: rows, s: pairs, p: pairs, ds: pairs };
}

function single(
  title: string,
  rung: string,
  launch: (shape: AttentionShape) => ReturnType<typeof attentionValues>,
  input?: PassSource<AttentionShape>["input"],
) {
  return pass<AttentionShape>({
    title,
    sizes: SIZES,
    size: "2 images, 3 heads, 197 tokens of 64",
    shapes,
    input,
    rungs: [{ title: rung, file: "attention.ts", launch }],
  });
}

const scale = ({ headDim }: AttentionShape) => headDim ** -0.5;
/** The rungs of a kernel that never writes N x N numbers, tiled as is selected for a class of adapters. */
function online(
  title: string,
  launch: typeof attentionOnline,
  part: "forward" | "backwardQ" | "backwardKV",
  input?: PassSource<AttentionShape>["input"],
) {
  return pass<AttentionShape>({
    title,
    sizes: SIZES,
    size: "2 images, 3 heads, 197 tokens of 64",
    shapes,
    input,
    rungs: (["software", "discrete"] as const).map((adapterClass) => ({
      title: adapterClass === "software"
        ? "Rows in registers"
        : "A tile of keys in workgroup memory",
      file: "attention_online.ts",
      launch: (shape) => {
        const variant = attentionVariant(shape, { ...DEFAULT_TARGET, adapterClass });
        if (variant.kind === "readable") throw new Error("heads are too wide for the registers");
        return launch(shape, scale(shape), variant[part]);
      },
    })),
  });
}

/** Statistics as no forward pass made them, but of their size. */
const statistics = (value: number, name: string) => name === "lse" ? 3 + value : value;

/** Attention. */
export const ATTENTION: Chapter = {
  slug: "attention",
  title: "Attention",
  summary:
    "Every token looks at every other. The readable way writes the N x N scores to memory and reads them back, three " +
    "kernels forward. The other way walks over the keys once, with a running maximum and sum (online softmax), and " +
    "never writes N x N anything; backward it makes the scores again. Spatial and temporal attention of MCGaze and the " +
    "blocks of a Vision Transformer are all this family.",
  formulas: [
    {
      caption: "Forward",
      tex:
        "P = \\operatorname{softmax}\\!\\left(\\tfrac{1}{\\sqrt{d}}\\, Q K^{\\top}\\right), \\qquad O = P V",
    },
    {
      caption:
        "Online softmax: a running maximum m, sum s and output o, corrected when the maximum grows",
      tex:
        "m' = \\max(m, x), \\quad s' = s\\, e^{m - m'} + e^{x - m'}, \\quad o' = o\\, e^{m - m'} + e^{x - m'} v",
    },
    {
      caption: "Backward",
      tex:
        "dV = P^{\\top} dO, \\qquad dS = P \\odot (dO\\, V^{\\top} - \\delta), \\qquad \\delta = \\textstyle\\sum dO \\odot O",
    },
  ],
  passes: [
    single(
      "Scores, in memory",
      "One invocation, one pair",
      (shape) => attentionScores(shape, scale(shape)),
    ),
    single("Softmax of the scores, in place", "One invocation, one row", attentionSoftmax),
    single("Weighted values", "One invocation, one element", attentionValues),
    online("Forward in one kernel", attentionOnline, "forward"),
    single(
      "Backward: scores",
      "One invocation, one pair",
      (shape) => attentionScoresBackward(shape, scale(shape)),
      statistics,
    ),
    single(
      "Backward: queries, keys, values",
      "One invocation, one element",
      (shape) => attentionInputBackward(shape, scale(shape)),
    ),
    online("Backward: queries, in one kernel", attentionOnlineBackwardQ, "backwardQ", statistics),
    online(
      "Backward: keys and values, in one kernel",
      attentionOnlineBackwardKV,
      "backwardKV",
      statistics,
    ),
  ],
  files: ["attention.ts", "attention_online.ts", "attention_variant.ts", "attention_reference.ts"],
  tests: ["tests/kernels/attention_test.ts", "tests/engine/attention_test.ts"],
};
