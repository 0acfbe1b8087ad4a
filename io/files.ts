/**
 * Weights and checkpoints on disk (Deno and Node only; `io/mod.ts` holds what browsers can use).
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { CheckpointError } from "../engine/errors.ts";
import { writeFileAtomic, type WriteFileOptions } from "./atomic_write.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import { fileError, type FileErrorClass } from "./file_error.ts";
import { openFileSource } from "./file_source.ts";
import { readSafetensors, type SafetensorsContent } from "./safetensors.ts";
import {
  type MetadataToWrite,
  streamSafetensors,
  type TensorsToWrite,
  type TensorToWrite,
} from "./safetensors_write.ts";

export {
  checkWritable,
  discardUnfinished,
  type FileChunks,
  writeFileAtomic,
  type WriteFileOptions,
} from "./atomic_write.ts";
export type { FileErrorClass } from "./file_error.ts";
export { FileSource, type OpenFile, openFileSource } from "./file_source.ts";
export { fileStore } from "./file_store.ts";

/**
 * Reads a whole file.
 * @param errorClass class of the errors that the file system causes; default `CheckpointError`
 * @throws {CheckpointError} (or `errorClass`) there is no such file, it is a folder, or it may not be read
 */
export async function readFileBytes(
  path: string,
  errorClass: FileErrorClass = CheckpointError,
): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw fileError(errorClass, "read", path, cause);
  }
}

/**
 * Reads a safetensors file with all its tensors.
 * @throws {CheckpointError} the file cannot be read, is truncated, hostile, or no safetensors file
 */
export async function loadSafetensorsFile(path: string): Promise<SafetensorsContent> {
  await using source = await openFileSource(path);
  return await readSafetensors(source);
}

/**
 * Writes a safetensors file in one step (see `writeFileAtomic`). A tensor whose `data` is a function is fetched when its
 * turn comes, so that only one is held at a time.
 * @returns how many bytes were written
 * @throws {CheckpointError} the disk is full and the like, or a tensor that a file cannot hold; the old file is untouched
 */
export function saveSafetensorsFile(
  path: string,
  tensors: TensorsToWrite,
  metadata: MetadataToWrite = [],
  options: Omit<WriteFileOptions, "errorClass"> = {},
): Promise<number> {
  return writeFileAtomic(path, streamSafetensors(tensors, metadata), {
    ...options,
    errorClass: CheckpointError,
  });
}

/**
 * Reads a training checkpoint.
 * @throws {CheckpointError} the file cannot be read, is damaged, or no wgrad checkpoint; names the previous checkpoint
 * where there is one
 */
export async function loadCheckpointFile(path: string): Promise<Checkpoint> {
  try {
    return decodeCheckpoint(await loadSafetensorsFile(path), path);
  } catch (error) {
    const previous = `${path}.prev`;
    if (!(error instanceof CheckpointError) || !await exists(previous)) throw error;
    throw new CheckpointError(
      `${error.message}; the checkpoint before it is ${previous}: rename it to go on from there`,
      { cause: error },
    );
  }
}

/**
 * Writes a training checkpoint in one step, keeping the one it replaces as `<path>.prev`: after a crash at any moment
 * `path` is a whole checkpoint, and a checkpoint of a run gone wrong has not erased the one before.
 * @returns how many bytes were written
 * @throws {CheckpointError} the disk is full and the like, or a field of the state is wrong; the old file is untouched
 */
export async function saveCheckpointFile(
  path: string,
  checkpoint: Checkpoint<TensorToWrite>,
  options: Omit<WriteFileOptions, "errorClass"> = {},
): Promise<number> {
  const { tensors, metadata } = encodeCheckpoint(checkpoint);
  return await saveSafetensorsFile(path, tensors, metadata, { keepPrevious: true, ...options });
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}
