/**
 * `--model`: a preset by name, or a JSON file with the settings of a model of one's own, such as
 *
 *     { "preset": "V-JetMoE-T", "coreExperts": 32, "univExperts": 64, "numClasses": 100 }
 * @module
 */
import { basename } from "node:path";
import { CheckpointError, ShapeError } from "../../engine/errors.ts";
import { readFileBytes } from "../../io/files.ts";
import { moeVitConfig, type MoeVitOptions, presetNamed, PRESETS } from "../../models/mod.ts";

/** What the usage of a command says of the option. */
export const MODEL_USAGE = `NAME is one of ${
  Object.keys(PRESETS).join(", ")
}; or a JSON file of settings`;

/** A model that was named. */
export interface NamedModel {
  /** The preset, or the file without its folder. */
  readonly name: string;
  /** Its settings. */
  readonly options: MoeVitOptions;
}

/**
 * The settings that `--model` names.
 * @param classes `--classes`: another number of classes
 * @throws {ShapeError} there is no such preset, or a setting is none; lists those there are
 * @throws {CheckpointError} the file cannot be read
 */
export async function modelOption(model: string, classes?: number): Promise<NamedModel> {
  const ownClasses = classes === undefined ? {} : { numClasses: classes };
  if (!model.endsWith(".json")) {
    return { name: model, options: { ...presetNamed(model).options, ...ownClasses } };
  }
  const settings = parse(model, new TextDecoder().decode(await readFileBytes(model)));
  const { preset, ...own } = settings;
  const base = preset === undefined ? {} : presetNamed(String(preset)).options;
  const known = Object.keys(moeVitConfig());
  const unknown = Object.keys(own).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new ShapeError(
      `${model}: there is no setting ${JSON.stringify(unknown)}; there are preset, ${
        known.join(", ")
      }`,
    );
  }
  return { name: basename(model), options: { ...base, ...own, ...ownClasses } };
}

function parse(file: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${file}: this is no JSON: ${(cause as Error).message}`, { cause });
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new CheckpointError(`${file}: needs an object of settings, { "preset": …, … }`);
  }
  return value as Record<string, unknown>;
}
