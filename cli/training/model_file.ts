/**
 * Trained models as files: safetensors whose metadata say which model it is, how images were made ready for it, and what
 * its classes are called. Any safetensors reader opens them.
 * @module
 */
import { CheckpointError } from "../../engine/mod.ts";
import { saveSafetensorsFile } from "../../io/files.ts";
import { openWeights, SafetensorsReader, weightsSource } from "../../io/mod.ts";
import {
  loadPretrained,
  type MoeVitOptions,
  type PretrainedReport,
  visionModel,
  type VisionTransformer,
} from "../../models/mod.ts";
import { arraysOf } from "../weights.ts";
import { openWeightsFile } from "../weights_file.ts";
import { PLAIN, type Recipe, recipeWith } from "./recipe.ts";

/** What a file says of its model. */
export interface ModelCard {
  /** Settings of the model. */
  readonly model: MoeVitOptions;
  /** How it was trained; evaluation takes the images' size and normalisation from it. */
  readonly recipe: Recipe;
  /** The classes' names, where they are known. */
  readonly names: readonly string[] | null;
}

const KEY = "wgrad";

/** Writes a model in one step. @throws {CheckpointError} the disk is full and the like */
export async function saveModel(
  path: string,
  model: VisionTransformer,
  card: ModelCard,
): Promise<void> {
  const metadata = [["format", "pt"], [KEY, JSON.stringify(card)]] as const;
  await saveSafetensorsFile(path, arraysOf(await model.stateDict()), metadata);
}

/**
 * What a file says of its model; null where it says nothing: it is not of `saveModel`.
 * @throws {CheckpointError} it cannot be read, or says what makes no model
 */
export async function readCard(path: string): Promise<ModelCard | null> {
  await using source = await openWeightsFile(path);
  const reader = await openWeights(source);
  const text = reader instanceof SafetensorsReader ? reader.metadata.get(KEY) : undefined;
  if (text === undefined) return null;
  try {
    const { model, recipe, names } = JSON.parse(text);
    return { model, recipe: recipeWith(PLAIN, recipe), names: names ?? null };
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CheckpointError(`${path}: its description of the model is damaged (${why})`, {
      cause,
    });
  }
}

/**
 * Makes a model and gives it a file's weights; not placed on a device yet.
 * @throws {CheckpointError} the file cannot be read, or does not fit the settings
 */
export async function loadModel(
  path: string,
  options: MoeVitOptions,
): Promise<{ model: VisionTransformer; report: PretrainedReport }> {
  await using source = await openWeightsFile(path);
  const model = visionModel(options);
  const report = await loadPretrained(model, weightsSource(await openWeights(source)));
  return { model, report };
}
