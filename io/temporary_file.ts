/**
 * Temporary files of writers, and sweeping up after writers that were killed (Deno and Node only).
 *
 * A writer holds a lock on its temporary file. The system takes the lock back when the process ends, in whatever way it
 * ends; so a file that can be locked has lost its writer and is removed before the next write to the same name. Process
 * numbers would not do: they are used again, and mean nothing in another container that shares the folder.
 *
 * Node and Windows have no such locks. There the files have another ending, and nobody removes them.
 * @module
 */
import { type FileHandle, open, readdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const LOCKS = "Deno" in globalThis && Deno.build.os !== "windows";
const ENDING = LOCKS ? "tmp" : "unlocked.tmp";

/** A new file beside the one that it will become. */
export interface TemporaryFile {
  /** Its name, `<target>.<8 digits>.tmp`. */
  readonly path: string;
  /** Open for writing; its user closes it. */
  readonly file: FileHandle;
  /** Gives up the lock, once the file has another name or is gone. */
  release(): void;
}

/** Makes a temporary file for `target` in the same folder. Rejects as `open` does. */
export async function openTemporary(target: string): Promise<TemporaryFile> {
  while (true) {
    const digits = crypto.randomUUID().slice(0, 8);
    const path = join(dirname(target), `${basename(target)}.${digits}.${ENDING}`);
    const file = await open(path, "wx");
    const lock = await openLocked(path, "wait");
    if (await exists(path)) return { path, file, release: () => lock?.close() };
    lock?.close(); // another writer swept it up between `open` and the lock
    await file.close();
  }
}

/** Removes the temporary files for `target` whose writers are gone. Never rejects: the write itself tells what is wrong. */
export async function sweepTemporaries(target: string): Promise<void> {
  if (!LOCKS) return;
  const folder = dirname(target), name = `${basename(target)}.`;
  for (const entry of await readdir(folder).catch(() => [])) {
    const [, own, previous] = /^([0-9a-f]{8}\.tmp)(\.prev)?$/.exec(
      entry.startsWith(name) ? entry.slice(name.length) : "",
    ) ?? [];
    if (own === undefined) continue;
    // What becomes `.prev` is not locked itself: it is a link to the file that is being replaced.
    const path = join(folder, name + own);
    const lock = await openLocked(path, "null");
    const gone = lock !== null || (previous !== undefined && !await exists(path));
    if (gone) await rm(join(folder, entry), { force: true }).catch(() => {});
    lock?.close();
  }
}

/** The file with a lock on it; null where there is no such file, it is locked, or the file system has no locks. */
async function openLocked(path: string, otherwise: "wait" | "null"): Promise<Deno.FsFile | null> {
  if (!LOCKS) return null;
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(path, { read: true, write: true });
    if (otherwise === "wait") await file.lock(true);
    else if (!await file.tryLock(true)) throw new Error("it is locked");
    return file;
  } catch {
    file?.close();
    return null;
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}
