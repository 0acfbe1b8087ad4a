/**
 * One image as floats: what transforms take and give.
 * @module
 */
import { DataError } from "../engine/errors.ts";
import type { ImageSet } from "./image_set.ts";

/** An image as floats, channel by channel: [C, H, W], as the models take it. */
export interface FloatImage {
  /** Values a pixel, C: 1 for grey, 3 for red, green, blue. */
  readonly channels: number;
  /** Pixels from top to bottom, H. */
  readonly height: number;
  /** Pixels from left to right, W. */
  readonly width: number;
  /** The values, [C, H, W] row-major; from a file in [0, 1]. */
  readonly data: Float32Array;
}

/** byte / 255 as f32. */
const UNIT = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/** A black image: all values 0. */
export function makeImage(channels: number, height: number, width: number): FloatImage {
  return { channels, height, width, data: new Float32Array(channels * height * width) };
}

/**
 * Image `index` of a set, its bytes divided by 255.
 * @throws {DataError} the index is out of range
 */
export function imageAt(set: ImageSet, index: number): FloatImage {
  if (!Number.isInteger(index) || index < 0 || index >= set.count) {
    throw new DataError(`imageAt: index ${index} is not in [0, ${set.count})`);
  }
  const { channels, height, width, images } = set;
  const image = makeImage(channels, height, width);
  const size = height * width;
  for (let c = 0; c < channels; c++) {
    for (let i = 0, from = index * size * channels + c; i < size; i++, from += channels) {
      image.data[c * size + i] = UNIT[images[from]];
    }
  }
  return image;
}
