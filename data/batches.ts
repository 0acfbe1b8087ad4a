/**
 * Batches of images for training and measuring: seeded order, augmentation, made ahead of time, resumable.
 *
 * Nothing random here has a history. The order of epoch e is drawn from cell e of the stream "data/order", the
 * augmentation of image i in epoch e from cell (e, i) of "data/augment". So (epoch, position) says all: a loader put
 * there gives exactly the batches that the first one would have given.
 * @module
 */
import { DataError, ShapeError } from "../engine/errors.ts";
import { imageAt } from "./float_image.ts";
import type { ImageSet } from "./image_set.ts";
import { Rng } from "./random.ts";
import type { Transform } from "./transforms.ts";

/** Some images, as a model takes them. */
export interface Batch {
  /** Values [B, C, H, W]. */
  readonly images: Float32Array;
  /** [B, C, H, W]. */
  readonly shape: readonly [batch: number, channels: number, height: number, width: number];
  /** The class of each image. */
  readonly labels: Uint32Array;
  /** Which image of the set each one is. */
  readonly indices: Uint32Array;
  /** The epoch it belongs to, from 0. */
  readonly epoch: number;
}

/** Where a loader stands, as plain JSON; goes into a checkpoint. */
export interface LoaderState {
  /** Epochs finished. */
  readonly epoch: number;
  /** Images of the running epoch handed out. */
  readonly position: number;
}

/** Options of a `BatchLoader`. */
export interface BatchLoaderOptions {
  /** Images a batch. */
  readonly batchSize: number;
  /** Decides order and augmentation. Default 0. */
  readonly seed?: number | bigint;
  /** A new order every epoch; false keeps the set's own. Default true. */
  readonly shuffle?: boolean;
  /** Leave out an epoch's last batch where it is smaller than the others. Default false. */
  readonly dropLast?: boolean;
  /** Applied to each image. Default none: values are bytes / 255. */
  readonly transform?: Transform;
  /** How many batches are made ahead. Default 2. */
  readonly prefetch?: number;
}

/** Milliseconds of work between two pauses in which other tasks (a frame, a readback) can run. */
const SLICE = 6;

/** Hands out an image set in batches, epoch by epoch. */
export class BatchLoader {
  /** How many batches an epoch has. */
  readonly batchesPerEpoch: number;
  readonly #set: ImageSet;
  readonly #options: Required<Omit<BatchLoaderOptions, "transform" | "seed">>;
  readonly #transform: Transform | undefined;
  readonly #order: Rng;
  readonly #augment: Rng;
  #state: LoaderState = { epoch: 0, position: 0 };
  #running = false;
  #orderOf: { epoch: number; indices: Uint32Array } | undefined;

  /**
   * A loader at the start of epoch 0.
   * @throws {ShapeError} batchSize or prefetch is no whole number, or a batch is larger than the set with dropLast
   */
  constructor(set: ImageSet, options: BatchLoaderOptions) {
    const { batchSize, seed = 0, shuffle = true, dropLast = false, prefetch = 2 } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new ShapeError(`BatchLoader: batchSize must be a whole number >= 1, got ${batchSize}`);
    }
    if (!Number.isInteger(prefetch) || prefetch < 0) {
      throw new ShapeError(`BatchLoader: prefetch must be a whole number >= 0, got ${prefetch}`);
    }
    const batches = set.count / batchSize;
    this.batchesPerEpoch = dropLast ? Math.floor(batches) : Math.ceil(batches);
    if (this.batchesPerEpoch === 0) {
      throw new ShapeError(
        `BatchLoader: ${set.count} images make no batch of ${batchSize}; use a smaller batch or no dropLast`,
      );
    }
    this.#set = set;
    this.#options = { batchSize, shuffle, dropLast, prefetch };
    this.#transform = options.transform;
    const rng = new Rng(seed, "data");
    this.#order = rng.fork("order");
    this.#augment = rng.fork("augment");
  }

  /** Where the loader stands: what has been handed out, not what has been made ahead. */
  state(): LoaderState {
    return this.#state;
  }

  /**
   * Puts the loader where another one, of the same set, seed and batch size, stood.
   * @throws {DataError} the state is of another set, or a loop over batches is running
   */
  restore(state: LoaderState): void {
    const { epoch, position } = state;
    if (this.#running) throw new DataError("BatchLoader.restore: a loop over batches is running");
    if (!isIndex(epoch, 2 ** 32) || !isIndex(position, this.#set.count)) {
      throw new DataError(
        `BatchLoader.restore: epoch ${epoch}, position ${position} does not fit ${this.#set.count} images`,
      );
    }
    const { batchSize, dropLast } = this.#options;
    const nothingLeft = dropLast && this.#set.count - position < batchSize;
    this.#state = nothingLeft ? { epoch: epoch + 1, position: 0 } : { epoch, position };
  }

  /**
   * The batches that are left of the running epoch; then the loader stands at the start of the next. Leaving the loop
   * early is fine: the next loop goes on after the last batch handed out.
   * @throws {DataError} images come out of the transform in different sizes, or another loop is running
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
    if (this.#running) throw new DataError("BatchLoader: another loop over batches is running");
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
    const left = this.#set.count - end;
    const over = left <= 0 || (dropLast && left < batchSize);
    return over ? { epoch: epoch + 1, position: 0 } : { epoch, position: end };
  }

  async #make({ epoch, position }: LoaderState, work: Work): Promise<Batch> {
    let pauseAt = await nextSlice(work);
    const { batchSize } = this.#options;
    const indices = this.#indices(epoch).slice(position, position + batchSize);
    const labels = Uint32Array.from(indices, (index) => this.#set.labels[index]);
    let images = new Float32Array(0), shape: Batch["shape"] | undefined;
    for (let i = 0; i < indices.length; i++) {
      if (performance.now() > pauseAt) pauseAt = await nextSlice(work);
      const original = imageAt(this.#set, indices[i]);
      const image = this.#transform?.(original, this.#augment.cell(epoch, indices[i])) ?? original;
      const { channels, height, width, data } = image;
      if (shape === undefined) {
        shape = [indices.length, channels, height, width];
        images = new Float32Array(indices.length * data.length);
      } else if (shape[1] !== channels || shape[2] !== height || shape[3] !== width) {
        const got = [channels, height, width];
        throw new DataError(
          `BatchLoader: a batch needs one size; the transform gave images of [${shape.slice(1)}] ` +
            `and, for image ${indices[i]}, of [${got}]`,
        );
      }
      images.set(data, i * data.length);
    }
    return { images, shape: shape!, labels, indices, epoch };
  }

  #indices(epoch: number): Uint32Array {
    if (this.#orderOf?.epoch !== epoch) {
      const { count } = this.#set;
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
  if (work.cancelled) throw new DataError("BatchLoader: the loop was left");
  return performance.now() + SLICE;
}
