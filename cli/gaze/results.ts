/**
 * What `wgrad gaze` writes into its folder. While it runs: `gaze.csv`, a row for each person in each frame as soon as it is
 * final, `frames/`, the overlays, and `gaze.jsonl` (journal.ts), from which a run that was stopped goes on. At the end
 * `gaze.json` and `gaze.csv` are written in one step, in the order of frames, and `gaze.jsonl` goes if the run is complete.
 * @module
 */
import { join } from "node:path";
import { DataError } from "../../engine/errors.ts";
import { fileError } from "../../io/file_error.ts";
import { writeFileAtomic } from "../../io/files.ts";
import type { JsonObject } from "../../io/mod.ts";
import { GazeJournal } from "./journal.ts";
import { COLUMNS, csvLine, gazeCsv, type GazeFacts, gazeJson, type GazeRow } from "./rows.ts";

/** The files of a run. */
export class GazeResults implements Disposable {
  /** What is finished. */
  readonly journal: GazeJournal;
  readonly #folder: string;
  readonly #csv: Deno.FsFile;
  readonly #rows: GazeRow[];
  /** Frames whose overlay a run before has written. */
  readonly #drawn: ReadonlySet<number>;

  private constructor(
    folder: string,
    parts: { journal: GazeJournal; csv: Deno.FsFile; drawn: ReadonlySet<number> },
  ) {
    this.#folder = folder;
    this.journal = parts.journal;
    this.#csv = parts.csv;
    this.#drawn = parts.drawn;
    this.#rows = parts.journal.rows;
  }

  /**
   * Begins the files in a folder, which is made. Those of a run before go, but for what a run with the same settings had
   * finished before it was stopped.
   * @param settings what the results depend on besides the frames; undefined: nothing is gone on with
   * @throws {DataError} the folder cannot be written
   */
  static async begin(folder: string, settings?: JsonObject): Promise<GazeResults> {
    try {
      await Deno.mkdir(join(folder, "frames"), { recursive: true });
      const journal = await GazeJournal.open(join(folder, "gaze.jsonl"), settings);
      for (const name of ["gaze.json", "gaze.webp"]) {
        await Deno.remove(join(folder, name)).catch(() => {}); // none is there
      }
      const drawn = new Set<number>();
      for await (const { name } of Deno.readDir(join(folder, "frames"))) {
        if (!/^\d{6,}\.png$/.test(name)) continue;
        const frame = parseInt(name);
        if (journal.finished(frame)) drawn.add(frame);
        else await Deno.remove(join(folder, "frames", name));
      }
      const fresh = { write: true, create: true, truncate: true };
      const csv = await Deno.open(join(folder, "gaze.csv"), fresh);
      await append(csv, [COLUMNS, ...journal.rows.map(csvLine)].join("\n"));
      return new GazeResults(folder, { journal, csv, drawn });
    } catch (cause) {
      throw fileError(DataError, "write", folder, cause);
    }
  }

  /** The rows so far, as they came. */
  get rows(): readonly GazeRow[] {
    return this.#rows;
  }

  /**
   * Adds rows to the files.
   * @param final no later frame could change them
   * @throws {DataError} the disk is full and the like
   */
  async add(rows: readonly GazeRow[], final: boolean): Promise<void> {
    this.#rows.push(...rows);
    try {
      for (const row of rows) {
        await append(this.#csv, csvLine(row));
        if (final) await this.journal.addRow(row);
      }
    } catch (cause) {
      throw fileError(DataError, "write", this.#folder, cause);
    }
  }

  /** The path of a frame's overlay that a run before has written; undefined: it is to be drawn. */
  drawn(frame: number): string | undefined {
    return this.#drawn.has(frame) ? this.#picturePath(frame) : undefined;
  }

  /** Writes an overlay. @returns its path @throws {DataError} the disk is full and the like */
  async picture(frame: number, png: Uint8Array): Promise<string> {
    const path = this.#picturePath(frame);
    await writeFileAtomic(path, png);
    return path;
  }

  #picturePath(frame: number): string {
    return join(this.#folder, "frames", `${String(frame).padStart(6, "0")}.png`);
  }

  /** Writes the whole in its final form; what is not complete can be gone on with. @throws {DataError} the disk is full and the like */
  async finish(facts: GazeFacts): Promise<void> {
    await writeFileAtomic(join(this.#folder, "gaze.json"), gazeJson(facts, this.#rows));
    await writeFileAtomic(join(this.#folder, "gaze.csv"), gazeCsv(this.#rows));
    if (facts.complete) await Deno.remove(join(this.#folder, "gaze.jsonl"));
  }

  /** Removes the files again: nothing was found that they could tell. */
  async discard(): Promise<void> {
    for (const name of ["gaze.csv", "gaze.jsonl", "frames"]) {
      await Deno.remove(join(this.#folder, name), { recursive: true });
    }
  }

  /** Closes the files. */
  [Symbol.dispose](): void {
    this.#csv.close();
    this.journal[Symbol.dispose]();
  }
}

async function append(file: Deno.FsFile, line: string): Promise<void> {
  const bytes = new TextEncoder().encode(line + "\n");
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}
