/**
 * A stage of MCGaze (Guan and others, arXiv:2310.18131) without its gaze: what the clues of all frames of a clip tell each
 * other and see in their boxes, and from that new scores, boxes and features. Names are those of the authors' `GazeSTQIHead`.
 *
 *     q = attention_norm(q + attention(q))      over the clues of a frame, then over the frames of a clue: the same weights
 *     q = norm(q + dynamic_conv(q, what lies in its box))
 *     q = ffn_norm(q + ffn(q))
 *     score = fc(cls_fcs(q)),  delta = fc(reg_fcs(q)), with a last layer for each clue
 * @module
 */
import { add, concat, permute, relu, reshape, slice } from "../engine/ops/mod.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { ShapeError } from "../engine/errors.ts";
import { constant, xavierUniform, zeros } from "../nn/init.ts";
import { DynamicConv } from "../nn/dynamic_conv.ts";
import { LayerNorm } from "../nn/layer_norm.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { MultiheadAttention } from "../nn/multihead_attention.ts";
import { Parameter } from "../nn/parameter.ts";
import type { McGazeConfig } from "./mcgaze_config.ts";

/** The bias of a class score whose probability starts at 0.01. */
const RARE = -Math.log(99);

const weightInit = xavierUniform();

/** Layers of linear map without bias, layer norm and ReLU. Keys `0.weight`, `1.weight`, `1.bias`, `3.weight`, … */
export class FcBranch extends Module {
  readonly #layers: readonly (readonly [Linear, LayerNorm])[];

  /** `count` layers of `dim` features; PyTorch's first weights, unless Xavier's are asked for. */
  constructor(dim: number, count: number, init: "torch" | "xavier" = "torch") {
    super();
    const start = init === "xavier" ? { weightInit } : {};
    this.#layers = Array.from({ length: count }, (_, i) => [
      this.child(`${3 * i}`, new Linear(dim, dim, { bias: false, ...start })),
      this.child(`${3 * i + 1}`, new LayerNorm(dim)),
    ]);
  }

  /** [..., dim] to the same. */
  forward(x: Tensor): Tensor {
    return this.#layers.reduce((y, [fc, norm]) => relu(norm.forward(fc.forward(y))), x);
  }
}

/** The features of query `k` of every frame: [N, Q, C] to [N, C]. */
export function featuresOf(queries: Tensor, k: number): Tensor {
  const [n, , channels] = queries.shape;
  return reshape(slice(queries, 1, k, k + 1), [n, channels]);
}

/** mmcv's wrapper, under whose key `attn` the layer stands. */
class WrappedAttention extends Module {
  readonly attn: MultiheadAttention;

  constructor(dim: number, heads: number) {
    super();
    this.attn = this.child("attn", new MultiheadAttention(dim, heads));
  }
}

/** mmcv's feed-forward network: `layers.0.0`, ReLU, `layers.1`. */
class FeedForward extends Module {
  readonly first: Linear;
  readonly second: Linear;

  constructor(dim: number, hidden: number) {
    super();
    this.first = this.child("layers.0.0", new Linear(dim, hidden, { weightInit }));
    this.second = this.child("layers.1", new Linear(hidden, dim, { weightInit }));
  }
}

/** What a stage says. */
export interface StageOutput {
  /** Logits of "is there": [N, Q, 1]. */
  readonly scores: Tensor;
  /** How to move and stretch the boxes: [N, Q, 4]. */
  readonly deltas: Tensor;
  /** The queries for the next stage and for the gaze: [N, Q, C]. */
  readonly features: Tensor;
  /** The queries after the attention, before they see their boxes: [N, Q, C]. */
  readonly attended: Tensor;
}

/** Queries and what lies in their boxes, to scores, deltas and queries. */
export class GazeStqiHead extends Module {
  readonly #config: McGazeConfig;
  readonly #attention: WrappedAttention;
  readonly #attentionNorm: LayerNorm;
  readonly #dynamicConv: DynamicConv;
  readonly #dynamicConvNorm: LayerNorm;
  readonly #ffn: FeedForward;
  readonly #ffnNorm: LayerNorm;
  readonly #clsBranch: FcBranch;
  readonly #regBranch: FcBranch;
  readonly #fcCls: readonly Linear[];
  readonly #fcReg: readonly Linear[];

  /** A stage of a model. */
  constructor(config: McGazeConfig) {
    super();
    this.#config = config;
    const { channels, heads, hidden, dynamicChannels, roiSize, clues } = config;
    const positions = roiSize ** 2;
    if (config.unusedHeads) {
      for (const name of ["fc_cls", "fc_reg"]) {
        this.child(name, new UnusedHead(channels * positions));
      }
    }
    this.#attention = this.child("attention", new WrappedAttention(channels, heads));
    this.#attentionNorm = this.child("attention_norm", new LayerNorm(channels));
    this.#dynamicConv = this.child(
      "instance_interactive_conv",
      new DynamicConv({
        inChannels: channels,
        featChannels: dynamicChannels,
        positions,
        weightInit,
      }),
    );
    this.#dynamicConvNorm = this.child("instance_interactive_conv_norm", new LayerNorm(channels));
    this.#ffn = this.child("ffn", new FeedForward(channels, hidden));
    this.#ffnNorm = this.child("ffn_norm", new LayerNorm(channels));
    this.#clsBranch = this.child("cls_fcs", new FcBranch(channels, config.clsLayers, "xavier"));
    this.#regBranch = this.child("reg_fcs", new FcBranch(channels, config.regLayers, "xavier"));
    this.#fcCls = clues.map((clue) => {
      const biasInit = constant(RARE);
      return this.child(`${clue}_fc_cls`, new Linear(channels, 1, { weightInit, biasInit }));
    });
    this.#fcReg = clues.map((clue) =>
      this.child(`${clue}_fc_reg`, new Linear(channels, 4, { weightInit }))
    );
  }

  /**
   * Runs the stage on N = B T frames, clip after clip.
   * @param queries [N, Q, C]
   * @param bins what lies in their boxes: [N Q, P, C], P positions
   * @param frames T
   * @throws {ShapeError} when these do not fit together
   */
  forward(queries: Tensor, bins: Tensor, frames: number): StageOutput {
    const { channels, clues, spatial, temporal } = this.#config, q = clues.length;
    const [n] = expectShape("GazeStqiHead: queries", queries, ["N", q, channels]);
    if (!Number.isInteger(frames) || frames < 1 || n % frames !== 0) {
      throw new ShapeError(`GazeStqiHead: ${n} frames are no clips of ${frames}`);
    }
    const inFrame = spatial ? this.#attend(queries) : queries;
    const attended = temporal ? this.#overTime(inFrame, frames) : inFrame;
    const rows = reshape(attended, [n * q, channels]);
    const seen = this.#dynamicConvNorm.forward(add(rows, this.#dynamicConv.forward(rows, bins)));
    const { first, second } = this.#ffn;
    const fed = this.#ffnNorm.forward(add(seen, second.forward(first.forward(seen, "relu"))));
    const features = reshape(fed, [n, q, channels]);
    const ends = (branch: FcBranch, last: readonly Linear[]): Tensor => {
      const x = branch.forward(features);
      return reshape(concat(last.map((fc, k) => fc.forward(featuresOf(x, k))), 1), [n, q, -1]);
    };
    return {
      scores: ends(this.#clsBranch, this.#fcCls),
      deltas: ends(this.#regBranch, this.#fcReg),
      features,
      attended,
    };
  }

  /** Tokens [B, N, C] that have seen each other. */
  #attend(tokens: Tensor): Tensor {
    return this.#attentionNorm.forward(add(tokens, this.#attention.attn.forward(tokens)));
  }

  /** The same over the frames of a clip, for each of its clues. */
  #overTime(queries: Tensor, frames: number): Tensor {
    const [n, q, channels] = queries.shape;
    const byClip = reshape(queries, [n / frames, frames, q, channels]);
    const byClue = reshape(permute(byClip, [0, 2, 1, 3]), [n / frames * q, frames, channels]);
    const attended = reshape(this.#attend(byClue), [n / frames, q, frames, channels]);
    return reshape(permute(attended, [0, 2, 1, 3]), [n, q, channels]);
  }
}

/** A layer of mmdet's `BBoxHead` that no forward pass uses; it has four outputs there, for three classes or a box. */
class UnusedHead extends Module {
  constructor(inputs: number) {
    super();
    const weight = new Parameter([4, inputs], zeros, { requiresGrad: false });
    this.parameter("weight", weight);
    this.parameter("bias", new Parameter([4], zeros, { requiresGrad: false }));
  }
}
