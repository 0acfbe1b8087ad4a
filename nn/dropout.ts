/**
 * Dropout: random in training mode, the identity in evaluation.
 * @module
 */
import { dropout } from "../engine/ops/dropout.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkProbability } from "./check.ts";
import { Module } from "./module.ts";

/** Sets each element to 0 with probability `p` and scales the rest by 1 / (1 - p) (arXiv:1207.0580). */
export class Dropout extends Module {
  /**
   * A layer without parameters.
   * @throws {ShapeError} when p is outside [0, 1]
   */
  constructor(/** Probability of dropping. */ readonly p: number) {
    super();
    checkProbability("Dropout", "p", p);
  }

  /** Drops in training mode; otherwise returns x. */
  forward(x: Tensor): Tensor {
    return this.training ? dropout(x, this.p) : x;
  }
}
