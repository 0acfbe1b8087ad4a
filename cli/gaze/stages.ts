/**
 * How long each part of a run takes.
 * @module
 */

/** Adds up the time of named parts; a part within another counts for itself alone. */
export class Stages {
  readonly #milliseconds = new Map<string, number>();
  readonly #running: { inner: number }[] = [];

  /** Does some work and counts its time. */
  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const own = { inner: 0 }, begin = performance.now();
    this.#running.push(own);
    try {
      return await work();
    } finally {
      const spent = performance.now() - begin;
      this.#running.pop();
      const outer = this.#running.at(-1);
      if (outer) outer.inner += spent;
      this.#milliseconds.set(name, (this.#milliseconds.get(name) ?? 0) + spent - own.inner);
    }
  }

  /** Milliseconds of each part. */
  get totals(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#milliseconds);
  }

  /** Each part in a line: seconds in all, milliseconds a frame. */
  summary(frames: number): string {
    return [...this.#milliseconds].map(([name, spent]) =>
      `  ${name.padEnd(10)}${(spent / 1000).toFixed(2).padStart(8)} s${
        (spent / Math.max(1, frames)).toFixed(1).padStart(10)
      } ms a frame`
    ).join("\n");
  }
}
