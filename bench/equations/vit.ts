/**
 * The Vision Transformer (arXiv:2010.11929) over `Ops`, with timm's parameter names; blocks whose parameters have experts
 * mix with a SpheroMoE layer.
 * @module
 */
import type { Ops } from "../ops/ops.ts";
import type { VitConfig } from "../../mod.ts";
import { imageSize } from "../../models/vit_config.ts";
import { spheroMoe } from "./sphero_moe.ts";

/** Images [B, C, H, W] to logits [B, classes]. @param p parameters by timm's names */
export function vit<T>(
  ops: Ops<T>,
  p: Readonly<Record<string, T>>,
  images: T,
  config: VitConfig,
): T {
  const { patchSize, embedDim: dim, depth, numHeads, normEps } = config;
  const [batch] = ops.shape(images);
  const layer = (name: string, x: T, activation: "none" | "gelu" = "none") =>
    ops.linear(x, p[`${name}.weight`], p[`${name}.bias`], activation);
  const norm = (name: string, x: T) =>
    ops.layerNorm(x, p[`${name}.weight`], p[`${name}.bias`], normEps);

  const kernel = p["patch_embed.proj.weight"];
  const [, channels, side] = ops.shape(kernel);
  const matrix = ops.reshape(kernel, [dim, channels * side * side]);
  let x = ops.linear(ops.patchify(images, patchSize), matrix, p["patch_embed.proj.bias"]);
  if (config.classToken) x = ops.concat([ops.broadcastTo(p["cls_token"], [batch, 1, dim]), x], 1);
  x = ops.add(x, p["pos_embed"]);
  for (let i = 0; i < depth; i++) {
    const block = `blocks.${i}`;
    const mixed = ops.attention(layer(`${block}.attn.qkv`, norm(`${block}.norm1`, x)), numHeads);
    x = ops.add(x, layer(`${block}.attn.proj`, mixed));
    const second = norm(`${block}.norm2`, x);
    const branch = p[`${block}.mlp.phi`] === undefined
      ? layer(`${block}.mlp.fc2`, layer(`${block}.mlp.fc1`, second, "gelu"))
      : spheroMoe(ops, p, `${block}.mlp.`, second);
    x = ops.add(x, branch);
  }
  const [, tokens] = ops.shape(x);
  if (config.globalPool === "token") {
    // Layer norm works on each token alone, so only the class token needs it.
    const token = ops.reshape(ops.slice(x, 1, 0, 1), [batch, dim]);
    return layer("head", norm("norm", token));
  }
  const mean = ops.scale(ops.sum(x, 1), 1 / tokens);
  return layer("head", norm("fc_norm", ops.reshape(mean, [batch, dim])));
}

/** Multiply-adds of a forward pass of the dense model on one image. */
export function vitProducts(config: VitConfig): number {
  const { patchSize, inChans, embedDim: dim, depth, mlpRatio, numClasses } = config;
  const [height, width] = imageSize(config);
  const patches = (height / patchSize) * (width / patchSize),
    tokens = patches + (config.classToken ? 1 : 0);
  const block = tokens * dim * dim * (4 + 2 * mlpRatio) + 2 * tokens * tokens * dim;
  return patches * inChans * patchSize ** 2 * dim + depth * block + dim * numClasses;
}
