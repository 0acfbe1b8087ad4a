/**
 * Transforms that read between pixels: resizing and random affine maps, both bilinear.
 *
 * Pixel (x, y) covers the square from (x, y) to (x + 1, y + 1), its value stands at its middle.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { cosSinDegrees } from "./exact_trig.ts";
import { type FloatImage, makeImage } from "./float_image.ts";
import type { Transform } from "./transforms.ts";

/**
 * Resizes to height x width, bilinear as PyTorch's `interpolate(mode="bilinear", align_corners=False)` without
 * antialiasing: output middle x + 1/2 is read at (x + 1/2) * in / out, edges repeat. Making an image much smaller skips
 * pixels; resize in halves then.
 * @throws {ShapeError} a size is no whole number >= 1
 */
export function resize(height: number, width: number): Transform {
  for (const size of [height, width]) {
    if (!Number.isInteger(size) || size < 1) {
      throw new ShapeError(`resize: want whole sizes >= 1, got ${height} x ${width}`);
    }
  }
  return (image) => {
    if (image.height === height && image.width === width) return image;
    const rows = taps(image.height, height), columns = taps(image.width, width);
    const out = makeImage(image.channels, height, width);
    let at = 0;
    for (let c = 0; c < image.channels; c++) {
      const plane = c * image.height;
      for (const row of rows) {
        const upper = (plane + row.first) * image.width, lower = (plane + row.second) * image.width;
        for (const { first, second, weight } of columns) {
          const top = mix(image.data[upper + first], image.data[upper + second], weight);
          const bottom = mix(image.data[lower + first], image.data[lower + second], weight);
          out.data[at++] = mix(top, bottom, row.weight);
        }
      }
    }
    return out;
  };
}

/** The two input pixels that an output pixel lies between, and the second one's weight. */
interface Tap {
  readonly first: number;
  readonly second: number;
  readonly weight: number;
}

function taps(from: number, to: number): Tap[] {
  return Array.from({ length: to }, (_, i) => {
    const place = Math.max(0, (i + 0.5) * from / to - 0.5);
    const first = Math.min(Math.floor(place), from - 1);
    return { first, second: Math.min(first + 1, from - 1), weight: place - first };
  });
}

function mix(a: number, b: number, weight: number): number {
  return a + (b - a) * weight;
}

/** Ranges of `randomAffine`. */
export interface AffineRanges {
  /** Turns by an angle in [-degrees, degrees], counter-clockwise on the screen. Default 0. */
  readonly degrees?: number;
  /** Moves by up to this fraction of the height and of the width. Default 0. */
  readonly translate?: number;
  /** Scales by a factor in this range; above 1 is larger. Default [1, 1]. */
  readonly scale?: readonly [least: number, most: number];
  /** What stands outside the image. Default 0. */
  readonly value?: number;
}

/**
 * Turns, scales and moves the image about its middle, at random; the size stays. Bilinear; outside is `value`.
 * @throws {ShapeError} a range is negative, not finite, or scales by 0
 */
export function randomAffine(ranges: AffineRanges): Transform {
  const { degrees = 0, translate = 0, scale = [1, 1], value = 0 } = ranges;
  const [least, most] = scale;
  if (!(degrees >= 0 && degrees < Infinity && translate >= 0 && translate < Infinity)) {
    throw new ShapeError(
      `randomAffine: degrees ${degrees} and translate ${translate} must be >= 0`,
    );
  }
  if (!(least > 0 && most >= least && most < Infinity)) {
    throw new ShapeError(`randomAffine: scale must rise from above 0, got [${scale}]`);
  }
  return (image, rng) => {
    const angle = (2 * rng.uniform() - 1) * degrees;
    const factor = least + (most - least) * rng.uniform();
    const right = (2 * rng.uniform() - 1) * translate * image.width;
    const down = (2 * rng.uniform() - 1) * translate * image.height;
    const [cos, sin] = cosSinDegrees(angle);
    const matrix = [cos / factor, -sin / factor, sin / factor, cos / factor] as const;
    return sampleAffine(image, matrix, right, down, [value]);
  };
}

/**
 * Reads, for each output pixel, the input where a map about the image's middle puts it, bilinear:
 *
 *     u = a x + b y,  v = c x + d y,  with x and y from the middle, moved by `right` and `down`
 *
 * @param matrix a, b, c, d
 * @param fill what stands outside, for all channels or for each
 */
export function sampleAffine(
  image: FloatImage,
  [a, b, c, d]: readonly [number, number, number, number],
  right: number,
  down: number,
  fill: readonly number[],
): FloatImage {
  const { channels, height, width, data } = image;
  const out = makeImage(channels, height, width);
  const middleX = (width - 1) / 2, middleY = (height - 1) / 2;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const dx = x - middleX - right, dy = y - middleY - down;
      const u = a * dx + b * dy + middleX, v = c * dx + d * dy + middleY;
      const left = Math.floor(u), top = Math.floor(v);
      const inside = left >= 0 && top >= 0 && left < width - 1 && top < height - 1;
      for (let channel = 0; channel < channels; channel++) {
        const plane = channel * height;
        const at = (plane + top) * width + left, to = (plane + y) * width + x;
        if (inside) {
          const upper = mix(data[at], data[at + 1], u - left);
          const lower = mix(data[at + width], data[at + width + 1], u - left);
          out.data[to] = mix(upper, lower, v - top);
          continue;
        }
        const value = fill[fill.length === 1 ? 0 : channel];
        const pixel = (row: number, column: number): number =>
          row < 0 || row >= height || column < 0 || column >= width
            ? value
            : data[(plane + row) * width + column];
        const upper = mix(pixel(top, left), pixel(top, left + 1), u - left);
        const lower = mix(pixel(top + 1, left), pixel(top + 1, left + 1), u - left);
        out.data[to] = mix(upper, lower, v - top);
      }
    }
  }
  return out;
}
