/**
 * Layer normalisation with learned scale and offset.
 * @module
 */
import { layerNorm } from "../engine/ops/layer_norm.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkAmount, checkCount } from "./check.ts";
import { ones, zeros } from "./init.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** (x - mean) / sqrt(variance + eps) * weight + bias over the last axis (arXiv:1607.06450). Any shape [..., dim]. */
export class LayerNorm extends Module {
  /** Scale, [dim]. */
  readonly weight: Parameter;
  /** Offset, [dim]. */
  readonly bias: Parameter;

  /** Over a last axis of size `dim`. @throws {ShapeError} for a size below 1 or a negative eps */
  constructor(
    /** Size of the last axis. */ readonly dim: number,
    /** Added to the variance: 1e-5 as in PyTorch; timm's ViT uses 1e-6. */ readonly eps = 1e-5,
  ) {
    super();
    checkCount("LayerNorm", "dim", dim);
    checkAmount("LayerNorm", "eps", eps);
    this.weight = this.parameter("weight", new Parameter([dim], ones));
    this.bias = this.parameter("bias", new Parameter([dim], zeros));
  }

  /** Normalises. @throws {ShapeError} when the last axis of x is not `dim` */
  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, this.eps);
  }
}
