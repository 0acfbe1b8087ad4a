/**
 * Progress of long work: a bar that redraws in a terminal, a line now and then in a log.
 * @module
 */

/** Where a bar is drawn and how wide; tests pass their own. */
export interface ProgressTarget {
  write(text: string): void;
  /** True when a line can be redrawn. */
  readonly interactive: boolean;
  readonly columns: number;
}

const encoder = new TextEncoder();

/** Standard error, so that standard output stays clean for results. */
export const STDERR: ProgressTarget = {
  write: (text) => {
    try {
      Deno.stderr.writeSync(encoder.encode(text));
    } catch {
      // Nobody reads it any more (`2>&1 | head`): the work goes on without a bar.
    }
  },
  get interactive() {
    return Deno.stderr.isTerminal();
  },
  get columns() {
    try {
      return Deno.consoleSize().columns;
    } catch {
      return 100;
    }
  },
};

/** True while a bar stands on a line of its own that has no end yet. */
let open = false;

/** Ends the line of a bar that will not be drawn again, so that a message starts on a new one. */
export function endBar(target: ProgressTarget = STDERR): void {
  if (open) target.write("\n");
  open = false;
}

/** Milliseconds between redraws of a bar, and between lines of a log. */
const REDRAW = 100, LOG = 15_000;

/** One bar: `label ██████░░░░ 120/320  loss 1.234  210 images/s  1m20s left`. */
export class Progress {
  #done = 0;
  #last = -Infinity; // the first update is shown at once
  readonly #start: number;
  constructor(
    private readonly label: string,
    private readonly total: number,
    /** What was done before; it counts for the bar, not for the time left. */
    private readonly before = 0,
    private readonly target: ProgressTarget = STDERR,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#start = now();
  }

  /** Moves the bar; `details` stand behind the count. */
  update(done: number, details = ""): void {
    this.#done = done;
    const now = this.now();
    const { interactive } = this.target;
    if (done >= this.total && !interactive) return; // finish() writes that line
    if (done < this.total && now - this.#last < (interactive ? REDRAW : LOG)) return;
    this.#last = now;
    this.#draw(details, now);
  }

  /** Ends the bar with a closing remark on its line. */
  finish(details = ""): void {
    this.#draw(details, this.now(), true);
  }

  #draw(details: string, now: number, end = false): void {
    const seconds = (now - this.#start) / 1000;
    const fresh = this.#done - this.before;
    const left = fresh > 0 ? seconds / fresh * (this.total - this.#done) : NaN;
    const time = end
      ? `in ${duration(seconds)}`
      : Number.isNaN(left)
      ? ""
      : `${duration(left)} left`;
    const share = this.total > 0 ? this.#done / this.total : 1;
    const bar = "█".repeat(Math.round(20 * share)).padEnd(20, "░");
    const text = [this.label, bar, `${this.#done}/${this.total}`, details, time]
      .filter((part) => part !== "").join("  ");
    if (!this.target.interactive) this.target.write(text + "\n");
    else {
      const line = text.length > this.target.columns - 1
        ? text.slice(0, this.target.columns - 2) + "…"
        : text;
      this.target.write(`\r\x1b[2K${line}${end ? "\n" : ""}`);
      open = !end;
    }
  }
}

/** Seconds as people say them: `8s`, `1m20s`, `2h05m`. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${String(s % 60).padStart(2, "0")}s`;
  return `${Math.floor(s / 3600)}h${String(Math.floor(s % 3600 / 60)).padStart(2, "0")}m`;
}
