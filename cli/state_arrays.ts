/**
 * Weights of models and arrays of files are turned into each other. It knows no file system, so pages use it too.
 * @module
 */
import { type NamedArray, namedArray, toFloat32 } from "../io/mod.ts";
import type { StateDict, StateEntry } from "../nn/mod.ts";

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
