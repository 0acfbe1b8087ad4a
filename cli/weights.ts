/**
 * Weights between files and models.
 * @module
 */
import { namedArray } from "../io/mod.ts";
import { loadSafetensorsFile, saveSafetensorsFile } from "../io/files.ts";
import type { Module, StateDict, StateSource } from "../nn/mod.ts";
import { arraysOf, stateOf } from "./state_arrays.ts";
import { PROJECT_ROOT } from "./system.ts";

/** The committed weights of MCGaze, of its preset `mcgaze_small`. */
export const GAZE_WEIGHTS = `${PROJECT_ROOT}weights/mcgaze_small.safetensors`;

/** Reads weights. @throws {CheckpointError} the file cannot be read, is truncated or no safetensors file */
export async function loadWeights(path: string): Promise<StateDict> {
  return stateOf((await loadSafetensorsFile(path)).tensors);
}

/**
 * Writes a model's weights in one step.
 * @param notes metadata besides the format
 * @throws {CheckpointError} the disk is full and the like
 */
export async function saveWeights(
  path: string,
  model: Module,
  notes: readonly (readonly [name: string, text: string])[] = [],
): Promise<void> {
  const metadata = [["format", "pt"] as const, ...notes];
  await saveSafetensorsFile(path, arraysOf(await model.stateDict()), metadata);
}

/**
 * Writes weights in one step, each read when its turn comes: the host holds one tensor.
 * @param onTensor called after each tensor with how many are written, and how many there are
 * @returns bytes of the file
 * @throws {CheckpointError} the disk is full and the like
 */
export async function saveSource(
  path: string,
  source: StateSource,
  onTensor?: (done: number, total: number) => void,
): Promise<number> {
  let done = 0;
  const tensors = [...source.shapes].map(([name, shape]) => {
    const fetch = async () => {
      const { data } = namedArray(await source.read(name), shape);
      onTensor?.(++done, source.shapes.size);
      return data;
    };
    return [name, { dtype: "F32", shape, data: fetch }] as const;
  });
  return await saveSafetensorsFile(path, tensors, [["format", "pt"]]);
}
