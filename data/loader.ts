/**
 * Items in batches for training and measuring: seeded order, made ahead of time, resumable. What the items are, and what
 * a batch of them looks like, is for `BatchLoader` (images) and `ClipLoader` (clips of frames) to say.
 *
 * Nothing random here has a history. The order of epoch e is drawn from cell e of the stream "data/order", what is done
 * to item i in epoch e from cell (e, i) of "data/augment", what is done to a batch from cell (e, position) of
 * "data/batch". So (epoch, position) says all: a loader put there gives exactly the batches that the first one would have
 * given.
 * @module
 */
import { DataError, ShapeError } from "../engine/errors.ts";
import { Rng } from "./random.ts";

/** Where a loader stands, as plain JSON; goes into a checkpoint. */
export interface LoaderState {
  /** Epochs finished. */
  readonly epoch: number;
  /** Items of the running epoch handed out. */
  readonly position: number;
}

/** Options of every loader. */
export interface LoaderOptions {
  /** Items a batch. */
  readonly batchSize: number;
  /** Decides order and augmentation. Default 0. */
  readonly seed?: number | bigint;
  /** A new order every epoch; false keeps the source's own. Default true. */
  readonly shuffle?: boolean;
  /** Leave out an epoch's last batch where it is smaller than the others. Default false. */
  readonly dropLast?: boolean;
  /** How many batches are made ahead. Default 2. */
  readonly prefetch?: number;
}

/** What a batch is made from. */
export interface BatchPlan {
  /** The epoch it belongs to, from 0. */
  readonly epoch: number;
  /** Which items, in order. */
  readonly indices: Uint32Array;
  /** The generator of an item in this epoch. */
  augment(index: number): Rng;
  /** The generator of what happens to the batch as a whole. */
  readonly rng: Rng;
  /**
   * To be awaited between items: lets the tasks that wait (a frame, a readback) run when it is time to.
   * @throws {DataError} the loop over batches was left in the meantime; nobody looks at this
   */
  pause(): Promise<void>;
}

/** Milliseconds of work between two pauses in which other tasks can run. */
const SLICE = 6;

/** Hands out a source's items in batches, epoch by epoch. */
export abstract class Loader<Batch> {
  /** How many batches an epoch has. */
  readonly batchesPerEpoch: number;
  readonly #name: string;
  readonly #items: string;
  readonly #count: number;
  readonly #options: Required<Omit<LoaderOptions, "seed">>;
  readonly #order: Rng;
  readonly #augment: Rng;
  readonly #batch: Rng;
  #state: LoaderState = { epoch: 0, position: 0 };
  #running = false;
  #orderOf: { epoch: number; indices: Uint32Array } | undefined;

  /**
   * A loader at the start of epoch 0.
   * @param name of the class, for errors
   * @param items what is counted, for errors
   * @throws {ShapeError} batchSize or prefetch is no whole number, or a batch is larger than the source with dropLast
   */
  constructor(name: string, items: string, count: number, options: LoaderOptions) {
    const { batchSize, seed = 0, shuffle = true, dropLast = false, prefetch = 2 } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new ShapeError(`${name}: batchSize must be a whole number >= 1, got ${batchSize}`);
    }
    if (!Number.isInteger(prefetch) || prefetch < 0) {
      throw new ShapeError(`${name}: prefetch must be a whole number >= 0, got ${prefetch}`);
    }
    const batches = count / batchSize;
    this.batchesPerEpoch = dropLast ? Math.floor(batches) : Math.ceil(batches);
    if (this.batchesPerEpoch === 0) {
      throw new ShapeError(
        `${name}: ${count} ${items} make no batch of ${batchSize}; use a smaller batch or no dropLast`,
      );
    }
    this.#name = name;
    this.#items = items;
    this.#count = count;
    this.#options = { batchSize, shuffle, dropLast, prefetch };
    const rng = new Rng(seed, "data");
    this.#order = rng.fork("order");
    this.#augment = rng.fork("augment");
    this.#batch = rng.fork("batch");
  }

  /** Makes one batch. */
  protected abstract make(plan: BatchPlan): Promise<Batch>;

  /** Where the loader stands: what has been handed out, not what has been made ahead. */
  state(): LoaderState {
    return this.#state;
  }

  /**
   * Puts the loader where another one, of the same source, seed and batch size, stood.
   * @throws {DataError} the state is of another source, or a loop over batches is running
   */
  restore(state: LoaderState): void {
    const { epoch, position } = state;
    if (this.#running) throw new DataError(`${this.#name}.restore: a loop over batches is running`);
    if (!isIndex(epoch, 2 ** 32) || !isIndex(position, this.#count)) {
      throw new DataError(
        `${this.#name}.restore: epoch ${epoch}, position ${position} does not fit ${this.#count} ${this.#items}`,
      );
    }
    const { batchSize, dropLast } = this.#options;
    const nothingLeft = dropLast && this.#count - position < batchSize;
    this.#state = nothingLeft ? { epoch: epoch + 1, position: 0 } : { epoch, position };
  }

  /**
   * The batches that are left of the running epoch; then the loader stands at the start of the next. Leaving the loop
   * early is fine: the next loop goes on after the last batch handed out.
   * @throws {DataError} an item cannot be read or does not fit the others, or another loop is running
   */
  epoch(): AsyncGenerator<Batch> {
    return this.#run(false);
  }

  /** Batches without end, epoch after epoch, made ahead across their borders. As `epoch` otherwise. */
  batches(): AsyncGenerator<Batch> {
    return this.#run(true);
  }

  /** Keeps a queue of batches in the making, hands out the first when asked, and moves the state along. */
  async *#run(endless: boolean): AsyncGenerator<Batch> {
    if (this.#running) throw new DataError(`${this.#name}: another loop over batches is running`);
    this.#running = true;
    const { prefetch } = this.#options;
    const endEpoch = endless ? Infinity : this.#state.epoch + 1;
    const work: Work = { cancelled: false };
    const queue: { batch: Promise<Batch>; after: LoaderState }[] = [];
    let next = this.#state, last: Promise<unknown> = Promise.resolve();
    const fillTo = (count: number): void => {
      while (queue.length < count && next.epoch < endEpoch) {
        const at = next;
        next = this.#after(at);
        const batch = last.then(() => this.#make(at, work));
        last = batch.catch(() => {}); // thrown when it is its turn to be handed out
        queue.push({ batch, after: next });
      }
    };
    try {
      while (true) {
        fillTo(Math.max(1, prefetch));
        const first = queue.shift();
        if (first === undefined) break;
        fillTo(prefetch);
        const batch = await first.batch;
        this.#state = first.after;
        yield batch;
      }
    } finally {
      work.cancelled = true;
      await last;
      this.#running = false;
    }
  }

  /** Where the loader stands after the batch that starts at a state. */
  #after({ epoch, position }: LoaderState): LoaderState {
    const { batchSize, dropLast } = this.#options;
    const end = position + batchSize;
    const left = this.#count - end;
    const over = left <= 0 || (dropLast && left < batchSize);
    return over ? { epoch: epoch + 1, position: 0 } : { epoch, position: end };
  }

  async #make({ epoch, position }: LoaderState, work: Work): Promise<Batch> {
    let pauseAt = await nextSlice(work);
    return await this.make({
      epoch,
      indices: this.#indices(epoch).slice(position, position + this.#options.batchSize),
      augment: (index) => this.#augment.cell(epoch, index),
      rng: this.#batch.cell(epoch, position),
      pause: async () => {
        if (performance.now() > pauseAt) pauseAt = await nextSlice(work);
      },
    });
  }

  #indices(epoch: number): Uint32Array {
    if (this.#orderOf?.epoch !== epoch) {
      const count = this.#count;
      const indices = this.#options.shuffle
        ? this.#order.cell(epoch).permutation(count)
        : Uint32Array.from({ length: count }, (_, i) => i);
      this.#orderOf = { epoch, indices };
    }
    return this.#orderOf.indices;
  }
}

/** Shared by a loop and its batches in the making, so that leaving the loop stops them. */
interface Work {
  cancelled: boolean;
}

function isIndex(value: number, end: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < end;
}

/**
 * Lets the tasks that wait run (a promise alone would only run before them), and says when to do so again.
 * @throws {DataError} the loop was left in the meantime; nobody looks at this
 */
async function nextSlice(work: Work): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve));
  if (work.cancelled) throw new DataError("Loader: the loop was left");
  return performance.now() + SLICE;
}
