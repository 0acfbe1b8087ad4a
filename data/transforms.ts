/**
 * Changes to one image: fixed ones (pad, resize, normalise) and random ones (crop, shift, affine, flip).
 *
 * A transform gets an image and the generator of this image in this epoch, and returns a new image. All arithmetic is
 * + - * / on doubles, rounded to f32 when stored, so batches are the same bits in every engine. Filling values are in the
 * image's own units: [0, 1] before `normalise`.
 * @module
 */
import { DataError, ShapeError } from "../engine/errors.ts";
import { type FloatImage, makeImage } from "./float_image.ts";
import type { Rng } from "./random.ts";

/** A change to one image; the result may be the image itself where nothing changes. */
export type Transform = (image: FloatImage, rng: Rng) => FloatImage;

/** Transforms one after the other, all drawing from the same generator. */
export function compose(...transforms: readonly Transform[]): Transform {
  return (image, rng) => transforms.reduce((current, apply) => apply(current, rng), image);
}

/**
 * (value - mean) / std, with one mean and std for all channels or one for each.
 * @throws {ShapeError} a std is not above 0; when applied, DataError where the number of channels differs
 */
export function normalise(
  mean: number | readonly number[],
  std: number | readonly number[],
): Transform {
  const means = [mean].flat(), stds = [std].flat();
  if (!means.every(Number.isFinite) || !stds.every((value) => value > 0 && value < Infinity)) {
    throw new ShapeError(
      `normalise: want finite means and stds above 0, got [${means}], [${stds}]`,
    );
  }
  return (image) => {
    const { channels, height, width, data } = image;
    for (const values of [means, stds]) {
      if (values.length !== 1 && values.length !== channels) {
        throw new DataError(`normalise: ${values.length} values for ${channels} channels`);
      }
    }
    const out = makeImage(channels, height, width);
    const size = height * width;
    for (let c = 0; c < channels; c++) {
      const shift = means[means.length === 1 ? 0 : c], scale = stds[stds.length === 1 ? 0 : c];
      for (let i = c * size; i < (c + 1) * size; i++) out.data[i] = (data[i] - shift) / scale;
    }
    return out;
  };
}

/**
 * Adds `amount` pixels of a constant on every side.
 * @throws {ShapeError} amount is no whole number >= 0
 */
export function pad(amount: number, value = 0): Transform {
  checkPixels("pad", amount);
  return (image) =>
    place(image, image.height + 2 * amount, image.width + 2 * amount, amount, amount, value);
}

/**
 * Cuts a window out at a random place, after adding `padding` pixels of `value` on every side.
 * @throws {ShapeError} a size is no whole number; when applied, DataError where the image is smaller than the window
 */
export function randomCrop(height: number, width: number, padding = 0, value = 0): Transform {
  for (const size of [height, width, padding]) checkPixels("randomCrop", size);
  return (image, rng) => {
    const freeRows = image.height + 2 * padding - height;
    const freeColumns = image.width + 2 * padding - width;
    if (freeRows < 0 || freeColumns < 0) {
      throw new DataError(
        `randomCrop: an image of ${image.height} x ${image.width} with padding ${padding} is ` +
          `smaller than the window of ${height} x ${width}`,
      );
    }
    const top = rng.integer(freeRows + 1), left = rng.integer(freeColumns + 1);
    return place(image, height, width, padding - top, padding - left, value);
  };
}

/**
 * Moves the image by up to `most` whole pixels each way, filling what becomes free with `value`.
 * @throws {ShapeError} most is no whole number >= 0
 */
export function randomShift(most: number, value = 0): Transform {
  checkPixels("randomShift", most);
  return (image, rng) => {
    const down = rng.integer(2 * most + 1) - most, right = rng.integer(2 * most + 1) - most;
    return place(image, image.height, image.width, down, right, value);
  };
}

/**
 * Mirrors the image left to right with the given probability.
 * @throws {ShapeError} the probability is not in [0, 1]
 */
export function randomHorizontalFlip(probability = 0.5): Transform {
  if (!(probability >= 0 && probability <= 1)) {
    throw new ShapeError(`randomHorizontalFlip: want a probability, got ${probability}`);
  }
  return (image, rng) => rng.uniform() < probability ? mirrorImage(image) : image;
}

/** The image mirrored left to right. */
export function mirrorImage({ channels, height, width, data }: FloatImage): FloatImage {
  const out = makeImage(channels, height, width);
  for (let row = 0; row < channels * height; row++) {
    for (let x = 0; x < width; x++) {
      out.data[row * width + x] = data[row * width + width - 1 - x];
    }
  }
  return out;
}

/** The image with its first pixel at (top, left) of a canvas of `value`; what falls outside is cut off. */
export function place(
  image: FloatImage,
  height: number,
  width: number,
  top: number,
  left: number,
  value = 0,
): FloatImage {
  const out = makeImage(image.channels, height, width);
  if (value !== 0) out.data.fill(value);
  const firstRow = Math.max(0, top), lastRow = Math.min(height, top + image.height);
  const first = Math.max(0, left), last = Math.min(width, left + image.width);
  if (first >= last) return out;
  for (let c = 0; c < image.channels; c++) {
    for (let y = firstRow; y < lastRow; y++) {
      const from = (c * image.height + y - top) * image.width - left;
      const row = image.data.subarray(from + first, from + last);
      out.data.set(row, (c * height + y) * width + first);
    }
  }
  return out;
}

function checkPixels(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0) {
    throw new ShapeError(`${name}: want a whole number of pixels >= 0, got ${value}`);
  }
}
