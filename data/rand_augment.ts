/**
 * RandAugment (arXiv:1909.13719) with timm's operations and configuration texts, such as `rand-m9-mstd0.5-inc1`:
 *
 *     m     magnitude of the changes, 0 to 10            mstd  deviation of a normal draw around it
 *     n     changes an image, default 2                  p     probability of each, default 0.5
 *     inc1  strengths that rise with m: the only set here
 *
 * Colours are changed as PIL changes bytes, so an image in [0, 1] counts as 255 steps. Geometry is bilinear; outside is
 * `fill`.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { cosSinDegrees } from "./exact_trig.ts";
import { type FloatImage, makeImage } from "./float_image.ts";
import type { Rng } from "./random.ts";
import { sampleAffine } from "./resample.ts";
import type { Transform } from "./transforms.ts";

/** A configuration text, read. */
export interface RandAugmentConfig {
  /** In [0, 10]. */
  readonly magnitude: number;
  /** Deviation of the magnitude. */
  readonly magnitudeStd: number;
  /** Changes an image. */
  readonly layers: number;
  /** Probability of each. */
  readonly probability: number;
}

/**
 * Reads a configuration text.
 * @throws {ShapeError} it is none, or asks for a set of operations that is not here
 */
export function parseRandAugment(text: string): RandAugmentConfig {
  const [kind, ...parts] = text.split("-");
  const found = { m: 10, mstd: 0, n: 2, p: 0.5, inc: 0 };
  for (const part of parts) {
    const [, name, value] = /^([a-z]+)([0-9]+(?:\.[0-9]+)?)$/.exec(part) ?? [];
    if (name === undefined || !Object.hasOwn(found, name)) {
      throw new ShapeError(
        `randAugment: "${text}": "${part}" is no setting; known: m, mstd, n, p, inc`,
      );
    }
    found[name as keyof typeof found] = Number(value);
  }
  const { m, mstd, n, p, inc } = found;
  if (kind !== "rand" || inc !== 1) {
    throw new ShapeError(`randAugment: "${text}": want rand-…-inc1, such as rand-m9-mstd0.5-inc1`);
  }
  if (m > 10 || p > 1 || !Number.isInteger(n)) {
    throw new ShapeError(`randAugment: "${text}": m is at most 10, p at most 1, n a whole number`);
  }
  return { magnitude: m, magnitudeStd: mstd, layers: n, probability: p };
}

/**
 * Changes images at random, before `normalise`.
 * @param config a text as timm's `aa`
 * @param fill what comes in from outside: one value for all channels or one for each, in [0, 1]
 * @throws {ShapeError} the text is no configuration
 */
export function randAugment(config: string, fill: readonly number[] = [0.5]): Transform {
  const { magnitude, magnitudeStd, layers, probability } = parseRandAugment(config);
  return (image, rng) => {
    for (let i = 0; i < layers; i++) {
      const { apply } = OPERATIONS[rng.integer(OPERATIONS.length)];
      if (rng.uniform() >= probability) continue;
      const drawn = magnitude + (magnitudeStd > 0 ? magnitudeStd * rng.normal() : 0);
      image = apply(image, Math.min(10, Math.max(0, drawn)) / 10, rng, fill);
    }
    return image;
  };
}

/** A change of an image with a strength in [0, 1]. */
export interface AugmentOperation {
  /** timm's name. */
  readonly name: string;
  /** The changed image, values in [0, 1]. */
  apply(image: FloatImage, strength: number, rng: Rng, fill: readonly number[]): FloatImage;
}

/** Up to 30 degrees, up to 0.3 of shear, up to 45 % of the side: timm's. */
const DEGREES = 30, SHEAR = 0.3, TRANSLATE = 0.45;

/** One of two directions. */
const sign = (rng: Rng): number => rng.uniform() < 0.5 ? -1 : 1;

/** Factor of an enhancement: 1 is the image itself, 0 what it is blended with. */
const factor = (strength: number, rng: Rng): number =>
  Math.max(0.1, 1 + sign(rng) * 0.9 * strength);

/** The operations, each as likely as the others. */
export const OPERATIONS: readonly AugmentOperation[] = [
  { name: "AutoContrast", apply: (image) => perChannel(image, autoContrast) },
  { name: "Equalize", apply: (image) => perChannel(image, equalize) },
  { name: "Invert", apply: (image) => perByte(image, (v) => 255 - v) },
  {
    name: "Rotate",
    apply: (image, strength, rng, fill) => {
      const [cos, sin] = cosSinDegrees(sign(rng) * DEGREES * strength);
      return sampleAffine(image, [cos, -sin, sin, cos], 0, 0, fill);
    },
  },
  {
    name: "PosterizeIncreasing",
    apply: (image, strength) => {
      const dropped = 8 - (4 - Math.trunc(4 * strength));
      return perByte(image, (v) => v >> dropped << dropped);
    },
  },
  {
    name: "SolarizeIncreasing",
    apply: (image, strength) => {
      const threshold = 256 - Math.trunc(256 * strength);
      return perByte(image, (v) => v < threshold ? v : 255 - v);
    },
  },
  {
    name: "SolarizeAdd",
    apply: (image, strength) => {
      const more = Math.min(128, Math.trunc(110 * strength));
      return perByte(image, (v) => v < 128 ? Math.min(255, v + more) : v);
    },
  },
  {
    name: "ColorIncreasing",
    apply: (image, strength, rng) => {
      const f = factor(strength, rng);
      return image.channels === 1 ? image : blend(image, (pixel) => greyAt(image, pixel), f);
    },
  },
  {
    name: "ContrastIncreasing",
    apply: (image, strength, rng) => {
      const size = image.height * image.width;
      let sum = 0;
      for (let pixel = 0; pixel < size; pixel++) sum += greyAt(image, pixel);
      const mean = Math.trunc(255 * sum / size + 0.5) / 255;
      return blend(image, () => mean, factor(strength, rng));
    },
  },
  {
    name: "BrightnessIncreasing",
    apply: (image, strength, rng) => blend(image, () => 0, factor(strength, rng)),
  },
  {
    name: "SharpnessIncreasing",
    apply: (image, strength, rng) => sharpen(image, factor(strength, rng)),
  },
  {
    name: "ShearX",
    apply: (image, strength, rng, fill) => {
      const shear = sign(rng) * SHEAR * strength;
      return sampleAffine(image, [1, shear, 0, 1], -shear * image.height / 2, 0, fill);
    },
  },
  {
    name: "ShearY",
    apply: (image, strength, rng, fill) => {
      const shear = sign(rng) * SHEAR * strength;
      return sampleAffine(image, [1, 0, shear, 1], 0, -shear * image.width / 2, fill);
    },
  },
  {
    name: "TranslateXRel",
    apply: (image, strength, rng, fill) =>
      sampleAffine(image, [1, 0, 0, 1], sign(rng) * TRANSLATE * strength * image.width, 0, fill),
  },
  {
    name: "TranslateYRel",
    apply: (image, strength, rng, fill) =>
      sampleAffine(image, [1, 0, 0, 1], 0, sign(rng) * TRANSLATE * strength * image.height, fill),
  },
];

const clamp = (value: number): number => value < 0 ? 0 : value > 1 ? 1 : value;

/** Changes each value by a table over bytes. */
function perByte(image: FloatImage, change: (byte: number) => number): FloatImage {
  return perChannel(image, () => change);
}

/** The same with a table for each channel, made from its 256 counts; null: as it is. */
function perChannel(
  { channels, height, width, data }: FloatImage,
  table: (counts: Uint32Array) => ((byte: number) => number) | null,
): FloatImage {
  const out = makeImage(channels, height, width);
  const size = height * width;
  const bytes = new Uint8Array(size);
  for (let c = 0; c < channels; c++) {
    const counts = new Uint32Array(256);
    for (let i = 0; i < size; i++) {
      bytes[i] = 255 * data[c * size + i] + 0.5; // rounded down by the array
      counts[bytes[i]]++;
    }
    const change = table(counts);
    const values = Float32Array.from({ length: 256 }, (_, v) => (change?.(v) ?? v) / 255);
    for (let i = 0; i < size; i++) out.data[c * size + i] = values[bytes[i]];
  }
  return out;
}

/** Stretches from the darkest to the lightest byte that is there. */
function autoContrast(counts: Uint32Array): ((byte: number) => number) | null {
  const low = counts.findIndex((n) => n > 0), high = counts.findLastIndex((n) => n > 0);
  if (high <= low) return null;
  const scale = 255 / (high - low);
  return (v) => Math.min(255, Math.max(0, Math.trunc(v * scale - low * scale)));
}

/** Makes all bytes about equally frequent, as PIL's `equalize`. */
function equalize(counts: Uint32Array): ((byte: number) => number) | null {
  const there = counts.filter((n) => n > 0);
  const step = Math.trunc((there.reduce((a, b) => a + b, 0) - there[there.length - 1]) / 255);
  if (there.length <= 1 || step === 0) return null;
  const table = new Uint8Array(256);
  let sum = Math.trunc(step / 2);
  for (let v = 0; v < 256; v++) {
    table[v] = Math.min(255, Math.trunc(sum / step));
    sum += counts[v];
  }
  return (v) => table[v];
}

/** Brightness of a pixel, with the weights of ITU-R 601 that PIL uses. */
function greyAt({ channels, height, width, data }: FloatImage, pixel: number): number {
  if (channels !== 3) return data[pixel];
  const size = height * width;
  return 0.299 * data[pixel] + 0.587 * data[size + pixel] + 0.114 * data[2 * size + pixel];
}

/** other + factor (image - other), kept in [0, 1]. */
function blend(
  image: FloatImage,
  other: (pixel: number) => number,
  factor: number,
): FloatImage {
  const { channels, height, width, data } = image;
  const out = makeImage(channels, height, width);
  const size = height * width;
  for (let pixel = 0; pixel < size; pixel++) {
    const base = other(pixel);
    for (let c = 0; c < channels; c++) {
      const i = c * size + pixel;
      out.data[i] = clamp(base + factor * (data[i] - base));
    }
  }
  return out;
}

/** Blends with the image smoothed by (1 1 1, 1 5 1, 1 1 1) / 13, whose edge stays as it is. */
function sharpen(image: FloatImage, factor: number): FloatImage {
  const { channels, height, width, data } = image;
  const out = makeImage(channels, height, width);
  out.data.set(data);
  for (let c = 0; c < channels; c++) {
    for (let y = 1; y < height - 1; y++) {
      for (let x = 1; x < width - 1; x++) {
        const i = (c * height + y) * width + x;
        let sum = 4 * data[i];
        for (const row of [i - width, i, i + width]) {
          sum += data[row - 1] + data[row] + data[row + 1];
        }
        const smooth = sum / 13;
        out.data[i] = clamp(smooth + factor * (data[i] - smooth));
      }
    }
  }
  return out;
}
