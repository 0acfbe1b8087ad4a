/**
 * A log of JSON lines, written as a run goes on, so that it can be watched and drawn while it runs.
 * @module
 */
import type { JsonObject } from "../../io/mod.ts";

/** An open log. */
export class RunLog implements Disposable {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Starts a log anew with what is known of the run so far. */
  static async open(path: string, before: readonly JsonObject[]): Promise<RunLog> {
    const file = await Deno.open(path, { write: true, create: true, truncate: true });
    const log = new RunLog(file);
    for (const line of before) await log.write(line);
    return log;
  }

  /** Adds a line. */
  async write(line: JsonObject): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(line) + "\n");
    for (let done = 0; done < bytes.length;) done += await this.#file.write(bytes.subarray(done));
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}
