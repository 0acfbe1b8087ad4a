/**
 * The papers' models by name: settings and how many parameters they have.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { VisionTransformerMoe } from "./moe_vit.ts";
import { MOE_VIT_PRESETS, type MoeVitOptions } from "./moe_vit_config.ts";
import { VisionTransformer } from "./vit.ts";
import { VIT_PRESETS, type VitOptions } from "./vit_config.ts";

/** The names of the presets. */
export type PresetName = keyof typeof VIT_PRESETS | keyof typeof MOE_VIT_PRESETS;

/** A model of a paper. */
export interface Preset {
  /** Settings; those of a dense model name no MoE layers. */
  readonly options: MoeVitOptions;
  /** Learned numbers, with a head for 1,000 classes. */
  readonly parameters: number;
}

/** Learned numbers of each preset, with a head for 1,000 classes. */
const PARAMETERS: Readonly<Record<PresetName, number>> = {
  vit_tiny_patch16_224: 5_717_416,
  vit_small_patch16_224: 22_050_664,
  vit_small_patch32_224: 22_878_952,
  vit_base_patch16_224: 86_567_656,
  vit_base_patch32_224: 88_224_232,
  "V-JetMoE-T": 265_411_636,
  "V-JetMoE-T-32-64": 89_321_524,
  "V-JetMoE-S": 1_058_124_916,
  vit_tiny_moe_custom: 5_717_416,
  vit_small_moe_custom: 22_050_664,
};

/** All presets. */
export const PRESETS: Readonly<Record<PresetName, Preset>> = Object.fromEntries(
  Object.entries<VitOptions>({ ...VIT_PRESETS, ...MOE_VIT_PRESETS }).map(([name, options]) => [
    name,
    { options, parameters: PARAMETERS[name as PresetName] },
  ]),
) as Record<PresetName, Preset>;

/** A preset by its name. @throws {ShapeError} there is no such preset; lists those there are */
export function presetNamed(name: string): Preset {
  if (Object.hasOwn(PRESETS, name)) return PRESETS[name as PresetName];
  throw new ShapeError(
    `there is no model ${JSON.stringify(name)}; there are ${Object.keys(PRESETS).join(", ")}`,
  );
}

/**
 * A Vision Transformer without memory: with experts where the settings name MoE layers, dense otherwise.
 * @throws {ShapeError} names a setting that makes no model
 */
export function visionModel(options: MoeVitOptions): VisionTransformer {
  return (options.moeLayers ?? []).length === 0
    ? new VisionTransformer(options)
    : new VisionTransformerMoe(options);
}
