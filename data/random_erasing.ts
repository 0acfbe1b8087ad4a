/**
 * Random erasing (arXiv:1708.04896) as timm does it, after normalising.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { logUniform } from "./draws.ts";
import type { Transform } from "./transforms.ts";

/** Settings of `randomErasing`. */
export interface ErasingOptions {
  /** Area of the rectangle as a share of the image's. Default [0.02, 1/3]. */
  readonly area?: readonly [least: number, most: number];
  /** Its height by its width. Default [0.3, 1 / 0.3]. */
  readonly ratio?: readonly [least: number, most: number];
}

/** Tries to find a rectangle that fits. */
const TRIES = 10;

/**
 * Fills a random rectangle with normal noise, with the given probability. For normalised images: the noise has mean 0 and
 * deviation 1.
 * @throws {ShapeError} the probability is not in [0, 1], or a range does not rise from above 0
 */
export function randomErasing(probability: number, options: ErasingOptions = {}): Transform {
  const { area = [0.02, 1 / 3], ratio = [0.3, 1 / 0.3] } = options;
  if (!(probability >= 0 && probability <= 1)) {
    throw new ShapeError(`randomErasing: want a probability, got ${probability}`);
  }
  for (const [least, most] of [area, ratio]) {
    if (!(least > 0 && least <= most && most < Infinity)) {
      throw new ShapeError(`randomErasing: ranges must rise from above 0, got [${[least, most]}]`);
    }
  }
  return (image, rng) => {
    if (rng.uniform() >= probability) return image;
    const { channels, height, width } = image;
    for (let i = 0; i < TRIES; i++) {
      const wanted = height * width * (area[0] + (area[1] - area[0]) * rng.uniform());
      const shape = logUniform(ratio[0], ratio[1], rng);
      const h = Math.round(Math.sqrt(wanted * shape)), w = Math.round(Math.sqrt(wanted / shape));
      if (h < 1 || w < 1 || h >= height || w >= width) continue;
      const top = rng.integer(height - h + 1), left = rng.integer(width - w + 1);
      const data = image.data.slice();
      for (let c = 0; c < channels; c++) {
        for (let y = top; y < top + h; y++) {
          const row = (c * height + y) * width + left;
          for (let x = 0; x < w; x++) data[row + x] = rng.normal();
        }
      }
      return { ...image, data };
    }
    return image;
  };
}
