/**
 * Kind 8: full-size models whose weights follow from their names.
 * @module
 */
import { noGrad } from "../../engine/autograd.ts";
import type { Device } from "../../engine/device.ts";
import { DataError } from "../../engine/errors.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { inferVitOptions } from "../../models/infer_config.ts";
import { visionModel } from "../../models/presets.ts";
import { imageSize, type VitConfig } from "../../models/vit_config.ts";
import type { GoldenCase, Results } from "../case.ts";
import { deterministicFill } from "../fill.ts";
import { modelOptions } from "../model.ts";

/** Runs a case of kind 8. */
export async function fullSizeCase(golden: GoldenCase, device: Device): Promise<Results> {
  const shapes = stateShapes(golden);
  // The sizes that the settings leave to a preset follow from the weights.
  const model = visionModel({ ...inferVitOptions(shapes), ...modelOptions(golden.config) }).eval();
  try {
    const read = (name: string) => Promise.resolve(deterministicFill(name, shapes.get(name)!));
    await model.to(device, { state: { shapes, read } });
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
export function stateShapes(golden: GoldenCase): Map<string, readonly number[]> {
  const list = golden.data.state_dict;
  if (!Array.isArray(list)) throw new DataError(`${golden.name}: data.state_dict is not a list`);
  return new Map(list as [string, number[]][]);
}

/** Mean and standard deviation (divided by n), in float64. */
export function meanAndDeviation(values: ArrayLike<number>): [number, number] {
  const n = values.length;
  let sum = 0, squares = 0;
  for (let i = 0; i < n; i++) sum += values[i];
  const mean = sum / n;
  for (let i = 0; i < n; i++) squares += (values[i] - mean) ** 2;
  return [mean, Math.sqrt(squares / n)];
}
