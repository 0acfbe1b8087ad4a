/**
 * The Vision Transformer (Dosovitskiy and others, arXiv:2010.11929) with timm's parameter names, so that timm's
 * checkpoints load as they are.
 *
 *     x = [class token, patches] + positions
 *     x = x + attention(norm1(x))        in each block, then
 *     x = x + mlp(norm2(x))
 *     logits = head(norm of the class token, or of the mean over the patches)
 * @module
 */
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { add, broadcastTo, concat, mean, mul, reshape, slice } from "../engine/ops/mod.ts";
import { Attention } from "../nn/attention.ts";
import { DropPath } from "../nn/drop_path.ts";
import { Dropout } from "../nn/dropout.ts";
import { constant, normal, truncNormal, zeros } from "../nn/init.ts";
import { LayerNorm } from "../nn/layer_norm.ts";
import { Linear } from "../nn/linear.ts";
import { Mlp } from "../nn/mlp.ts";
import { Module } from "../nn/module.ts";
import { Parameter } from "../nn/parameter.ts";
import { PatchEmbed } from "../nn/patch_embed.ts";
import {
  depthRate,
  hiddenDim,
  imageSize,
  patchCount,
  prefixTokens,
  type VitConfig,
  vitConfig,
  type VitOptions,
} from "./vit_config.ts";

/**
 * A place inside a block: what goes into the attention's projection (all heads side by side), what the second norm gives
 * [B, N, D each]; of a dense MLP what the GELU gives [B, N, hidden], and its result [B, N, D].
 */
export type Site = "attn.proj" | "norm2" | "mlp.act" | "mlp.fc2";

/** Called with what a forward pass computes on its way; for tests, statistics and figures. */
export interface VitTaps {
  /** After each block: the tokens [B, N, D]. */
  readonly onBlock?: (tokens: Tensor, block: number) => void;
  /** At each of the sites, in the order in which they are computed. */
  readonly onSite?: (site: Site, x: Tensor, block: number) => void;
}

/** What stands between `norm2` and the residual sum of a block: a dense MLP, or experts. */
export type TokenMixer = Module & { forward(x: Tensor): Tensor };

/** A transformer block, norm first. Keys `norm1`, `attn`, `norm2`, `mlp` and, with learned scales, `ls1`, `ls2`. */
export class Block extends Module {
  /** Layer norm before the attention. */
  readonly norm1: LayerNorm;
  /** Self-attention. */
  readonly attn: Attention;
  /** Layer norm before the MLP. */
  readonly norm2: LayerNorm;
  /** Dense MLP or experts. */
  readonly mlp: TokenMixer;
  readonly #scales: readonly [LayerScale, LayerScale] | null;
  readonly #drop: DropPath;

  /**
   * Block `index` of a model.
   * @param mlp what follows `norm2`
   */
  constructor(config: VitConfig, readonly index: number, mlp: TokenMixer) {
    super();
    const { embedDim: dim, numHeads, qkvBias, normEps, initValues } = config;
    this.norm1 = this.child("norm1", new LayerNorm(dim, normEps));
    const drop = { attnDrop: config.attnDropRate, projDrop: config.projDropRate };
    this.attn = this.child("attn", new Attention(dim, numHeads, { qkvBias, ...drop }));
    this.norm2 = this.child("norm2", new LayerNorm(dim, normEps));
    this.mlp = this.child("mlp", mlp);
    this.#scales = initValues === null ? null : [
      this.child("ls1", new LayerScale(dim, initValues)),
      this.child("ls2", new LayerScale(dim, initValues)),
    ];
    this.#drop = this.child(
      "drop_path",
      new DropPath(depthRate(config.dropPathRate, config.depth, index)),
    );
  }

  /** Tokens [B, N, D] -> [B, N, D]. */
  forward(x: Tensor, taps: VitTaps = {}): Tensor {
    const mixed = this.attn.mix(this.norm1.forward(x));
    taps.onSite?.("attn.proj", mixed, this.index);
    x = this.#residual(x, this.attn.project(mixed), 0);
    const normed = this.norm2.forward(x);
    taps.onSite?.("norm2", normed, this.index);
    x = this.#residual(x, this.#mix(normed, taps), 1);
    taps.onBlock?.(x, this.index);
    return x;
  }

  #mix(x: Tensor, { onSite }: VitTaps): Tensor {
    const { mlp } = this;
    if (onSite === undefined || !(mlp instanceof Mlp)) return mlp.forward(x);
    const hidden = mlp.hidden(x);
    onSite("mlp.act", hidden, this.index);
    const y = mlp.project(hidden);
    onSite("mlp.fc2", y, this.index);
    return y;
  }

  #residual(x: Tensor, branch: Tensor, which: 0 | 1): Tensor {
    const scaled = this.#scales === null ? branch : this.#scales[which].forward(branch);
    return add(x, this.#drop.forward(scaled));
  }
}

/** A learned factor a channel. Key `gamma` [D]. */
class LayerScale extends Module {
  readonly gamma: Parameter;

  constructor(dim: number, value: number) {
    super();
    this.gamma = this.parameter("gamma", new Parameter([dim], constant(value)));
  }

  forward(x: Tensor): Tensor {
    return mul(x, this.gamma);
  }
}

/** The dense Vision Transformer. */
export class VisionTransformer extends Module {
  /** Its settings, complete. */
  readonly config: VitConfig;
  /** Images to patch tokens. */
  readonly patchEmbed: PatchEmbed;
  /** The class token `cls_token` [1, 1, D]. */
  readonly clsToken: Parameter | null;
  /** The position embedding `pos_embed` [1, N, D]. */
  readonly posEmbed: Parameter;
  /** The blocks. */
  readonly blocks: readonly Block[];
  /** `norm`, before pooling, or `fc_norm`, after. */
  readonly norm: LayerNorm;
  /** The classifier. */
  readonly head: Linear;
  readonly #posDrop: Dropout;
  readonly #headDrop: Dropout;

  /**
   * A model without memory; `to(device)` gives it some.
   * @param options settings that differ from the defaults, such as one of `VIT_PRESETS`
   * @param mixer makes what stands in for the MLP of a block, in subclasses
   * @throws {ShapeError} names a setting that makes no model
   */
  constructor(options: VitOptions = {}, mixer: (block: number) => TokenMixer | null = () => null) {
    super();
    const config = this.config = vitConfig(options);
    const { embedDim: dim, patchSize, inChans, classToken, noEmbedClass } = config;
    this.clsToken = classToken
      ? this.parameter("cls_token", new Parameter([1, 1, dim], normal(1e-6)))
      : null;
    const positions = patchCount(config) + (noEmbedClass ? 0 : prefixTokens(config));
    this.posEmbed = this.parameter(
      "pos_embed",
      new Parameter([1, positions, dim], truncNormal(config.posEmbedStd)),
    );
    this.patchEmbed = this.child("patch_embed", new PatchEmbed(inChans, patchSize, dim));
    const { weightInit, projDropRate: drop } = config;
    const dense = () => new Mlp(dim, hiddenDim(config), { drop, weightInit });
    this.blocks = this.childList(
      "blocks",
      Array.from({ length: config.depth }, (_, i) => new Block(config, i, mixer(i) ?? dense())),
    );
    this.norm = this.child(config.fcNorm ? "fc_norm" : "norm", new LayerNorm(dim, config.normEps));
    this.head = this.child(
      "head",
      new Linear(dim, config.numClasses, { weightInit: TRUNC_NORMAL, biasInit: zeros }),
    );
    this.#posDrop = this.child("pos_drop", new Dropout(config.posDropRate));
    this.#headDrop = this.child("head_drop", new Dropout(config.dropRate));
  }

  /** Images [B, C, H, W] -> logits [B, classes]. @throws {ShapeError} when the images are of another size */
  forward(images: Tensor, taps: VitTaps = {}): Tensor {
    return this.forwardHead(this.forwardFeatures(images, taps));
  }

  /** Images [B, C, H, W] -> tokens [B, N, D] after the last block and, where it comes before pooling, the norm. */
  forwardFeatures(images: Tensor, taps: VitTaps = {}): Tensor {
    const [height, width] = imageSize(this.config);
    expectShape("VisionTransformer: images", images, ["B", this.config.inChans, height, width]);
    let x = this.#embed(images);
    for (const block of this.blocks) x = block.forward(x, taps);
    return this.config.fcNorm ? x : this.norm.forward(x);
  }

  /** Tokens [B, N, D] -> logits [B, classes]. */
  forwardHead(x: Tensor): Tensor {
    const prefix = prefixTokens(this.config);
    let pooled = this.config.globalPool === "avg"
      ? mean(slice(x, 1, prefix, x.shape[1]), 1)
      : reshape(slice(x, 1, 0, 1), [x.shape[0], x.shape[2]]);
    if (this.config.fcNorm) pooled = this.norm.forward(pooled);
    return this.head.forward(this.#headDrop.forward(pooled));
  }

  #embed(images: Tensor): Tensor {
    let x = this.patchEmbed.forward(images);
    const { noEmbedClass } = this.config;
    if (noEmbedClass) x = add(x, this.posEmbed);
    if (this.clsToken !== null) {
      x = concat([broadcastTo(this.clsToken, [x.shape[0], 1, x.shape[2]]), x], 1);
    }
    if (!noEmbedClass) x = add(x, this.posEmbed);
    return this.#posDrop.forward(x);
  }
}

/** timm's and the authors' initialisation of linear layers. */
const TRUNC_NORMAL = truncNormal(0.02);
