/**
 * An open file as a source of bytes (Deno and Node only).
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { CheckpointError } from "../engine/errors.ts";
import type { ByteSource } from "./byte_source.ts";
import { fileError, type FileErrorClass } from "./file_error.ts";

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
