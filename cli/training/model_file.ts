/**
 * Trained models as files: safetensors whose metadata say which model it is, how images were made ready for it, and what
 * its classes are called. Any safetensors reader opens them.
 * @module
 */
import { saveSafetensorsFile } from "../../io/files.ts";
import { openWeights, weightsSource } from "../../io/mod.ts";
import {
  loadPretrained,
  type MoeVitOptions,
  type PretrainedReport,
  visionModel,
  type VisionTransformer,
} from "../../models/mod.ts";
import { arraysOf } from "../state_arrays.ts";
import { openWeightsFile } from "../weights_file.ts";
import { cardMetadata, cardOf, type ModelCard } from "./model_card.ts";

/** Writes a model in one step. @throws {CheckpointError} the disk is full and the like */
export async function saveModel(
  path: string,
  model: VisionTransformer,
  card: ModelCard,
): Promise<void> {
  await saveSafetensorsFile(path, arraysOf(await model.stateDict()), cardMetadata(card));
}

/**
 * What a file says of its model; null where it says nothing: it is not of `saveModel`.
 * @throws {CheckpointError} it cannot be read, or says what makes no model
 */
export async function readCard(path: string): Promise<ModelCard | null> {
  await using source = await openWeightsFile(path);
  return cardOf(await openWeights(source), path);
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
