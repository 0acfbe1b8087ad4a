/**
 * What both mixture-of-experts layers do to their input: feature maps become token sequences and come back.
 * @module
 */
import { reshape } from "../engine/ops/reshape.ts";
import { ShapeError } from "../engine/errors.ts";
import { gaussianNoise } from "../engine/ops/dropout.ts";
import type { Tensor } from "../engine/tensor.ts";

/**
 * Runs a layer of tokens [B, N, D] on tokens, or on a map [B, H, W, D] of any height and width.
 * @throws {ShapeError} for another number of dimensions or channels
 */
export function onTokens(
  what: string,
  x: Tensor,
  dim: number,
  layer: (tokens: Tensor) => Tensor,
): Tensor {
  if ((x.rank !== 3 && x.rank !== 4) || x.shape[x.rank - 1] !== dim) {
    throw new ShapeError(
      `${what}: x has shape [${x.shape.join(", ")}], needs [B, N, ${dim}] or [B, H, W, ${dim}]`,
    );
  }
  if (x.rank === 3) return layer(x);
  return reshape(layer(reshape(x, [x.shape[0], x.shape[1] * x.shape[2], dim])), x.shape);
}

/** Settings that both layers share. */
export interface MoeConfig {
  /** Slots of each expert; default 1. */
  slotsPerExpert?: number;
  /** Layer norm on the slots' queries; default false. */
  slotLayernorm?: boolean;
  /** Learned scale and offset of the keys before the scores; default false. */
  keyProj?: boolean;
  /** Learned scale and offset of the queries; default false. */
  queryProj?: boolean;
  /**
   * Normal noise on the routing logits: `true` while evaluating too, as the authors' code has it, `"training"` in training
   * mode only; default false.
   */
  addNoise?: boolean | "training";
  /** Standard deviation of the noise; default 1. */
  noiseMult?: number;
  /** Dropout of the experts' outputs; default 0. */
  drop?: number;
  /** Dropout after the experts' activation; default as `drop`. */
  dropAct?: number;
  /** Probability of dropping all experts of a sample while training; default 0. */
  dropPath?: number;
}

/** Noise for routing logits, as a layer's settings say; null: none. */
export function routingNoise(
  { addNoise = false, noiseMult = 1 }: MoeConfig,
  logits: Tensor,
  training: boolean,
): Tensor | null {
  const noisy = addNoise === "training" ? training : addNoise;
  return noisy ? gaussianNoise(logits.device, logits.shape, noiseMult) : null;
}
