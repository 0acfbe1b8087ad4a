/**
 * What the experiment leaves behind: a JSON file for each finished training, from which tables and plots are made.
 * @module
 */
import type { GazeErrors } from "../../data/gaze/mod.ts";
import { DataError } from "../../engine/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import type { GazeEvaluation } from "../gaze/evaluate.ts";
import type { GazeAt } from "../gaze/trainer.ts";
import type { ArmName } from "./arms.ts";

/** A finished training. */
export interface TrainingResult {
  readonly seed: number;
  /** Errors along the way on clips of the validation split; the last point is of the end. */
  readonly evaluations: readonly GazeAt[];
  /** Training loss of each step. */
  readonly losses: readonly number[];
  /** Learned numbers of the model. */
  readonly parameters: number;
  /** Wall time of training without evaluations; other work on the machine counts in. */
  readonly seconds: number;
  readonly adapter: string;
  readonly runtime: string;
  readonly date: string;
  /** Model, recipe and data: a training with others is another. */
  readonly config: JsonObject;
  /** At the end, on clips of the test split. */
  readonly evaluation: GazeEvaluation;
}

/** A finished run of an arm. */
export interface RunResult extends TrainingResult {
  readonly arm: ArmName;
  /** How many clips of the test split those are. */
  readonly testClips: number;
  /** On the same clips: answers that look at no eye. */
  readonly baselines: Baselines;
}

/** Errors of answers that look at no eye. */
export interface Baselines {
  /** Always the mean gaze of the training clips. */
  readonly constant: GazeErrors;
  /** Where the head truly points. */
  readonly headPose: GazeErrors;
}

/**
 * A result that a file holds; null where there is no file.
 * @throws {DataError} it is damaged
 */
export async function readResult<R extends TrainingResult>(path: string): Promise<R | null> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${path}: it is no JSON; remove it to repeat that training`, { cause });
  }
}

/** The same, of a training with these settings. @throws {DataError} it is damaged, or of other settings */
export async function readFinished<R extends TrainingResult>(
  path: string,
  config: JsonObject,
): Promise<R | null> {
  const result = await readResult<R>(path);
  if (result === null) return null;
  const differences = differencesOf(result.config, config);
  if (differences.length === 0) return result;
  throw new DataError(
    `${path}: it is of a training with other settings (${
      differences.join("; ")
    }); choose another --out`,
  );
}

/** Where two settings differ, by the names that lead there. */
function differencesOf(was: JsonObject, is: JsonObject, prefix = ""): string[] {
  const isObject = (value: unknown): value is JsonObject =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].flatMap((key) => {
    const a = was[key], b = is[key];
    if (isObject(a) && isObject(b)) return differencesOf(a, b, `${prefix}${key}.`);
    const [before, now] = [JSON.stringify(a), JSON.stringify(b)];
    return before === now ? [] : [`${prefix}${key} ${before}, here ${now}`];
  });
}

/** All finished runs of a folder. @throws {DataError} a file is damaged */
export async function readRuns(out: string): Promise<RunResult[]> {
  const runs: RunResult[] = [];
  try {
    for await (const { name } of Deno.readDir(`${out}/runs`)) {
      if (!name.endsWith(".json")) continue;
      const run = await readResult<RunResult>(`${out}/runs/${name}`);
      if (run !== null) runs.push(run);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return runs.sort((a, b) => a.seed - b.seed);
}
