/**
 * Multi-head self-attention with timm's parameter names.
 * @module
 */
import { attention } from "../engine/ops/attention.ts";
import { mul } from "../engine/ops/arithmetic.ts";
import { dropout } from "../engine/ops/dropout.ts";
import { matmul } from "../engine/ops/matmul.ts";
import { reshape } from "../engine/ops/reshape.ts";
import { permute, slice } from "../engine/ops/shape_ops.ts";
import { softmax } from "../engine/ops/softmax.ts";
import { ShapeError } from "../engine/errors.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { checkCount, checkProbability } from "./check.ts";
import { Dropout } from "./dropout.ts";
import { linearStart, type WeightInit } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";

/** Options of `Attention`. */
export interface AttentionConfig {
  /** Give q, k and v a bias; default true. */
  qkvBias?: boolean;
  /**
   * Dropout of attention weights while training; default 0. The fused kernel never has the weights, so training then
   * takes the composed path, which stores them: [B, heads, N, N].
   */
  attnDrop?: number;
  /** Dropout of the result; default 0. */
  projDrop?: number;
  /** First weights: timm's (normal, deviation 0.02, biases 0) or those of torch's Linear; default "timm". */
  weightInit?: WeightInit;
}

/**
 * softmax(q k^T / sqrt(D / heads)) v for each head (arXiv:1706.03762, eq. 1), then a projection. [B, N, D] to the same.
 * Keys `qkv.weight` [3 D, D] (rows q, k, v), `qkv.bias`, `proj.weight`, `proj.bias`. Starts as timm's ViT,
 * or as torch's linear layers.
 */
export class Attention extends Module {
  /** Makes q, k and v. */
  readonly qkv: Linear;
  /** Mixes the heads. */
  readonly proj: Linear;
  readonly #attnDrop: number;
  readonly #projDrop: Dropout;

  /**
   * A layer of `heads` heads.
   * @throws {ShapeError} when `dim` is no multiple of `heads`, or a dropout no probability
   */
  constructor(
    /** Channels, D. */ readonly dim: number,
    /** Heads that share them. */ readonly heads: number,
    options: AttentionConfig = {},
  ) {
    super();
    const { qkvBias = true, attnDrop = 0, projDrop = 0 } = options;
    checkCount("Attention", "dim", dim);
    checkCount("Attention", "heads", heads);
    if (dim % heads !== 0) {
      throw new ShapeError(`Attention: dim ${dim} is not divisible by ${heads} heads`);
    }
    checkProbability("Attention", "attnDrop", attnDrop);
    const start = linearStart(options.weightInit ?? "timm");
    this.qkv = this.child("qkv", new Linear(dim, 3 * dim, { ...start, bias: qkvBias }));
    this.proj = this.child("proj", new Linear(dim, dim, start));
    this.#attnDrop = attnDrop;
    this.#projDrop = this.child("proj_drop", new Dropout(projDrop));
  }

  /** Tokens [B, N, D] to tokens [B, N, D]. @throws {ShapeError} for another number of channels */
  forward(x: Tensor): Tensor {
    return this.project(this.mix(x));
  }

  /** The first half: what all heads give, side by side, [B, N, D]. @throws {ShapeError} as `forward` */
  mix(x: Tensor): Tensor {
    expectShape("Attention: x", x, ["B", "N", this.dim]);
    const qkv = this.qkv.forward(x);
    return this.training && this.#attnDrop > 0 ? this.#composed(qkv) : attention(qkv, this.heads);
  }

  /** The second half: the heads' outputs mixed with each other, [B, N, D]. */
  project(mixed: Tensor): Tensor {
    return this.#projDrop.forward(this.proj.forward(mixed));
  }

  /** The same from single ops, with dropout of the weights. */
  #composed(qkv: Tensor): Tensor {
    const { dim, heads } = this, [batch, tokens] = qkv.shape;
    const packed = permute(reshape(qkv, [batch, tokens, 3, heads, dim / heads]), [2, 0, 3, 1, 4]);
    const [q, k, v] = [0, 1, 2].map((i) =>
      reshape(slice(packed, 0, i, i + 1), [batch, heads, tokens, dim / heads])
    );
    const scores = matmul(mul(q, 1 / Math.sqrt(dim / heads)), k, { transposeB: true });
    const weights = dropout(softmax(scores), this.#attnDrop);
    return reshape(permute(matmul(weights, v), [0, 2, 1, 3]), [batch, tokens, dim]);
  }
}
