/**
 * The first weights of a run: the dense ViT that knows clothes, recycled into experts here, or a copy of a model that is
 * shown.
 * @module
 */
import { MOE, recipeFor } from "../../../cli/demo/recipe.ts";
import { stateOf } from "../../../cli/state_arrays.ts";
import { type Recipe, regularised } from "../../../cli/training/recipe.ts";
import { readSafetensors } from "../../../io/mod.ts";
import {
  loadPretrained,
  type MoeVitOptions,
  recycle,
  visionModel,
  type VisionTransformer,
} from "../../../models/mod.ts";
import type { StateEntry } from "../../../nn/mod.ts";
import type { Device } from "../../../mod.ts";
import type { LoadedModel } from "./model.ts";
import type { PageRun } from "./run_config.ts";

/** The rate for a model that knows digits already, as a share of the demo's. */
const GENTLE = 1 / 4;
const DIGITS = Array.from({ length: 10 }, (_, digit) => String(digit));

/** What somebody chose for a run. */
export interface Plan {
  readonly steps: number;
  readonly batchSize: number;
  readonly seed: number;
  /** How many there are to learn from. */
  readonly images: number;
}

/** A model on the device, and the settings of its run. */
export interface Beginning {
  readonly net: VisionTransformer;
  readonly run: PageRun;
}

/** The dense ViT's MLPs cut into experts: neurons at equal distances, a new classifier. */
export async function fromDense(
  device: Device,
  weights: Uint8Array,
  plan: Plan,
): Promise<Beginning> {
  const { steps, seed } = plan;
  const dense = stateOf((await readSafetensors(weights)).tensors);
  const recycled = recycle(dense, MOE, { method: "uniform", seed, newHead: true });
  const net = visionModel(MOE);
  net.loadStateDict(recycled.weights);
  await net.to(device, { seed });
  const recipe = recipeOf(plan, 1);
  return { net, run: { kind: "page", model: MOE, recipe, names: DIGITS, steps, start: "clothes" } };
}

/** A copy of a model; its classifier is new where it tells other than ten classes apart. */
export async function fromModel(
  device: Device,
  { net: shown, model: options, recipe: own, label }: LoadedModel,
  plan: Plan,
): Promise<Beginning> {
  const { steps, seed } = plan;
  // Its images stay normalised as they were.
  const recipe = { ...recipeOf(plan, GENTLE), mean: own.mean, std: own.std };
  const model: MoeVitOptions = { ...regularised(recipe, options), numClasses: DIGITS.length };
  const state: ReadonlyMap<string, StateEntry> = await shown.stateDict();
  const net = visionModel(model);
  await loadPretrained(net, {
    shapes: new Map([...state].map(([name, { shape }]) => [name, shape])),
    read: (name) => Promise.resolve(state.get(name)!.data),
  });
  await net.to(device, { seed });
  return { net, run: { kind: "page", model, recipe, names: DIGITS, steps, start: label } };
}

/** The demo's recipe, digits moved by up to two pixels, for so many steps. */
function recipeOf({ steps, batchSize, images }: Plan, share: number): Recipe {
  const recipe = recipeFor(Math.max(1, Math.ceil(steps * batchSize / images)), 2);
  return { ...recipe, batchSize, lr: share * recipe.lr };
}
