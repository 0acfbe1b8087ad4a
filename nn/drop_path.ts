/**
 * Stochastic depth: random in training mode, the identity in evaluation.
 * @module
 */
import { dropPath } from "../engine/ops/dropout.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkProbability } from "./check.ts";
import { Module } from "./module.ts";

/** Sets whole samples x[b] to 0 with probability `p`: stochastic depth (arXiv:1603.09382), on a residual branch. */
export class DropPath extends Module {
  /**
   * A layer without parameters.
   * @throws {ShapeError} when p is outside [0, 1]
   */
  constructor(/** Probability of dropping a sample. */ readonly p: number) {
    super();
    checkProbability("DropPath", "p", p);
  }

  /** Drops in training mode; otherwise returns x. x [B, ...]. */
  forward(x: Tensor): Tensor {
    return this.training ? dropPath(x, this.p) : x;
  }
}
