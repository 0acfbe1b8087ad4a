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
  VisionTransformerMoe,
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
}

/** Recycling methods in the order of the paper's table. */
const METHODS: readonly RecycleMethod[] = ["copy", "random", "uniform", "graph", "importance"];

/** All arms, in the order of the tables. */
export const ARMS: readonly Arm[] = [
  { name: "dense-scratch", title: "dense ViT, from scratch", kind: "dense", start: "scratch" },
  { name: "dense-finetuned", title: "dense ViT, fine-tuned", kind: "dense", start: "finetuned" },
  { name: "soft-scratch", title: "Soft MoE, from scratch", kind: "soft", start: "scratch" },
  { name: "sphero-scratch", title: "SpheroMoE, from scratch", kind: "sphero", start: "scratch" },
  ...METHODS.map((method): Arm => ({
    name: `jetpack-${method}`,
    title: `MoE Jetpack, ${method}`,
    kind: "sphero",
    start: method,
  })),
];

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

/**
 * The demo's SpheroMoE with temperatures that fit its 64 channels, for the arm from scratch too. Cosines of random
 * directions spread by 1 / 8 there: at the authors' 0.5 every expert starts with the mean of all tokens, and what the dense
 * model knew about single patches is lost at first. Tried on 500 digits, seed 0, `uniform`: 85.9 % at 0.5, 87.1 % at 0.1.
 */
const SPHERO: MoeVitOptions = { ...MOE, temperatures: [0.1, 0.1] };

/** The settings of each kind of model. */
export const MODELS: Readonly<Record<ModelKind, MoeVitOptions>> = {
  dense: DENSE,
  soft: SOFT,
  sphero: SPHERO,
};

/** A model of a kind, without memory. */
export function modelOf(kind: ModelKind): VisionTransformer {
  return kind === "dense" ? new VisionTransformer(DENSE) : new VisionTransformerMoe(MODELS[kind]);
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
  return recycle(dense, SPHERO, { method: arm.start, stats, seed, newHead: true }).weights;
}

/** The dense weights with a classifier that starts anew, the same one as every other arm of this seed. */
function withNewHead(dense: StateDict, seed: number): StateDict {
  const weights = new Map<string, StateEntry>(dense);
  for (const [name, parameter] of modelOf("dense").namedParameters()) {
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
  const model = modelOf("dense").eval();
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
