/**
 * The settings of a Vision Transformer, read off the names and shapes of its weights.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import type { MoeVitOptions } from "./moe_vit_config.ts";
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

/**
 * The same for a model that may have experts in place of some MLPs (a dense one has no `moeLayers` then). Temperatures are
 * weights; noise and dropout, which shapes do not show, are none.
 * @param shapes the authors' names, without a prefix
 * @param headDim channels of a head; default 64
 * @throws {CheckpointError} these are no weights of a ViT; names what is missing
 */
export function inferMoeVitOptions(
  shapes: ReadonlyMap<string, readonly number[]>,
  headDim: number = HEAD_DIM,
): MoeVitOptions {
  const dense = inferVitOptions(shapes, headDim);
  const moeLayers = [...shapes.keys()]
    .map((name) => /^blocks\.(\d+)\.mlp\.phi$/.exec(name)?.[1])
    .filter((block) => block !== undefined).map(Number).sort((a, b) => a - b);
  if (moeLayers.length === 0) return dense;
  const of = (name: string): readonly number[] | undefined =>
    shapes.get(`blocks.${moeLayers[0]}.mlp.${name}`);
  const [experts, slotsPerExpert] = of("phi")!;
  const [coreExperts, coreHidden] = of("core_experts.vit_fc1.weight") ?? [];
  const [univExperts, univHidden] = of("univ_experts.vit_fc1.weight") ?? [];
  const hidden = coreHidden ?? of("experts.vit_fc1.weight")?.[1];
  if (hidden === undefined || (coreHidden !== undefined && univHidden === undefined)) {
    throw new CheckpointError(
      `blocks.${
        moeLayers[0]
      }.mlp has routing embeddings (phi), but not the experts of a SpheroMoE or Soft MoE layer`,
    );
  }
  // Numbers of neurons are rounded down later: half a neuron more comes out as the same number.
  const compressRatio = (hidden + 0.5) / (4 * dense.embedDim!);
  return {
    ...dense,
    moeLayers,
    slotsPerExpert,
    compressRatio,
    slotLayernorm: of("slot_norm.weight") !== undefined,
    ...(coreExperts === undefined
      ? {
        ifDualpath: false,
        numExperts: experts,
        layerScale: [...shapes.keys()].some((name) => /\.mlp\.experts\.scale_in\./.test(name)),
      }
      : {
        coreExperts,
        univExperts,
        univFactor: (univHidden! + 0.5) / (4 * compressRatio * dense.embedDim!),
      }),
  };
}

/** What stands in front of a ViT's names in a file, such as `module.`; "" where nothing does. */
export function vitPrefix(names: Iterable<string>): string {
  const last = "patch_embed.proj.weight";
  for (const name of names) {
    if (name === last || name.endsWith(`.${last}`)) return name.slice(0, -last.length);
  }
  return "";
}
