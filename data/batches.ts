/**
 * Batches of images for training and measuring.
 * @module
 */
import { DataError } from "../engine/errors.ts";
import type { ImageSet } from "./image_set.ts";
import { type ImageSource, sourceOf } from "./image_source.ts";
import { type BatchPlan, Loader, type LoaderOptions } from "./loader.ts";
import { checkMixup, drawMix, mixedTargets, mixImages, type MixupOptions } from "./mixup.ts";
import type { Transform } from "./transforms.ts";

/** Some images, as a model takes them. */
export interface Batch {
  /** Values [B, C, H, W]. */
  readonly images: Float32Array;
  /** [B, C, H, W]. */
  readonly shape: readonly [batch: number, channels: number, height: number, width: number];
  /** The class of each image. */
  readonly labels: Uint32Array;
  /** With `mixup`: the weight of each class in each image, [B, classes]. */
  readonly targets?: Float32Array;
  /** Which image of the set each one is. */
  readonly indices: Uint32Array;
  /** The epoch it belongs to, from 0. */
  readonly epoch: number;
}

/** Options of a `BatchLoader`. */
export interface BatchLoaderOptions extends LoaderOptions {
  /** Applied to each image. Default none: values are bytes / 255. */
  readonly transform?: Transform;
  /** Mixes each batch after that. Default not. */
  readonly mixup?: MixupOptions;
}

/** Hands out images in batches, epoch by epoch. */
export class BatchLoader extends Loader<Batch> {
  /** Where the images come from. */
  readonly source: ImageSource;
  readonly #transform: Transform | undefined;
  readonly #mixup: MixupOptions | undefined;

  /**
   * A loader at the start of epoch 0.
   * @throws {ShapeError} batchSize or prefetch is no whole number, a batch is larger than the set with dropLast, or
   *   settings of `mixup` are out of range
   */
  constructor(images: ImageSet | ImageSource, options: BatchLoaderOptions) {
    super("BatchLoader", "images", images.count, options);
    this.source = "image" in images ? images : sourceOf(images);
    this.#transform = options.transform;
    this.#mixup = options.mixup;
    if (options.mixup) checkMixup(options.mixup);
  }

  /**
   * Makes one batch.
   * @throws {DataError} images come out of the transform in different sizes, or one cannot be read
   */
  protected override async make(plan: BatchPlan): Promise<Batch> {
    const { epoch, indices, augment, pause } = plan;
    const labels = Uint32Array.from(indices, (index) => this.source.labels[index]);
    let images = new Float32Array(0), shape: Batch["shape"] | undefined;
    for (let i = 0; i < indices.length; i++) {
      await pause();
      const original = await this.source.image(indices[i]);
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
    const batch = { images, shape: shape!, labels, indices, epoch };
    if (this.#mixup === undefined) return batch;
    const mix = drawMix(this.#mixup, batch.shape[2], batch.shape[3], plan.rng);
    mixImages(images, batch.shape, mix);
    return { ...batch, targets: mixedTargets(labels, this.source.classes, mix) };
  }
}
