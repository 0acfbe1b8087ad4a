/**
 * Models from a case's settings.
 * @module
 */
import type { Device } from "../engine/device.ts";
import { moeVitConfig, type MoeVitOptions } from "../models/moe_vit_config.ts";
import { visionModel } from "../models/presets.ts";
import type { VisionTransformer } from "../models/vit.ts";
import type { StateDict } from "../nn/state_dict.ts";
import type { CaseConfig, GoldenCase } from "./case.ts";

/**
 * Reads the settings of a model: those of its options that a case names, in Python's spelling. As everywhere in timm,
 * None is the default. First weights do not matter where all are given.
 */
export function modelOptions(config: CaseConfig): MoeVitOptions {
  const known = Object.keys(moeVitConfig()).filter((key) => key !== "weightInit");
  const named = Object.entries(config.json)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => [key.replace(/_(\w)/g, (_, c: string) => c.toUpperCase()), value])
    .filter(([key]) => known.includes(String(key)));
  // Unlike ours, the authors' model has one path unless told otherwise.
  return { ifDualpath: false, ...Object.fromEntries(named) };
}

/** The tensors of a case under a prefix, by the names behind it. */
export function stateUnder(golden: GoldenCase, prefix: string): StateDict {
  return new Map(
    golden.namesUnder(prefix).map((name) => [
      name,
      { shape: golden.shape(prefix + name), data: golden.floats(prefix + name) },
    ]),
  );
}

/** A case's model with its parameters, on the device. */
export async function placedModel(
  golden: GoldenCase,
  config: CaseConfig,
  device: Device,
): Promise<VisionTransformer> {
  const model = visionModel(modelOptions(config));
  model.loadStateDict(stateUnder(golden, "param."));
  return await model.to(device);
}
