/**
 * The arms of the comparison: which model each one trains, and what its first weights are. All else is the same for all.
 * @module
 */
import type { ImageSet } from "../../data/mod.ts";
import { BatchLoader } from "../../data/mod.ts";
import type { Device } from "../../engine/mod.ts";
import {
  activationStats,
  type LayerStats,
  type MoeVitOptions,
  recycle,
  type RecycleMethod,
  VisionTransformer,
} from "../../models/mod.ts";
import type { StateDict, StateEntry } from "../../nn/mod.ts";
import { DENSE, EVALUATION, MOE } from "../demo/recipe.ts";

/** The kinds of models that are compared. */
export type ModelKind = "dense" | "soft" | "sphero";

/** An arm of the comparison. */
export interface Arm {
  /** As in file names and options. */
  readonly name: string;
  /** As in tables. */
  readonly title: string;
  readonly kind: ModelKind;
  /** Where the first weights come from; `scratch`: drawn at random. */
  readonly start: "scratch" | "finetuned" | RecycleMethod;
  /** First temperature of routing, dispatch and combine alike; null where there is none. */
  readonly temperature: number | null;
}

/** Recycling methods in the order of the paper's table. */
const METHODS: readonly RecycleMethod[] = ["copy", "random", "uniform", "graph", "importance"];

/** All arms but for temperatures, in the order of the tables. */
const BASES: readonly Omit<Arm, "temperature">[] = [
  { name: "dense-scratch", title: "dense ViT, from scratch", kind: "dense", start: "scratch" },
  { name: "dense-finetuned", title: "dense ViT, fine-tuned", kind: "dense", start: "finetuned" },
  { name: "soft-scratch", title: "Soft MoE, from scratch", kind: "soft", start: "scratch" },
  { name: "sphero-scratch", title: "SpheroMoE, from scratch", kind: "sphero", start: "scratch" },
  ...METHODS.map((method) => ({
    name: `jetpack-${method}`,
    title: `MoE Jetpack, ${method}`,
    kind: "sphero" as const,
    start: method,
  })),
];

/** The names of the arms, before a temperature. */
export const ARM_NAMES: readonly string[] = BASES.map(({ name }) => name);

/**
 * First temperature of the SpheroMoE arms where none is asked for. The authors' is 0.5. Cosines of random directions spread
 * by 1 / sqrt(D), here 1 / 8: at 0.5 every expert starts with nearly the mean of all tokens, at 0.05 with a few of them.
 * Low temperatures are good for every SpheroMoE here, from scratch most of all; docs/results/jetpack.md has the table.
 */
export const TEMPERATURE = 0.2;

/** Arms by name, those of SpheroMoE once for each temperature; all of one temperature before the next. */
export function armsOf(names: readonly string[], temperatures: readonly number[]): Arm[] {
  const chosen = BASES.filter(({ name }) => names.includes(name));
  return [
    ...chosen.filter(({ kind }) => kind !== "sphero").map((arm) => ({ ...arm, temperature: null })),
    ...temperatures.flatMap((temperature) =>
      chosen.filter(({ kind }) => kind === "sphero").map((arm): Arm => ({
        ...arm,
        name: `${arm.name}-t${temperature}`,
        title: `${arm.title}, t = ${temperature}`,
        temperature,
      }))
    ),
  ];
}

/** The arm of a name such as `jetpack-uniform-t0.05`. */
export function armNamed(name: string): Arm {
  const [, base, temperature] = /^(.*?)(?:-t([0-9.]+))?$/.exec(name)!;
  return armsOf([base], temperature === undefined ? [] : [Number(temperature)])[0];
}

/** Whether an arm recycles a dense model. */
export function isJetpack({ kind, start }: Arm): boolean {
  return kind === "sphero" && start !== "scratch";
}

/**
 * Soft MoE with the expert neurons (12 x 256 = 8 x 256 + 16 x 64) and the slots (12 x 2 = 8 + 16) of the SpheroMoE.
 */
const SOFT: MoeVitOptions = {
  ...DENSE,
  moeLayers: MOE.moeLayers,
  ifDualpath: false,
  numExperts: 12,
  slotsPerExpert: 2,
};

/** The settings of an arm's model. */
export function modelOptions(
  { kind, temperature }: Pick<Arm, "kind" | "temperature">,
): MoeVitOptions {
  if (kind === "dense") return DENSE;
  if (kind === "soft") return SOFT;
  return temperature === null ? MOE : { ...MOE, temperatures: [temperature, temperature] };
}

/** Images that the statistics of `importance` and `graph` are taken from: so many of the training images. */
export const STATISTICS_IMAGES = 256;

/**
 * The first weights of an arm; null where they are drawn.
 * @param dense the pre-trained dense model
 * @param train the training images, of which statistics are taken
 */
export async function firstWeights(
  arm: Arm,
  dense: StateDict,
  train: ImageSet,
  device: Device,
  seed: number,
): Promise<StateDict | null> {
  if (arm.start === "scratch") return null;
  if (arm.start === "finetuned") return withNewHead(dense, seed);
  const needs = arm.start === "importance" || arm.start === "graph";
  const stats = needs ? { "mlp.act": await statistics(dense, train, device, seed) } : undefined;
  // Ten classes here and there, but clothes are no digits.
  return recycle(dense, modelOptions(arm), { method: arm.start, stats, seed, newHead: true })
    .weights;
}

/** The dense weights with a classifier that starts anew, the same one as every other arm of this seed. */
function withNewHead(dense: StateDict, seed: number): StateDict {
  const weights = new Map<string, StateEntry>(dense);
  for (const [name, parameter] of new VisionTransformer(DENSE).namedParameters()) {
    if (!name.startsWith("head.")) continue;
    weights.set(name, { shape: parameter.shape, data: parameter.takeInitial(seed, name) });
  }
  return weights;
}

async function statistics(
  dense: StateDict,
  train: ImageSet,
  device: Device,
  seed: number,
): Promise<readonly LayerStats[]> {
  const model = new VisionTransformer(DENSE).eval();
  model.loadStateDict(dense);
  await model.to(device);
  const batchSize = 64;
  const loader = new BatchLoader(train, { batchSize, seed, shuffle: false, transform: EVALUATION });
  async function* images() {
    let count = 0;
    for await (const batch of loader.epoch()) {
      const tensor = device.tensor(batch.images, batch.shape);
      yield tensor;
      tensor.dispose();
      if ((count += batch.labels.length) >= STATISTICS_IMAGES) return;
    }
  }
  try {
    return await activationStats(model, images());
  } finally {
    model.dispose();
  }
}
