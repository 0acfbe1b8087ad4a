/**
 * Mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899) as timm does them in "batch" mode: one draw a batch, and each
 * image is mixed with the one that stands as far from the batch's other end.
 *
 *     Mixup    x_i <- lambda x_i + (1 - lambda) x_j,  j = B - 1 - i,  lambda ~ Beta(alpha, alpha)
 *     CutMix   a box of x_j is pasted into x_i; lambda is the share of x_i that is left
 *     targets  lambda onehot(y_i) + (1 - lambda) onehot(y_j)
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { roundedPower } from "./draws.ts";
import type { Rng } from "./random.ts";

/** How batches are mixed; names are timm's. */
export interface MixupOptions {
  /** Mixup's alpha; 0: no Mixup. */
  readonly mixupAlpha: number;
  /** CutMix's alpha; 0: no CutMix. */
  readonly cutmixAlpha: number;
  /** Probability of mixing a batch. Default 1. */
  readonly prob?: number;
  /** Probability of CutMix rather than Mixup where both are on. Default 0.5. */
  readonly switchProb?: number;
}

/** What was drawn for a batch. */
export interface Mix {
  /** Share of each image that is its own, in [0, 1]. */
  readonly lambda: number;
  /** The box that is pasted; null for Mixup. Rows [top, bottom), columns [left, right). */
  readonly box: {
    readonly top: number;
    readonly bottom: number;
    readonly left: number;
    readonly right: number;
  } | null;
}

/** Leaves a batch as it is. */
const NONE: Mix = { lambda: 1, box: null };

/**
 * Checks settings.
 * @throws {ShapeError} an alpha is not in [0, 4], or a probability not in [0, 1]
 */
export function checkMixup(options: MixupOptions): void {
  const { mixupAlpha, cutmixAlpha, prob = 1, switchProb = 0.5 } = options;
  for (
    const [name, most, value] of [
      ["mixupAlpha", 4, mixupAlpha],
      ["cutmixAlpha", 4, cutmixAlpha],
      ["prob", 1, prob],
      ["switchProb", 1, switchProb],
    ] as const
  ) {
    if (!(value >= 0 && value <= most)) {
      throw new ShapeError(`mixup: ${name} must be in [0, ${most}], got ${value}`);
    }
  }
}

/** Draws how a batch of height x width images is mixed. */
export function drawMix(options: MixupOptions, height: number, width: number, rng: Rng): Mix {
  const { mixupAlpha, cutmixAlpha, prob = 1, switchProb = 0.5 } = options;
  if ((mixupAlpha === 0 && cutmixAlpha === 0) || rng.uniform() >= prob) return NONE;
  const cut = cutmixAlpha > 0 && (mixupAlpha === 0 || rng.uniform() < switchProb);
  const lambda = symmetricBeta(cut ? cutmixAlpha : mixupAlpha, rng);
  if (!cut) return { lambda, box: null };
  const side = Math.sqrt(1 - lambda);
  const [top, bottom] = span(height, Math.trunc(height * side), rng);
  const [left, right] = span(width, Math.trunc(width * side), rng);
  // What the edge of the image cuts off is not pasted: the share is that of the real box.
  const kept = 1 - (bottom - top) * (right - left) / (height * width);
  return { lambda: kept, box: { top, bottom, left, right } };
}

/** `length` places around a random middle, as far as they are in [0, size). */
function span(size: number, length: number, rng: Rng): readonly [number, number] {
  const middle = rng.integer(size), half = Math.floor(length / 2);
  return [Math.max(0, middle - half), Math.min(size, middle + half)];
}

/**
 * A number of Beta(alpha, alpha), by Jöhnk's method: with u, v uniform, u^(1/a) / (u^(1/a) + v^(1/a)) where that sum is at
 * most 1. The powers are rounded to 2^-24, so that engines whose `Math.pow` differs in a last bit still draw alike.
 */
export function symmetricBeta(alpha: number, rng: Rng): number {
  if (alpha === 1) return rng.uniform();
  while (true) {
    const x = roundedPower(rng.uniform(), 1 / alpha), y = roundedPower(rng.uniform(), 1 / alpha);
    if (x + y > 0 && x + y <= 1) return x / (x + y);
  }
}

/** Mixes images [B, C, H, W] in place, each with its opposite number. */
export function mixImages(
  images: Float32Array,
  [batch, channels, height, width]: readonly [number, number, number, number],
  { lambda, box }: Mix,
): void {
  if (lambda === 1) return;
  const size = channels * height * width;
  for (let i = 0; i < batch >> 1; i++) {
    const a = images.subarray(i * size, (i + 1) * size);
    const b = images.subarray((batch - 1 - i) * size, (batch - i) * size);
    if (box === null) blend(a, b, lambda);
    else {
      for (let row = 0; row < channels * height; row++) {
        const y = row % height;
        if (y >= box.top && y < box.bottom) {
          exchange(a, b, row * width + box.left, row * width + box.right);
        }
      }
    }
  }
}

function blend(a: Float32Array, b: Float32Array, lambda: number): void {
  for (let k = 0; k < a.length; k++) {
    const x = a[k], y = b[k];
    a[k] = lambda * x + (1 - lambda) * y;
    b[k] = lambda * y + (1 - lambda) * x;
  }
}

function exchange(a: Float32Array, b: Float32Array, from: number, to: number): void {
  for (let k = from; k < to; k++) {
    const x = a[k];
    a[k] = b[k];
    b[k] = x;
  }
}

/** Class weights [B, classes] of a mixed batch: lambda of an image's own class, the rest of its opposite number's. */
export function mixedTargets(
  labels: ArrayLike<number>,
  classes: number,
  { lambda }: Mix,
): Float32Array {
  const batch = labels.length;
  const targets = new Float32Array(batch * classes);
  for (let i = 0; i < batch; i++) {
    targets[i * classes + labels[i]] += lambda;
    targets[i * classes + labels[batch - 1 - i]] += 1 - lambda;
  }
  return targets;
}
