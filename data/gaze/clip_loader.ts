/**
 * Batches of clips for training and measuring.
 * @module
 */
import { DataError } from "../../engine/errors.ts";
import { type BatchPlan, Loader, type LoaderOptions } from "../loader.ts";
import type { ClipSource } from "./clip.ts";
import { type ClipTransform, floatClip } from "./clip_transforms.ts";

/** B clips of T frames, as the model takes them; frame t of clip b is row b * T + t. */
export interface ClipBatch {
  /** Values [B * T, 3, H, W]. */
  readonly images: Float32Array;
  /** [B * T, 3, H, W]. */
  readonly shape: readonly [frames: number, channels: number, height: number, width: number];
  /** T */
  readonly clipLength: number;
  /** Boxes [B * T, 3, 4] of face, eyes and head, in pixels; zeros where not known. */
  readonly boxes: Float32Array;
  /** [B * T]: 1 where face and eyes are known, 0 where only the head is. */
  readonly faceKnown: Uint32Array;
  /** Unit gaze vectors [B * T, 3]. */
  readonly gaze: Float32Array;
  /** Which clip of the source each one is. */
  readonly indices: Uint32Array;
  /** The epoch it belongs to, from 0. */
  readonly epoch: number;
}

/** Options of a `ClipLoader`. */
export interface ClipLoaderOptions extends LoaderOptions {
  /** Applied to each clip, such as `clipPipeline(...)`. Default none: values are bytes / 255. */
  readonly transform?: ClipTransform;
}

/** Hands out a source of clips in batches, epoch by epoch. */
export class ClipLoader extends Loader<ClipBatch> {
  readonly #source: ClipSource;
  readonly #transform: ClipTransform | undefined;

  /**
   * A loader at the start of epoch 0.
   * @throws {ShapeError} batchSize or prefetch is no whole number, or a batch is larger than the source with dropLast
   */
  constructor(source: ClipSource, options: ClipLoaderOptions) {
    super("ClipLoader", "clips", source.count, options);
    this.#source = source;
    this.#transform = options.transform;
  }

  /**
   * Makes one batch.
   * @throws {DataError} a clip cannot be read, or comes in another size or length than the first; names it
   */
  protected override async make({ epoch, indices, augment, pause }: BatchPlan): Promise<ClipBatch> {
    let batch: ClipBatch | undefined;
    for (let i = 0; i < indices.length; i++) {
      await pause();
      const bytes = floatClip(await this.#source.clip(indices[i]));
      const clip = this.#transform?.(bytes, augment(indices[i])) ?? bytes;
      const length = clip.frames.length, { height, width } = clip.frames[0];
      batch ??= emptyBatch(indices, length, height, width, epoch);
      const want = [batch.clipLength, ...batch.shape.slice(2)], got = [length, height, width];
      if (want.join() !== got.join()) {
        throw new DataError(
          `ClipLoader: a batch needs clips of one size; clip ${
            indices[i]
          } has frames, height and width [${got}], ` +
            `the first has [${want}]`,
        );
      }
      const size = 3 * height * width;
      clip.frames.forEach(({ data }, t) => batch!.images.set(data, (i * length + t) * size));
      batch.boxes.set(clip.boxes, i * length * 12);
      batch.faceKnown.set(clip.faceKnown, i * length);
      batch.gaze.set(clip.gaze, i * length * 3);
    }
    return batch!;
  }
}

function emptyBatch(
  indices: Uint32Array,
  clipLength: number,
  height: number,
  width: number,
  epoch: number,
): ClipBatch {
  const frames = indices.length * clipLength;
  return {
    images: new Float32Array(frames * 3 * height * width),
    shape: [frames, 3, height, width],
    clipLength,
    boxes: new Float32Array(frames * 12),
    faceKnown: new Uint32Array(frames),
    gaze: new Float32Array(frames * 3),
    indices,
    epoch,
  };
}
