/**
 * Multi-head self-attention with the parameter names of `torch.nn.MultiheadAttention`.
 * @module
 */
import { attention } from "../engine/ops/attention.ts";
import { linear } from "../engine/ops/linear.ts";
import { ShapeError } from "../engine/errors.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { checkCount } from "./check.ts";
import { xavierUniform, zeros } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/**
 * softmax(q k^T / sqrt(D / heads)) v for each head, then a projection: [B, N, D] to the same. Keys `in_proj_weight`
 * [3 D, D] (rows q, k, v), `in_proj_bias`, `out_proj.weight`, `out_proj.bias`. Starts as PyTorch's.
 */
export class MultiheadAttention extends Module {
  /** Makes q, k and v. */
  readonly inWeight: Parameter;
  /** Its bias. */
  readonly inBias: Parameter;
  /** Mixes the heads. */
  readonly outProj: Linear;

  /** A layer of `heads` heads. @throws {ShapeError} when `dim` is no multiple of `heads` */
  constructor(
    /** Channels, D. */ readonly dim: number,
    /** Heads. */ readonly heads: number,
  ) {
    super();
    checkCount("MultiheadAttention", "dim", dim);
    checkCount("MultiheadAttention", "heads", heads);
    if (dim % heads !== 0) {
      throw new ShapeError(`MultiheadAttention: dim ${dim} is not divisible by ${heads} heads`);
    }
    const weight = new Parameter([3 * dim, dim], xavierUniform());
    this.inWeight = this.parameter("in_proj_weight", weight);
    this.inBias = this.parameter("in_proj_bias", new Parameter([3 * dim], zeros));
    this.outProj = this.child("out_proj", new Linear(dim, dim, { biasInit: zeros }));
  }

  /** Tokens [B, N, D] to tokens [B, N, D]. @throws {ShapeError} for another number of channels */
  forward(x: Tensor): Tensor {
    expectShape("MultiheadAttention: x", x, ["B", "N", this.dim]);
    const qkv = linear(x, this.inWeight, this.inBias);
    return this.outProj.forward(attention(qkv, this.heads));
  }
}
