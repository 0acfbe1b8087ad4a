/**
 * Batches of images for training and measuring.
 * @module
 */
import { DataError } from "../engine/errors.ts";
import { imageAt } from "./float_image.ts";
import type { ImageSet } from "./image_set.ts";
import { type BatchPlan, Loader, type LoaderOptions } from "./loader.ts";
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

/** Options of a `BatchLoader`. */
export interface BatchLoaderOptions extends LoaderOptions {
  /** Applied to each image. Default none: values are bytes / 255. */
  readonly transform?: Transform;
}

/** Hands out an image set in batches, epoch by epoch. */
export class BatchLoader extends Loader<Batch> {
  readonly #set: ImageSet;
  readonly #transform: Transform | undefined;

  /**
   * A loader at the start of epoch 0.
   * @throws {ShapeError} batchSize or prefetch is no whole number, or a batch is larger than the set with dropLast
   */
  constructor(set: ImageSet, options: BatchLoaderOptions) {
    super("BatchLoader", "images", set.count, options);
    this.#set = set;
    this.#transform = options.transform;
  }

  /**
   * Makes one batch.
   * @throws {DataError} images come out of the transform in different sizes
   */
  protected override async make({ epoch, indices, augment, pause }: BatchPlan): Promise<Batch> {
    const labels = Uint32Array.from(indices, (index) => this.#set.labels[index]);
    let images = new Float32Array(0), shape: Batch["shape"] | undefined;
    for (let i = 0; i < indices.length; i++) {
      await pause();
      const original = imageAt(this.#set, indices[i]);
      const image = this.#transform?.(original, augment(indices[i])) ?? original;
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
}
