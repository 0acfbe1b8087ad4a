/**
 * Downloads kept in a folder (Deno and Node only).
 * @module
 */
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { CheckpointError } from "../engine/errors.ts";
import { writeFileAtomic } from "./atomic_write.ts";
import type { DownloadStore } from "./download.ts";
import { codeOf } from "./file_error.ts";
import { type FileSource, openFileSource } from "./file_source.ts";

/**
 * Keeps downloads as files that are named by their hash; a file is there whole or not at all.
 * @param folder default `wgrad/downloads` in `$XDG_CACHE_HOME`, `%LOCALAPPDATA%` or `~/.cache`
 * @example
 * ```ts ignore
 * await using file = await downloadWeights(url, { sha256, store: fileStore() });
 * ```
 */
export function fileStore(
  folder: string = join(cacheFolder(), "wgrad", "downloads"),
): DownloadStore {
  return {
    label: folder,
    async open(sha256): Promise<FileSource | null> {
      try {
        return await openFileSource(join(folder, sha256));
      } catch (error) {
        const code = error instanceof Error ? codeOf(error.cause) : undefined;
        if (code === "ENOENT" || code === "ENOTDIR") return null;
        throw error;
      }
    },
    async keep(sha256, chunks): Promise<void> {
      await writeFileAtomic(join(folder, sha256), chunks, { errorClass: CheckpointError });
    },
  };
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  return XDG_CACHE_HOME || LOCALAPPDATA || join(homedir(), ".cache");
}
