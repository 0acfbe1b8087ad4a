/**
 * The settings of a dense Vision Transformer, read off the shapes of its weights.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import type { VitOptions } from "./vit_config.ts";

/** Channels of a head of the attention in all of the papers' models; a state dict does not show it. */
const HEAD_DIM = 64;

/**
 * Reads a model's sizes off its weights' shapes. Images are taken to be square. What shapes do not show is the default
 * (`globalPool`: `avg` with a `fc_norm`, else `token`), and a width that is no multiple of `headDim` gets one head.
 * @param shapes timm's names, without a prefix
 * @param headDim channels of a head; default 64, as in all of the papers' models
 * @throws {CheckpointError} these are no weights of a dense ViT; names what is missing
 */
export function inferVitOptions(
  shapes: ReadonlyMap<string, readonly number[]>,
  headDim: number = HEAD_DIM,
): VitOptions {
  const shape = (name: string, rank: number): readonly number[] => {
    const found = shapes.get(name);
    if (found?.length === rank) return found;
    const what = found === undefined ? "there is none" : `it is [${found.join(", ")}]`;
    throw new CheckpointError(
      `these are not the weights of a Vision Transformer as timm names them: needs ${name} with ` +
        `${rank} dimensions, ${what}`,
    );
  };
  const [embedDim, inChans, patchSize] = shape("patch_embed.proj.weight", 4);
  const classToken = shapes.has("cls_token");
  const patches = shape("pos_embed", 3)[1] - (classToken ? 1 : 0);
  const blocks = [...shapes.keys()].map((name) => /^blocks\.(\d+)\./.exec(name)?.[1]);
  const dense = [...shapes].find(([name]) => name.endsWith(".mlp.fc1.weight"))?.[1];
  const fcNorm = shapes.has("fc_norm.weight");
  return {
    embedDim,
    inChans,
    patchSize,
    classToken,
    imgSize: Math.round(Math.sqrt(patches)) * patchSize,
    depth: new Set(blocks.filter((block) => block !== undefined)).size,
    numHeads: embedDim % headDim === 0 ? embedDim / headDim : 1,
    numClasses: shape("head.weight", 2)[0],
    mlpRatio: dense === undefined ? undefined : (dense[0] + 0.5) / embedDim, // rounded down later
    qkvBias: shapes.has("blocks.0.attn.qkv.bias"),
    globalPool: fcNorm || !classToken ? "avg" : "token",
    fcNorm,
    initValues: shapes.has("blocks.0.ls1.gamma") ? 1 : null,
  };
}
