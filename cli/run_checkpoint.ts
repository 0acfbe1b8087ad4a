/**
 * Saving and resuming a training run of the command line.
 * @module
 */
import { CheckpointError } from "../engine/mod.ts";
import type { JsonObject } from "../io/mod.ts";
import { loadCheckpointFile, saveCheckpointFile } from "../io/files.ts";
import {
  type AccuracyAt,
  restoreRun,
  runCheckpoint,
  type RunHistory,
  type RunParts,
} from "./run_state.ts";

export type { AccuracyAt, RunHistory, RunParts };

/** Writes a checkpoint in one step; the one before stays as `.prev`. */
export async function saveRun<E extends JsonObject>(
  path: string,
  step: number,
  parts: RunParts,
  history: RunHistory<E>,
): Promise<void> {
  await saveCheckpointFile(path, await runCheckpoint(step, parts, history));
}

/** Removes a checkpoint and the one before it, when the run is over. */
export async function removeRun(path: string): Promise<void> {
  for (const name of [path, `${path}.prev`]) await Deno.remove(name).catch(() => {});
}

/**
 * Puts a run back where its checkpoint stood.
 * @returns the step to go on with, and the curves so far
 * @throws {CheckpointError} it cannot be read or is damaged, or is of another configuration, seed, data set or model
 */
export async function resumeRun<E extends JsonObject>(
  path: string,
  parts: RunParts,
): Promise<{ step: number; history: RunHistory<E> }> {
  try {
    return restoreRun<E>(await loadCheckpointFile(path), parts);
  } catch (cause) {
    const why = (cause as Error).message;
    const named = why.includes(path) ? why : `${path}: ${why}`;
    throw new CheckpointError(`${named}; or remove it to start anew`, { cause });
  }
}
