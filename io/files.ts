/**
 * Weights and checkpoints on disk (Deno and Node only; `io/mod.ts` holds what browsers can use).
 * @module
 */
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { CheckpointError } from "../engine/errors.ts";
import { writeFileAtomic, type WriteFileOptions } from "./atomic_write.ts";
import type { ByteSource } from "./byte_source.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import { fileError, type FileErrorClass } from "./file_error.ts";
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

/** What is used of Node's `FileHandle`, whose type programs for browsers do not have. */
export interface OpenFile {
  /** Reads at most `length` bytes from `position` of the file on, into `buffer` from `offset` on. */
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>;
  /** Closes the file. */
  close(): Promise<void>;
}

/** An open file that hands out ranges of its bytes. */
export class FileSource implements ByteSource, AsyncDisposable {
  readonly #file: OpenFile;
  readonly #errorClass: FileErrorClass;

  /** Use `openFileSource`. */
  constructor(
    file: OpenFile,
    readonly label: string,
    readonly size: number,
    errorClass: FileErrorClass,
  ) {
    this.#file = file;
    this.#errorClass = errorClass;
  }

  /**
   * Reads `length` bytes from `offset` on; fewer where the file ends.
   * @throws {CheckpointError} (or the class given to `openFileSource`) the file system refuses
   */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let at = 0;
    try {
      while (at < length) {
        const { bytesRead } = await this.#file.read(bytes, at, length - at, offset + at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
    } catch (cause) {
      throw fileError(this.#errorClass, "read", this.label, cause);
    }
    return bytes.subarray(0, at);
  }

  /** Closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/**
 * Opens a file for reading ranges of it, such as a safetensors file tensor by tensor.
 * @example
 * ```ts ignore
 * await using source = await openFileSource("model.safetensors");
 * const reader = await SafetensorsReader.open(source);
 * ```
 * @param errorClass class of the errors that the file system causes; default `CheckpointError`
 * @throws {CheckpointError} (or `errorClass`) there is no such file, it is a folder, or it may not be read
 */
export async function openFileSource(
  path: string,
  errorClass: FileErrorClass = CheckpointError,
): Promise<FileSource> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const info = await file.stat();
    if (!info.isFile()) throw new errorClass(`cannot read ${path}: it is not a file`);
    return new FileSource(file, path, info.size, errorClass);
  } catch (cause) {
    await file?.close();
    throw fileError(errorClass, "read", path, cause);
  }
}

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
