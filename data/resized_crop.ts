/**
 * Cutting a window out of an image and bringing it to another size: at random for training, the middle for evaluation.
 *
 * Resampling is PIL's: separable, with a filter that is widened where the image becomes smaller, so that nothing is
 * skipped; only what lies in the window is read. Values are kept in [0, 1], which a cubic filter would leave.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { logUniform } from "./draws.ts";
import { type FloatImage, makeImage } from "./float_image.ts";
import type { Transform } from "./transforms.ts";

/** How to read between pixels. */
export type Interpolation = "bilinear" | "bicubic";

/** A part of an image in whole pixels. */
export interface Window {
  /** First row. */
  readonly top: number;
  /** First column. */
  readonly left: number;
  /** Rows. */
  readonly height: number;
  /** Columns. */
  readonly width: number;
}

/** Settings of `randomResizedCrop`. */
export interface ResizedCropOptions {
  /** Area of the window as a share of the image's. Default [0.08, 1]. */
  readonly scale?: readonly [least: number, most: number];
  /** Its width by its height. Default [3/4, 4/3]. */
  readonly ratio?: readonly [least: number, most: number];
  /** Default bicubic, timm's. */
  readonly interpolation?: Interpolation;
}

/** Tries to find a window that fits; after that the middle is taken, as torchvision does. */
const TRIES = 10;

/**
 * A random window of random area and shape, brought to height x width (torchvision's and timm's RandomResizedCrop).
 * @throws {ShapeError} a size is no whole number >= 1, or a range does not rise from above 0
 */
export function randomResizedCrop(
  height: number,
  width: number,
  options: ResizedCropOptions = {},
): Transform {
  const { scale = [0.08, 1], ratio = [3 / 4, 4 / 3], interpolation = "bicubic" } = options;
  checkSize("randomResizedCrop", height, width);
  for (
    const [name, [least, most], limit] of [
      ["scale", scale, 1],
      ["ratio", ratio, Infinity],
    ] as const
  ) {
    if (!(least > 0 && least <= most && most <= limit && most < Infinity)) {
      throw new ShapeError(
        `randomResizedCrop: ${name} must rise from above 0, got [${[least, most]}]`,
      );
    }
  }
  return (image, rng) => {
    const area = image.height * image.width;
    for (let i = 0; i < TRIES; i++) {
      const wanted = area * (scale[0] + (scale[1] - scale[0]) * rng.uniform());
      const shape = logUniform(ratio[0], ratio[1], rng);
      const w = Math.round(Math.sqrt(wanted * shape)), h = Math.round(Math.sqrt(wanted / shape));
      if (w < 1 || h < 1 || w > image.width || h > image.height) continue;
      const top = rng.integer(image.height - h + 1), left = rng.integer(image.width - w + 1);
      return resizeWindow(image, { top, left, height: h, width: w }, height, width, interpolation);
    }
    const middle = middleOf(image, ratio[0], ratio[1]);
    return resizeWindow(image, middle, height, width, interpolation);
  };
}

/** The largest window in the middle whose width by height is in a range. */
function middleOf(image: FloatImage, least: number, most: number): Window {
  const shape = image.width / image.height;
  const width = shape > most ? Math.round(image.height * most) : image.width;
  const height = shape < least ? Math.round(image.width / least) : image.height;
  return {
    top: Math.floor((image.height - height) / 2),
    left: Math.floor((image.width - width) / 2),
    height,
    width,
  };
}

/**
 * The middle of an image, brought to height x width: the largest window of that shape, or a part of it.
 * @param cropPct which part of the window's sides is kept, in (0, 1]; timm's `crop_pct`
 * @throws {ShapeError} a size is no whole number >= 1, or cropPct not in (0, 1]
 */
export function centerResizedCrop(
  height: number,
  width: number,
  cropPct = 1,
  interpolation: Interpolation = "bicubic",
): Transform {
  checkSize("centerResizedCrop", height, width);
  if (!(cropPct > 0 && cropPct <= 1)) {
    throw new ShapeError(`centerResizedCrop: cropPct must be in (0, 1], got ${cropPct}`);
  }
  return (image) => {
    const fit = Math.min(image.height / height, image.width / width) * cropPct;
    const h = Math.max(1, Math.round(height * fit)), w = Math.max(1, Math.round(width * fit));
    const top = Math.floor((image.height - h) / 2), left = Math.floor((image.width - w) / 2);
    return resizeWindow(image, { top, left, height: h, width: w }, height, width, interpolation);
  };
}

/** A window of an image, brought to height x width; the image itself where nothing changes. */
export function resizeWindow(
  image: FloatImage,
  window: Window,
  height: number,
  width: number,
  interpolation: Interpolation,
): FloatImage {
  const { channels, data } = image;
  if (
    window.height === image.height && window.width === image.width && height === image.height &&
    width === image.width
  ) return image;
  const rows = tapsOf(window.height, height, interpolation);
  const columns = tapsOf(window.width, width, interpolation);
  const wide = new Float32Array(window.height * width);
  const out = makeImage(channels, height, width);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < window.height; y++) {
      const from = (c * image.height + window.top + y) * image.width + window.left;
      for (let x = 0; x < width; x++) {
        const { first, weights } = columns[x];
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * data[from + first + k];
        wide[y * width + x] = sum;
      }
    }
    for (let y = 0; y < height; y++) {
      const { first, weights } = rows[y], to = (c * height + y) * width;
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * wide[(first + k) * width + x];
        out.data[to + x] = sum < 0 ? 0 : sum > 1 ? 1 : sum;
      }
    }
  }
  return out;
}

/** The input places that an output place is made of, from `first` on. */
interface Taps {
  readonly first: number;
  readonly weights: Float64Array;
}

/** The taps of each of `to` places over `from` ones. */
function tapsOf(from: number, to: number, interpolation: Interpolation): Taps[] {
  const filter = interpolation === "bicubic" ? cubic : triangle;
  const step = from / to, stretch = Math.max(1, step);
  const reach = (interpolation === "bicubic" ? 2 : 1) * stretch;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * step;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const last = Math.min(from, Math.trunc(center + reach + 0.5));
    const weights = Float64Array.from(
      { length: last - first },
      (_, k) => filter((first + k + 0.5 - center) / stretch),
    );
    const total = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

function triangle(x: number): number {
  return Math.max(0, 1 - Math.abs(x));
}

/** The cubic of Keys with a = -1/2, as PIL has it. */
function cubic(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  if (t < 2) return ((-0.5 * t + 2.5) * t - 4) * t + 2;
  return 0;
}

function checkSize(name: string, height: number, width: number): void {
  for (const size of [height, width]) {
    if (!Number.isInteger(size) || size < 1) {
      throw new ShapeError(`${name}: want whole sizes >= 1, got ${height} x ${width}`);
    }
  }
}
