/**
 * What weights of MCGaze tell about themselves: in a safetensors file's `__metadata__` stands, under `wgrad.gaze`, a JSON object
 * whose `config.model` holds the settings of the model, and whose other fields tell how it was trained and measured. So weights
 * that lack a clue or the attention over time load without being told so.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import type { McGazeOptions } from "../../models/mod.ts";
import { mcGazeConfig } from "../../models/mcgaze_config.ts";

/** The card's key in the metadata. */
export const CARD_KEY = "wgrad.gaze";

/** The settings of the model that weights were trained with; undefined: they have no card. */
export function optionsOfCard(
  metadata: ReadonlyMap<string, string>,
  label: string,
): McGazeOptions | undefined {
  const text = metadata.get(CARD_KEY);
  if (text === undefined) return undefined;
  let model: unknown;
  try {
    model = JSON.parse(text)?.config?.model;
  } catch (cause) {
    throw new CheckpointError(`${label}: ${CARD_KEY} in its metadata is not JSON`, { cause });
  }
  const problem = mismatch(model, mcGazeConfig(), "model");
  if (problem !== undefined) {
    throw new CheckpointError(`${label}: ${CARD_KEY} in its metadata is no card: ${problem}`);
  }
  return model as McGazeOptions;
}

/** What keeps a value from being settings such as `like`; undefined: nothing. */
function mismatch(value: unknown, like: unknown, path: string): string | undefined {
  if (Array.isArray(like)) {
    if (!Array.isArray(value)) return `${path} is no list`;
    return first(value.map((item, i) => mismatch(item, like[0], `${path}[${i}]`)));
  }
  if (typeof like !== "object" || like === null) {
    return typeof value === typeof like ? undefined : `${path} is no ${typeof like}`;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return `${path} is no object`;
  }
  return first(
    Object.entries(value).map(([name, item]) =>
      Object.hasOwn(like, name)
        ? mismatch(item, like[name as keyof typeof like], `${path}.${name}`)
        : `there is no setting ${path}.${name}`
    ),
  );
}

function first(problems: readonly (string | undefined)[]): string | undefined {
  return problems.find((problem) => problem !== undefined);
}
