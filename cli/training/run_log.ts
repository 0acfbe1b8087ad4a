/**
 * A run's log: a JSON object a line, for steps and for measurements, in the order in which they happen.
 *
 *     {"step":10,"loss":2.301,"lr":0.0004,"imagesPerSecond":210}
 *     {"step":80,"accuracy":0.71,"temperatures":[[0.49,0.5]]}
 * @module
 */
import { CheckpointError } from "../../engine/mod.ts";
import type { JsonObject } from "../../io/mod.ts";

/** Writes lines to a file. */
export class RunLog {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Starts a log, or goes on with one: lines of steps that a resumed run takes again are removed.
   * @param step the step that the run goes on after
   * @throws {CheckpointError} it cannot be written
   */
  static async open(path: string, step: number): Promise<RunLog> {
    const old = step === 0 ? "" : await Deno.readTextFile(path).catch(() => "");
    const kept = old.split("\n").filter((line) => stepOf(line) <= step);
    await guarded(path, () => Deno.writeTextFile(path, kept.map((line) => `${line}\n`).join("")));
    return new RunLog(path);
  }

  /** Adds a line. @throws {CheckpointError} it cannot be written */
  async write(entry: JsonObject): Promise<void> {
    const line = JSON.stringify(entry) + "\n";
    await guarded(this.#path, () => Deno.writeTextFile(this.#path, line, { append: true }));
  }
}

/** The step of a line; Infinity where a kill cut it off. */
function stepOf(line: string): number {
  try {
    return JSON.parse(line).step ?? Infinity;
  } catch {
    return Infinity;
  }
}

async function guarded(path: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    throw new CheckpointError(`cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}
