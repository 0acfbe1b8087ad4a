/**
 * What the file of a trained model says of it, in safetensors' metadata. It knows no file system, so pages use it too.
 * @module
 */
import { CheckpointError } from "../../engine/mod.ts";
import { SafetensorsReader, type TorchReader } from "../../io/mod.ts";
import type { MoeVitOptions } from "../../models/mod.ts";
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

/** The metadata of a file with this card. */
export function cardMetadata(card: ModelCard): [name: string, text: string][] {
  return [["format", "pt"], [KEY, JSON.stringify(card)]];
}

/**
 * The card of an open file; null where it has none: it was not written with `cardMetadata`.
 * @param label names the file in errors
 * @throws {CheckpointError} it says what makes no model
 */
export function cardOf(reader: SafetensorsReader | TorchReader, label: string): ModelCard | null {
  const text = reader instanceof SafetensorsReader ? reader.metadata.get(KEY) : undefined;
  if (text === undefined) return null;
  try {
    const { model, recipe, names } = JSON.parse(text);
    return { model, recipe: recipeWith(PLAIN, recipe), names: names ?? null };
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CheckpointError(`${label}: its description of the model is damaged (${why})`, {
      cause,
    });
  }
}
