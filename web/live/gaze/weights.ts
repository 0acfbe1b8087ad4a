/**
 * A gaze model from a file: with the settings that its card tells, else those of the small preset.
 * @module
 */
import { optionsOfCard } from "../../../cli/gaze/weights_card.ts";
import { type ByteSource, openWeights, weightsSource } from "../../../io/mod.ts";
import { type Device, McGaze, MCGAZE_PRESETS } from "../../../mod.ts";

/** A model on the page's device. */
export interface LoadedGaze {
  readonly label: string;
  readonly model: McGaze;
}

/** Loads a model. @throws {CheckpointError} the file is none of an MCGaze, damaged or hostile */
export async function loadGaze(
  device: Device,
  file: ByteSource,
  label: string,
): Promise<LoadedGaze> {
  const reader = await openWeights(file);
  const card = "metadata" in reader ? optionsOfCard(reader.metadata, label) : undefined;
  const model = new McGaze(card ?? MCGAZE_PRESETS.mcgaze_small);
  await model.loadStateFrom(weightsSource(reader));
  await model.eval().to(device);
  return { label, model };
}
