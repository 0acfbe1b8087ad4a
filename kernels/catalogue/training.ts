/**
 * The catalogue's calls of kernels over arenas, optimisers and the norm of gradients, and of losses.
 * @module
 */
import { adamw, type AdamWArrays, adamwReference } from "../adamw.ts";
import { type ArenaShape, BLOCK } from "../arena_layout.ts";
import {
  crossEntropy,
  crossEntropyBackward,
  type CrossEntropyShape,
  type CrossEntropyVariant,
} from "../cross_entropy.ts";
import { globalNormReference, normOfPartials, normOfStrips, normStrips } from "../global_norm.ts";
import { sgd, type SgdArrays, sgdReference } from "../sgd.ts";
import {
  array,
  BOTH,
  type CatalogueEntry,
  each,
  entry,
  HUGE,
  pairs,
  sum,
  type Values,
} from "./entry.ts";

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
    reference: (inputs, [, config]) => ({
      ...adamwReference(inputs as unknown as AdamWArrays, config, inputs.clip?.[0]),
    }),
  }),
  entry("sgd", sgd, {
    small: pairs(ARENAS, [[0, false], [0.9, false], [0.9, true]] as const)
      .map(([shape, [momentum, nesterov]]) => [shape, { momentum, nesterov }]),
    huge: [[arena(HUGE, true), { momentum: 0.9, nesterov: true }]],
    input: arenaInput,
    reference: (inputs, [, config]) => {
      const b = inputs.b ?? new Float64Array(inputs.p.length); // not bound without momentum
      return {
        ...sgdReference({ ...inputs, b } as unknown as SgdArrays, config, inputs.clip?.[0]),
      };
    },
  }),
  entry("global_norm", normOfStrips, {
    small: [[arena(320, false), 0, 1], [arena(3 * 16384 + 64, false), 1, 6]],
    huge: [[arena(HUGE, false), 0, 2048]],
    input: arenaInput,
    reference: ({ g, blocks, active_spans: active }, [{ floats }, first, partials]) => {
      const strip = 16384, y = new Float64Array(partials).fill(NaN);
      for (let s = 0; s < normStrips(floats); s++) {
        const [from, to] = [s * strip, Math.min(floats, (s + 1) * strip)];
        const { norm } = globalNormReference(
          Array.from(g).slice(from, to),
          Array.from(blocks).slice(from / BLOCK, to / BLOCK),
          active,
          1,
        );
        y[first + s] = norm ** 2;
      }
      return { partials: y };
    },
  }),
  entry("global_norm", normOfPartials, {
    // one that clips, one that does not, and none at all
    small: [[131, 0.5], [131, 100], [1, 1e-7]],
    huge: [[65536, 1]],
    input: (value, _name, _i, [count]) => count === 1 ? 0 : Math.abs(value),
    reference: ({ partials }, [count, most]) => {
      const norm = Math.sqrt(sum(count, (i) => partials[i]));
      return { norm: [norm], coefficient: [Math.min(1, most / (norm + 1e-6))] };
    },
  }),
];

const losses = (batch: number, classes: number): CrossEntropyShape[] =>
  BOTH.map((soft) => ({ batch, classes, soft, smoothing: 0.1 }));

/** The smoothed target of class c in a row, and the row's entries by (x, stats). */
const target =
  ({ classes, soft, smoothing }: CrossEntropyShape, targets: ArrayLike<number>) =>
  (row: number, c: number): number => {
    const given = soft ? targets[row * classes + c] : Number(targets[row] === c);
    return (1 - smoothing) * given + smoothing / classes;
  };

function lossReference(
  { x, targets }: Values,
  shape: CrossEntropyShape,
  variant: CrossEntropyVariant,
): Values {
  const { batch, classes } = shape, q = target(shape, targets);
  const losses = new Float64Array(batch), stats = new Float64Array(4 * batch);
  for (let row = 0; row < batch; row++) {
    const value = (c: number) => x[row * classes + c];
    const top = array(classes, value).reduce((a, b) => Math.max(a, b));
    const log = Math.log(sum(classes, (c) => Math.exp(value(c) - top)));
    losses[row] = sum(classes, (c) => q(row, c) * (top + log - value(c)));
    stats.set([top, log, sum(classes, (c) => q(row, c))], 4 * row);
  }
  const mean = [sum(batch, (row) => losses[row]) / batch];
  return { stats, losses: variant === "fused" ? mean : losses };
}

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
    reference: (inputs, [shape, variant]) => lossReference(inputs, shape, variant),
  }),
  entry("cross_entropy", crossEntropyBackward, {
    small: each(losses(13, 19)),
    huge: each(losses(2 ** 18, 127)),
    input: (value, name, _i, [{ classes, soft }]) =>
      name === "targets" && !soft ? value % classes : value,
    reference: ({ x, targets, stats, dOut }, [shape]) => {
      const { batch, classes } = shape, q = target(shape, targets);
      return {
        dx: array(batch * classes, (i) => {
          const row = Math.floor(i / classes);
          const [top, log, weight] = [0, 1, 2].map((k) => stats[4 * row + k]);
          return dOut[0] / batch * (weight * Math.exp(x[i] - top - log) - q(row, i % classes));
        }),
      };
    },
  }),
];

/** Optimisers and losses. */
export const TRAINING: readonly CatalogueEntry[] = [...optimizers, ...lossFamily];
