/**
 * Writing files so that the final name never holds half of one (Deno and Node only).
 *
 * The bytes go to a temporary file in the same folder, are forced to the disk, and only then take the final name in one
 * step. Whatever happens before that step, a full disk, Ctrl-C or a power cut, the old file stays as it was.
 * @module
 */
import {
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { DataError } from "../engine/errors.ts";
import { codeOf, fileError, type FileErrorClass } from "./file_error.ts";
import { openTemporary, sweepTemporaries, type TemporaryFile } from "./temporary_file.ts";

/** The bytes of a file: at once, or in chunks that are fetched one by one. */
export type FileChunks = Uint8Array | string | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Options of `writeFileAtomic`. */
export interface WriteFileOptions {
  /** Class of the errors that the file system causes. Default `DataError`. */
  readonly errorClass?: FileErrorClass;
  /** Keep the file that is replaced as `<path>.prev`. Default false. */
  readonly keepPrevious?: boolean;
}

/** Temporary files of the writes under way. */
const unfinished = new Set<string>();

/**
 * Writes a file in one step, making its folder where there is none. A symbolic link stays one: its target is replaced.
 *
 * An error of the chunks' source (a lost device, an interrupt) passes through as it is; the temporary file is removed
 * and the old file untouched then too. Only a killed process leaves its `<name>.<8 digits>.tmp` behind, which the next
 * write to that name removes; a program that ends at once by its own will calls `discardUnfinished` first. In Node and on
 * Windows, where nobody can tell whether its writer lives, it ends in `.unlocked.tmp` and stays until it is deleted by hand.
 * @returns how many bytes were written
 * @throws {DataError} (or `errorClass`) the disk is full, the folder is not writable and the like; names path and cause
 */
export async function writeFileAtomic(
  path: string,
  chunks: FileChunks,
  options: WriteFileOptions = {},
): Promise<number> {
  const { errorClass = DataError, keepPrevious = false } = options;
  const guard = guardFor(path, errorClass);
  const { target, temporary } = await placesOf(path, guard);
  try {
    const bytes = await writeAndClose(temporary.file, chunks, guard);
    if (keepPrevious) await guard(keepAsPrevious(target, temporary.path));
    await guard(rename(temporary.path, target));
    await syncFolder(dirname(target));
    return bytes;
  } catch (error) {
    await rm(temporary.path, { force: true }).catch(() => {}); // the first error is the one that tells why
    throw error;
  } finally {
    end(temporary);
  }
}

/**
 * Checks now that `writeFileAtomic` could write a file later: makes its folder, and an empty temporary file there that
 * is removed at once. For programs that would otherwise learn of a wrong path after minutes of work.
 * @throws {DataError} the path is a folder, its folder is a file or read-only, and the like; names path and cause
 */
export async function checkWritable(path: string): Promise<void> {
  const guard = guardFor(path, DataError);
  const { target, temporary } = await placesOf(path, guard);
  try {
    await writeAndClose(temporary.file, "", guard);
  } finally {
    await rm(temporary.path, { force: true }).catch(() => {});
    end(temporary);
  }
  if (await stat(target).then((info) => info.isDirectory(), () => false)) {
    throw new DataError(`cannot write ${path}: it is a folder; name a file`);
  }
}

/** Removes the temporary files of all writes under way, for a program that ends before they are finished. */
export function discardUnfinished(): void {
  for (const temporary of unfinished) {
    for (const path of [temporary, previousOf(temporary)]) rmSync(path, { force: true });
  }
}

/** Gives the errors of the file system their type and the path; those of the chunks' source stay as they are. */
type Guard = <T>(work: Promise<T>) => Promise<T>;

function guardFor(path: string, errorClass: FileErrorClass): Guard {
  return (work) =>
    work.catch((cause) => {
      throw fileError(errorClass, "write", path, cause);
    });
}

/** Where the bytes end up, and a new file that they go to first; the folder is made, and rid of what was left there. */
async function placesOf(
  path: string,
  guard: Guard,
): Promise<{ target: string; temporary: TemporaryFile }> {
  const target = await realpath(path).catch(() => path);
  await guard(mkdir(dirname(target), { recursive: true }));
  await sweepTemporaries(target);
  const temporary = await guard(openTemporary(target));
  unfinished.add(temporary.path);
  return { target, temporary };
}

/** The temporary file has another name or is gone. */
function end(temporary: TemporaryFile): void {
  temporary.release();
  unfinished.delete(temporary.path);
}

/** Writes a file and has the system put it on the disk: renaming comes first otherwise, and a crash leaves zeros. */
async function writeAndClose(file: FileHandle, chunks: FileChunks, guard: Guard): Promise<number> {
  let bytes = 0;
  try {
    for await (const chunk of asChunks(chunks)) {
      await guard(writeAll(file, chunk));
      bytes += chunk.byteLength;
    }
    await guard(file.sync());
  } finally {
    await guard(file.close());
  }
  return bytes;
}

function asChunks(chunks: FileChunks): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (typeof chunks === "string") return [new TextEncoder().encode(chunks)];
  return chunks instanceof Uint8Array ? [chunks] : chunks;
}

/** One `write` may take only a part, as on a disk that is nearly full. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, null);
    at += bytesWritten;
  }
}

/** Makes `<target>.prev` the file that `target` is now, while `target` itself never goes away. */
async function keepAsPrevious(target: string, temporary: string): Promise<void> {
  const second = previousOf(temporary);
  try {
    try {
      await link(target, second);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return; // the first write: there is nothing to keep
      await copyFile(target, second); // a file system without hard links
    }
    await rename(second, `${target}.prev`);
  } finally {
    await rm(second, { force: true });
  }
}

/** The second name of the file that is replaced, until it takes its own. */
function previousOf(temporary: string): string {
  return `${temporary}.prev`;
}

/** Puts the new name itself on the disk; where folders cannot be synced (Windows) the system decides when. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // The file has its final name already: a failure here must not be reported as a failed write.
  }
}
