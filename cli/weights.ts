/**
 * Weights between files and models.
 * @module
 */
import { type NamedArray, namedArray, toFloat32 } from "../io/mod.ts";
import { loadSafetensorsFile, saveSafetensorsFile } from "../io/files.ts";
import type { Module, StateDict, StateEntry } from "../nn/mod.ts";

/** A model's state from a file's arrays, as f32. */
export function stateOf(arrays: ReadonlyMap<string, NamedArray>): Map<string, StateEntry> {
  return new Map(
    [...arrays].map(([name, array]) => [name, { shape: array.shape, data: toFloat32(array) }]),
  );
}

/** A file's arrays from a model's state, sharing its memory. */
export function arraysOf(state: StateDict): Map<string, NamedArray> {
  return new Map([...state].map(([name, { data, shape }]) => [name, namedArray(data, shape)]));
}

/** Reads weights. @throws {CheckpointError} the file cannot be read, is truncated or no safetensors file */
export async function loadWeights(path: string): Promise<StateDict> {
  return stateOf((await loadSafetensorsFile(path)).tensors);
}

/** Writes a model's weights in one step. @throws {CheckpointError} the disk is full and the like */
export async function saveWeights(path: string, model: Module): Promise<void> {
  await saveSafetensorsFile(path, arraysOf(await model.stateDict()), [["format", "pt"]]);
}
