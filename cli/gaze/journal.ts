/**
 * What a run of `wgrad gaze` has finished, line by line as JSON, so that a run that was stopped, killed or ended by a broken
 * input goes on: `gaze.jsonl`.
 *
 *     { "settings": … }                                       first: what the results depend on besides the frames
 *     { "frame": 3, "digest": "…", "heads": 1, "faces": … }   a frame came; faces: where the detector was asked
 *     { "frame": 3, "person": 0, "gaze": …, … }               where a person looks, final: no later frame changes it
 *
 * Going on means that the frames are decoded again from the first, which is quick, and compared by their digests; what was
 * found out about them is taken from here, and only clips with a frame that is not finished are shown to the model. So the
 * results are those of a run that was never stopped. A line that was cut off at the end, and what stands behind it, goes.
 * @module
 */
import { readFile } from "node:fs/promises";
import type { Box, Picture } from "../../data/gaze/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import type { GazeRow } from "./rows.ts";

/** A frame that came. */
export interface SeenFrame {
  readonly frame: number;
  /** `frameDigest` of it. */
  readonly digest: string;
  /** How many heads it has. */
  readonly heads: number;
  /** Where the detector found faces; absent where it was not asked. */
  readonly faces?: readonly Box[];
}

/** Tells a decoded frame from another; "unreadable" for one that is not there. */
export async function frameDigest(picture: Picture | null): Promise<string> {
  if (picture === null) return "unreadable";
  const { height, width, data } = picture;
  const hash = await crypto.subtle.digest("SHA-256", new Uint8Array(data));
  return `${width}x${height}:${new Uint8Array(hash).toHex()}`;
}

/** The journal of a run. */
export class GazeJournal implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #frames = new Map<number, SeenFrame>();
  readonly #rows = new Map<number, Map<number, GazeRow>>();

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /**
   * Opens a journal to go on with, where it is one of the same settings; otherwise, and without settings, begins a new one.
   * @throws {Error} of the file system
   */
  static async open(path: string, settings: JsonObject | undefined): Promise<GazeJournal> {
    const head = JSON.stringify({ settings: settings ?? null });
    const text = settings === undefined ? "" : await readFile(path, "utf8").catch(() => "");
    const lines = text.split("\n").slice(0, -1); // behind the last end of line nothing is whole
    const goesOn = lines[0] === head;
    const file = await Deno.open(path, { write: true, create: true, truncate: !goesOn });
    const journal = new GazeJournal(file);
    if (!goesOn) {
      await journal.#write(head);
      return journal;
    }
    let kept = byteLength(head);
    for (const line of lines.slice(1)) {
      if (!journal.#take(line)) break;
      kept += byteLength(line);
    }
    await file.truncate(kept);
    await file.seek(kept, Deno.SeekMode.Start);
    return journal;
  }

  /** How many frames came before this run. */
  get known(): number {
    return this.#frames.size;
  }

  /** The rows so far, in the order of their frames. */
  get rows(): GazeRow[] {
    return [...this.#rows.values()].flatMap((rows) => [...rows.values()]);
  }

  /** A frame that came already. */
  frame(frame: number): SeenFrame | undefined {
    return this.#frames.get(frame);
  }

  /** The row of a person in a frame where it is final already. */
  row(frame: number, person: number): GazeRow | undefined {
    return this.#rows.get(frame)?.get(person);
  }

  /** Whether a frame came and all of its heads have their rows. */
  finished(frame: number): boolean {
    return this.#frames.get(frame)?.heads === (this.#rows.get(frame)?.size ?? 0);
  }

  /** Notes a frame, before any row of it. */
  async addFrame(seen: SeenFrame): Promise<void> {
    this.#frames.set(seen.frame, seen);
    await this.#write(JSON.stringify(seen));
  }

  /** Notes a final row. */
  async addRow(row: GazeRow): Promise<void> {
    this.#note(row);
    await this.#write(JSON.stringify(row));
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  /** Takes a line of before; false: it is none. */
  #take(line: string): boolean {
    try {
      const entry = JSON.parse(line);
      if ("digest" in entry) this.#frames.set(entry.frame, entry);
      else if (entry.gaze.length === 3 && this.#frames.has(entry.frame)) this.#note(entry);
      else return false;
      return true;
    } catch {
      return false;
    }
  }

  #note(row: GazeRow): void {
    const rows = this.#rows.get(row.frame) ?? new Map();
    this.#rows.set(row.frame, rows.set(row.person, row));
  }

  async #write(line: string): Promise<void> {
    const bytes = new TextEncoder().encode(line + "\n");
    for (let done = 0; done < bytes.length;) done += await this.#file.write(bytes.subarray(done));
  }
}

/** Bytes of a line with its end. */
function byteLength(line: string): number {
  return new TextEncoder().encode(line).length + 1;
}
