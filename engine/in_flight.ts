/**
 * How far the host may run ahead of the GPU.
 *
 * Two lists always may be unfinished: one runs while the next is made. Waiting for the older one costs nothing then, but
 * not where lists are short: a wait itself takes time, 12 ms in Deno, where the queue is polled. So short lists may pile
 * up until together they are predicted to take as long as a submit may (cost.ts).
 * @module
 */
import { SUBMIT_MS } from "./cost.ts";

/** Unfinished lists that are always allowed. */
const ALWAYS = 2;
/** Unfinished lists that are never exceeded: each holds a promise and what it uploaded. */
const NEVER = 256;

/** The lists that were submitted and are not known to be finished. */
export class InFlight {
  readonly #lists: { readonly done: Promise<void>; readonly ms: number }[] = [];
  #ms = 0;

  /** A list was submitted. @param ms what it is predicted to take */
  add(done: Promise<void>, ms: number): void {
    this.#lists.push({ done, ms });
    this.#ms += ms;
  }

  /** The list to wait for before another one is made; null when there is room. */
  next(): Promise<void> | null {
    const { length } = this.#lists;
    return length > NEVER || (length > ALWAYS && this.#ms > SUBMIT_MS) ? this.oldest() : null;
  }

  /** The oldest list, which then counts as finished; null when there is none. */
  oldest(): Promise<void> | null {
    const list = this.#lists.shift();
    if (list === undefined) return null;
    this.#ms = this.#lists.length === 0 ? 0 : this.#ms - list.ms;
    return list.done;
  }
}
