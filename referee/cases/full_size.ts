/**
 * Kind 8: full-size models whose weights follow from their names.
 * @module
 */
import { noGrad } from "../../engine/autograd.ts";
import type { Device } from "../../engine/device.ts";
import { DataError } from "../../engine/errors.ts";
import type { Tensor } from "../../engine/tensor.ts";
import type { MoeVitOptions } from "../../models/moe_vit_config.ts";
import { imageSize, type VitConfig } from "../../models/vit_config.ts";
import type { GoldenCase, Results } from "../case.ts";
import { deterministicFill } from "../fill.ts";
import { buildModel, modelOptions } from "../model.ts";

/** Channels of a head of the attention in all of the papers' models; a state dict does not show it. */
const HEAD_DIM = 64;

/** Runs a case of kind 8. */
export async function fullSizeCase(golden: GoldenCase, device: Device): Promise<Results> {
  const shapes = stateShapes(golden);
  const options = { ...sizesOf(golden, shapes), ...modelOptions(golden.config) };
  const model = buildModel(options).eval();
  try {
    // Loaded before it is placed, so that no first values are drawn for 265 million weights.
    await model.loadStateFrom({
      shapes,
      read: (name) => Promise.resolve(deterministicFill(name, shapes.get(name)!)),
    });
    await model.to(device);
    const shape = imageShape(golden, model.config);
    const reads = await device.step(() =>
      noGrad(() => {
        const image = device.tensor(deterministicFill("input.image", shape), shape);
        const blocks: Promise<ArrayLike<number>>[] = [];
        const onBlock = (tokens: Tensor) => blocks.push(tokens.data());
        return { logits: model.forward(image, { onBlock }).data(), blocks };
      })
    );
    const blocks = await Promise.all(reads.blocks);
    const at = golden.ints("sample_index");
    return new Map<string, ArrayLike<number>>([
      ["output.logits", await reads.logits],
      ["output.block_stats", blocks.flatMap(meanAndDeviation)],
      ["output.block_samples", blocks.flatMap((block) => Array.from(at, (i) => block[i]))],
    ]);
  } finally {
    model.dispose();
  }
}

/** The shape of the image, which the settings give in words; one image of the model's size otherwise. */
function imageShape(golden: GoldenCase, config: VitConfig): number[] {
  const words = /\[(\d+(?:, *\d+)*)\]/.exec(golden.config.text("input", ""));
  return words ? words[1].split(",").map(Number) : [1, config.inChans, ...imageSize(config)];
}

/** The state dict's names and shapes. */
function stateShapes(golden: GoldenCase): Map<string, readonly number[]> {
  const list = golden.data.state_dict;
  if (!Array.isArray(list)) throw new DataError(`${golden.name}: data.state_dict is not a list`);
  return new Map(list as [string, number[]][]);
}

/** The sizes of a model that its settings leave to a preset, from the shapes of its weights. */
function sizesOf(
  golden: GoldenCase,
  shapes: ReadonlyMap<string, readonly number[]>,
): MoeVitOptions {
  const shape = (name: string): readonly number[] => {
    const found = shapes.get(name);
    if (found === undefined) throw new DataError(`${golden.name}: no ${name} in data.state_dict`);
    return found;
  };
  const [embedDim, inChans, patchSize] = shape("patch_embed.proj.weight");
  const classToken = shapes.has("cls_token");
  const patches = shape("pos_embed")[1] - (classToken ? 1 : 0);
  const blocks = [...shapes.keys()].map((name) => /^blocks\.(\d+)\./.exec(name)?.[1]);
  const dense = [...shapes].find(([name]) => name.endsWith(".mlp.fc1.weight"))?.[1];
  return {
    embedDim,
    inChans,
    patchSize,
    classToken,
    imgSize: Math.round(Math.sqrt(patches)) * patchSize,
    depth: new Set(blocks.filter((block) => block !== undefined)).size,
    numHeads: embedDim / HEAD_DIM,
    numClasses: shape("head.weight")[0],
    mlpRatio: dense === undefined ? undefined : (dense[0] + 0.5) / embedDim, // rounded down later
    qkvBias: shapes.has("blocks.0.attn.qkv.bias"),
    fcNorm: shapes.has("fc_norm.weight"),
    initValues: shapes.has("blocks.0.ls1.gamma") ? 1 : null,
  };
}

/** Mean and standard deviation (divided by n), in float64. */
function meanAndDeviation(values: ArrayLike<number>): [number, number] {
  const n = values.length;
  let sum = 0, squares = 0;
  for (let i = 0; i < n; i++) sum += values[i];
  const mean = sum / n;
  for (let i = 0; i < n; i++) squares += (values[i] - mean) ** 2;
  return [mean, Math.sqrt(squares / n)];
}
