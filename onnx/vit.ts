/**
 * The Vision Transformer, dense or with experts, as ONNX nodes; the equations are those of models/vit.ts.
 * @module
 */
import { type MoeVitConfig, type VisionTransformer, VisionTransformerMoe } from "../models/mod.ts";
import { moeLayer } from "./moe.ts";
import type { Scope } from "./scope.ts";

/** Images [B, C, H, W] to logits [B, classes]. */
export function vitNodes(root: Scope, model: VisionTransformer, images: string): string {
  const { config } = model;
  const { patchSize: p, embedDim: dim, numHeads, normEps, noEmbedClass, globalPool } = config;
  const experts = (block: number): MoeVitConfig | null =>
    model instanceof VisionTransformerMoe && model.config.moeLayers.includes(block)
      ? model.config
      : null;

  const proj = root.in("patch_embed.proj");
  const place = { kernel_shape: [p, p], strides: [p, p] };
  const map = proj.node("Conv", [images, proj.weight("weight"), proj.weight("bias")], place);
  let x = root.permute(root.reshape(map, [0, dim, -1]), [0, 2, 1]); // [B, N, D]
  if (noEmbedClass) x = root.add(x, root.weight("pos_embed"));
  if (config.classToken) x = root.concat([classTokens(root, x), x], 1);
  if (!noEmbedClass) x = root.add(x, root.weight("pos_embed"));

  for (let i = 0; i < config.depth; i++) {
    const block = root.in(`blocks.${i}`), attn = block.in("attn"), mlp = block.in("mlp");
    const scaled = (y: string, scale: string) =>
      block.has(scale) ? block.mul(y, block.weight(scale)) : y;
    const qkv = attn.linear("qkv", block.layerNorm("norm1", x, normEps));
    const mixed = attn.linear("proj", attn.attention(qkv, numHeads, dim));
    x = block.add(x, scaled(mixed, "ls1.gamma"));
    const normed = block.layerNorm("norm2", x, normEps), moe = experts(i);
    const branch = moe === null
      ? mlp.linear("fc2", mlp.gelu(mlp.linear("fc1", normed)))
      : moeLayer(mlp, normed, moe);
    x = block.add(x, scaled(branch, "ls2.gamma"));
  }

  if (!config.fcNorm) x = root.layerNorm("norm", x, normEps);
  let pooled = globalPool === "avg" ? meanOfPatches(root, x, model) : root.pick(x, 1, 0);
  if (config.fcNorm) pooled = root.layerNorm("fc_norm", pooled, normEps);
  return root.linear("head", pooled);
}

/** The class token for each image of x [B, N, D]: [B, 1, D]. */
function classTokens(root: Scope, x: string): string {
  const [, , dim] = root.shapeOf("cls_token");
  const batch = root.slice(root.node("Shape", [x]), 0, 0, 1);
  const shape = root.concat([batch, root.integers([1, dim])], 0);
  return root.node("Expand", [root.weight("cls_token"), shape]);
}

/** Tokens [B, N, D] to the mean over those that are patches, [B, D]. */
function meanOfPatches(root: Scope, x: string, { config, posEmbed }: VisionTransformer): string {
  const { classToken, noEmbedClass, embedDim } = config;
  const positions = posEmbed.shape[1];
  const patches = classToken && !noEmbedClass ? positions - 1 : positions;
  const all = classToken ? root.slice(x, 1, 1, patches + 1) : x;
  const mean = root.mul(root.sum(all, 1), root.number(1 / patches));
  return root.reshape(mean, [-1, embedDim]);
}
