/**
 * The Vision Transformer whose last blocks hold a mixture of experts in place of their MLP (MoE Jetpack,
 * arXiv:2406.04801; Soft MoE, arXiv:2308.00951), with the authors' parameter names.
 * @module
 */
import { SoftMoe } from "../nn/soft_moe.ts";
import { SpheroMoe } from "../nn/sphero_moe.ts";
import {
  expertHidden,
  type MoeVitConfig,
  moeVitConfig,
  type MoeVitOptions,
} from "./moe_vit_config.ts";
import { type TokenMixer, VisionTransformer } from "./vit.ts";
import { depthRate } from "./vit_config.ts";

/** A Vision Transformer with SpheroMoE layers (two paths) or Soft MoE layers (one) in the blocks `moeLayers`. */
export class VisionTransformerMoe extends VisionTransformer {
  /** Its settings, complete. */
  declare readonly config: MoeVitConfig;

  /**
   * A model without memory; `to(device)` gives it some.
   * @param options settings that differ from the defaults, such as one of `MOE_VIT_PRESETS`
   * @throws {ShapeError} names a setting that makes no model
   */
  constructor(options: MoeVitOptions = {}) {
    const config = moeVitConfig(options);
    super(config, (block) => config.moeLayers.includes(block) ? experts(config, block) : null);
  }
}

/** The experts of a block. */
function experts(config: MoeVitConfig, block: number): TokenMixer {
  const shared = {
    slotsPerExpert: config.slotsPerExpert,
    slotLayernorm: config.slotLayernorm,
    addNoise: config.addNoise,
    noiseMult: config.noiseMult,
    drop: config.moeDroprate,
    dropAct: config.moeDroprateAct ?? config.moeDroprate,
    dropPath: depthRate(config.moeDropPathRate, config.depth, block),
  };
  return config.ifDualpath
    ? new SpheroMoe(config.embedDim, {
      ...shared,
      coreExperts: config.coreExperts,
      univExperts: config.univExperts,
      coreHidden: expertHidden(config, "core_experts"),
      univHidden: expertHidden(config, "univ_experts"),
      temperatures: config.temperatures,
    })
    : new SoftMoe(config.embedDim, {
      ...shared,
      experts: config.numExperts,
      hidden: expertHidden(config, "experts"),
      layerScale: config.layerScale,
    });
}
