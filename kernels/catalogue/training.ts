/**
 * The catalogue's calls of kernels over arenas, optimisers and the norm of gradients, and of losses.
 * @module
 */
import { adamw, adamwCorrections } from "../adamw.ts";
import type { ArenaShape } from "../arena_layout.ts";
import {
  crossEntropy,
  crossEntropyBackward,
  type CrossEntropyShape,
  type CrossEntropyVariant,
} from "../cross_entropy.ts";
import { normOfPartials, normOfStrips } from "../global_norm.ts";
import { countSkips, unscaleGradients, updateScale } from "../grad_scaler.ts";
import { sgd } from "../sgd.ts";
import { BOTH, type CatalogueEntry, each, entry, HUGE, pairs } from "./entry.ts";

const arena = (floats: number, clip: boolean): ArenaShape => ({ floats, spans: 2, clip });
const ARENAS = BOTH.map((clip) => arena(3136, clip));
/** With a scaler that found nothing (2 spans), and with one that found something (3). */
const SKIPPED = [2, 3].map((spans): ArenaShape => ({ ...arena(3136, false), spans, skip: true }));
/** Blocks belong to two tensors in turn, the second of which has no gradient. */
const SPANS = [0.9, 0.1, 0.5, 1, 0.8, 0.2, 0.7, 0];
function arenaInput(
  value: number,
  name: string,
  i: number,
  [{ spans }]: readonly [ArenaShape, ...unknown[]],
): number {
  if (name === "blocks") return i % 2;
  if (name === "spans") return SPANS[i % SPANS.length];
  if (name === "active_spans") return 1 - i;
  if (name === "scaler" || name === "state") return [SCALE, 7, spans - 2, 3][i];
  return name === "v" || name === "clip" ? Math.abs(value) : value;
}
/** The bits of 2^8. */
const SCALE = 0x43800000;
// eps is large enough to be seen
const ADAM = { beta1: 0.9, beta2: 0.99, eps: 0.05 };

const optimizers = [
  entry("adamw", adamw, {
    small: pairs([...ARENAS, ...SKIPPED], [ADAM]),
    huge: [[arena(HUGE, true), ADAM]],
    input: arenaInput,
  }),
  entry("adamw", adamwCorrections, {
    // few and many steps, some of them skipped
    small: [[1290, { ...ADAM, beta2: 0.999 }], [3, { beta1: 0, beta2: 0.5, eps: 0 }]],
    huge: [[HUGE / 4, ADAM]],
    input: (value, name, i) => {
      if (name === "skips") return i % 3;
      return [0.9, 0.1, 1 + Math.floor(i / 4) * 3, Number(i % 20 !== 3)][i % 4] + 0 * value;
    },
  }),
  entry("sgd", sgd, {
    small: pairs([...ARENAS, ...SKIPPED], [[0, false], [0.9, false], [0.9, true]] as const)
      .map(([shape, [momentum, nesterov]]) => [shape, { momentum, nesterov }]),
    huge: [[arena(HUGE, true), { momentum: 0.9, nesterov: true }]],
    input: arenaInput,
  }),
  entry("grad_scaler", unscaleGradients, {
    small: [[arena(3136, false)]],
    huge: [[arena(HUGE, false)]],
    input: arenaInput,
  }),
  entry("grad_scaler", countSkips, {
    small: [[195], [1290]],
    huge: [[HUGE]],
    input: (value, name, i, [spans]) => {
      if (name === "state") return [SCALE, 7, Number(spans === 1290), 3][i];
      return name === "active_spans" ? i % 2 : value;
    },
  }),
  entry("grad_scaler", updateScale, {
    small: [[{ growth: 2, backoff: 0.5, interval: 9 }], [{ growth: 2, backoff: 0.5, interval: 8 }]],
    input: (_value, _name, i) => [SCALE, 7, 0, 3][i],
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
