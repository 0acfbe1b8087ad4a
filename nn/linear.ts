/**
 * Linear layer: y = x W^T + b.
 * @module
 */
import { linear } from "../engine/ops/linear.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkCount } from "./check.ts";
import { linearBias, linearWeight } from "./init.ts";
import { Module } from "./module.ts";
import { type Init, Parameter } from "./parameter.ts";

/** Options of `Linear`. */
export interface LinearConfig {
  /** Add a bias; default true. */
  bias?: boolean;
  /** First values of the weight [out, in]; default PyTorch's, uniform in +-1/sqrt(in). */
  weightInit?: Init;
  /** First values of the bias [out]; default PyTorch's, uniform in +-1/sqrt(in). */
  biasInit?: Init;
}

/** y = x W^T + b over the last axis: x [..., in] -> [..., out]. Keys `weight` [out, in] and `bias` [out]. */
export class Linear extends Module {
  /** W, [out, in]. */
  readonly weight: Parameter;
  /** b, [out]. */
  readonly bias: Parameter | undefined;

  /** A layer from `inputs` to `outputs` features. @throws {ShapeError} for one that is no whole number above 0 */
  constructor(
    /** Features of x. */ readonly inputs: number,
    /** Features of y. */ readonly outputs: number,
    options: LinearConfig = {},
  ) {
    super();
    checkCount("Linear", "inputs", inputs);
    checkCount("Linear", "outputs", outputs);
    const { bias = true, weightInit = linearWeight, biasInit = linearBias(inputs) } = options;
    this.weight = this.parameter("weight", new Parameter([outputs, inputs], weightInit));
    this.bias = bias ? this.parameter("bias", new Parameter([outputs], biasInit)) : undefined;
  }

  /**
   * Applies the layer.
   * @param activation applied in the same kernel
   * @throws {ShapeError} when the last axis of x is not `inputs`
   */
  forward(x: Tensor, activation: "none" | "gelu" | "relu" | "silu" = "none"): Tensor {
    return linear(x, this.weight, this.bias, { activation });
  }
}
