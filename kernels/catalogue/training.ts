/**
 * The catalogue's calls of kernels over arenas, optimisers and the norm of gradients, and of losses.
 * @module
 */
import { adamw } from "../adamw.ts";
import type { ArenaShape } from "../arena_layout.ts";
import {
  crossEntropy,
  crossEntropyBackward,
  type CrossEntropyShape,
  type CrossEntropyVariant,
} from "../cross_entropy.ts";
import { normOfPartials, normOfStrips } from "../global_norm.ts";
import { sgd } from "../sgd.ts";
import { BOTH, type CatalogueEntry, each, entry, HUGE, pairs } from "./entry.ts";

const arena = (floats: number, clip: boolean): ArenaShape => ({ floats, spans: 2, clip });
const ARENAS = BOTH.map((clip) => arena(3136, clip));
/** Blocks belong to two tensors in turn, the second of which has no gradient. */
const SPANS = [0.9, 0.1, 0.5, 1, 0.8, 0.2, 0.7, 0];
function arenaInput(value: number, name: string, i: number): number {
  if (name === "blocks") return i % 2;
  if (name === "spans") return SPANS[i];
  if (name === "active_spans") return 1 - i;
  return name === "v" || name === "clip" ? Math.abs(value) : value;
}
// eps is large enough to be seen
const ADAM = { beta1: 0.9, beta2: 0.99, eps: 0.05 };

const optimizers = [
  entry("adamw", adamw, {
    small: pairs(ARENAS, [ADAM]),
    huge: [[arena(HUGE, true), ADAM]],
    input: arenaInput,
  }),
  entry("sgd", sgd, {
    small: pairs(ARENAS, [[0, false], [0.9, false], [0.9, true]] as const)
      .map(([shape, [momentum, nesterov]]) => [shape, { momentum, nesterov }]),
    huge: [[arena(HUGE, true), { momentum: 0.9, nesterov: true }]],
    input: arenaInput,
  }),
  entry("global_norm", normOfStrips, {
    small: [[arena(320, false), 0, 1], [arena(3 * 16384 + 64, false), 1, 6]],
    huge: [[arena(HUGE, false), 0, 2048]],
    input: arenaInput,
  }),
  entry("global_norm", normOfPartials, {
    // one that clips, one that does not, and none at all
    small: [[131, 0.5], [131, 100], [1, 1e-7]],
    huge: [[65536, 1]],
    input: (value, _name, _i, [count]) => count === 1 ? 0 : Math.abs(value),
  }),
];

const losses = (batch: number, classes: number): CrossEntropyShape[] =>
  BOTH.map((soft) => ({ batch, classes, soft, smoothing: 0.1 }));

function lossInput(
  value: number,
  name: string,
  i: number,
  { classes, soft }: CrossEntropyShape,
): number {
  // rows far apart, so that a neighbour's number would be noticed
  if (name === "x") return value + 60 * (Math.floor(i / classes) % 3);
  return name === "targets" && !soft ? value % classes : value;
}

const lossFamily = [
  entry("cross_entropy", crossEntropy, {
    small: pairs(
      [...losses(3, 5), ...losses(201, 70)],
      ["rows", "workgroup", "fused"] as CrossEntropyVariant[],
    ),
    huge: [
      ...pairs(losses(2 ** 18, 128), ["workgroup"] as const),
      ...pairs(losses(2 ** 23, 4), ["rows"] as const),
    ],
    input: (value, name, i, [shape]) => lossInput(value, name, i, shape),
  }),
  entry("cross_entropy", crossEntropyBackward, {
    small: each(losses(13, 19)),
    huge: each(losses(2 ** 18, 127)),
    input: (value, name, _i, [{ classes, soft }]) =>
      name === "targets" && !soft ? value % classes : value,
  }),
];

/** Optimisers and losses. */
export const TRAINING: readonly CatalogueEntry[] = [...optimizers, ...lossFamily];
