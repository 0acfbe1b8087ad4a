/**
 * The settings of a Vision Transformer with mixture-of-experts layers (MoE Jetpack, arXiv:2406.04801) as one plain
 * object, and the paper's models by name.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { checkAmount, checkCount } from "../nn/check.ts";
import { checkRate, type VitConfig, vitConfig, withoutUndefined } from "./vit_config.ts";

/** Settings of a `VisionTransformerMoe`. Defaults are the authors', but for `addNoise` and `moeDroprate`. */
export interface MoeVitConfig extends VitConfig {
  /** Blocks whose MLP is replaced by experts, from 0. Default none. */
  readonly moeLayers: readonly number[];
  /** Two sets of experts, core and universal (SpheroMoE), or one (Soft MoE). Default true. */
  readonly ifDualpath: boolean;
  /** Large experts of a SpheroMoE layer, with `4 compressRatio embedDim` hidden neurons. Default 98. */
  readonly coreExperts: number;
  /** Small experts of a SpheroMoE layer, with `univFactor` times as many. Default 196. */
  readonly univExperts: number;
  /** Size of a universal expert in relation to a core expert. Default 1/4. */
  readonly univFactor: number;
  /** Experts of a Soft MoE layer. Default 192. */
  readonly numExperts: number;
  /** Slots of each expert: how many mixtures of tokens it sees of an image. Default 1. */
  readonly slotsPerExpert: number;
  /**
   * First temperatures of a SpheroMoE's dispatch and combine. Default [0.5, 0.5], the authors'. The cosines of random
   * directions spread by 1 / sqrt(embedDim): far above that all experts start with the mean of the tokens.
   */
  readonly temperatures: readonly [dispatch: number, combine: number];
  /** Layer norm on the slots' queries. Default false. */
  readonly slotLayernorm: boolean;
  /** Factor on the hidden neurons of all experts. Default 1. */
  readonly compressRatio: number;
  /** Learned scale and offset around the experts of a Soft MoE layer. Default false. */
  readonly layerScale: boolean;
  /**
   * Normal noise on the routing logits: `true` while evaluating too, as the authors' code does, `"training"` in training
   * mode only. Default false: the authors' default is true, which makes a model's answers random.
   */
  readonly addNoise: boolean | "training";
  /** Standard deviation of that noise. Default 1. */
  readonly noiseMult: number;
  /** Dropout on the experts' outputs. Default 0 (theirs 0.4: small data sets do not survive it). */
  readonly moeDroprate: number;
  /** Dropout after the experts' activation; null: as `moeDroprate`. Default null. */
  readonly moeDroprateAct: number | null;
  /** Probability of dropping all experts of an image in the last block; grows linearly with depth. Default 0. */
  readonly moeDropPathRate: number;
}

/** The settings that differ from the defaults. */
export type MoeVitOptions = Partial<MoeVitConfig>;

/**
 * Completes and checks settings.
 * @throws {ShapeError} names a setting that makes no model
 */
export function moeVitConfig(options: MoeVitOptions = {}): MoeVitConfig {
  const config: MoeVitConfig = {
    ...vitConfig(options),
    moeLayers: [],
    ifDualpath: true,
    coreExperts: 98,
    univExperts: 196,
    univFactor: 1 / 4,
    numExperts: 192,
    slotsPerExpert: 1,
    temperatures: [0.5, 0.5],
    slotLayernorm: false,
    compressRatio: 1,
    layerScale: false,
    addNoise: false,
    noiseMult: 1,
    moeDroprate: 0,
    moeDroprateAct: null,
    moeDropPathRate: 0,
    ...withoutUndefined(options),
  };
  const where = "VisionTransformerMoe";
  for (const layer of config.moeLayers) {
    if (!Number.isInteger(layer) || layer < 0 || layer >= config.depth) {
      throw new ShapeError(
        `${where}: moeLayers names block ${layer}, there are blocks 0 to ${config.depth - 1}`,
      );
    }
  }
  for (
    const name of config.ifDualpath
      ? ["coreExperts", "univExperts", "slotsPerExpert"] as const
      : ["numExperts", "slotsPerExpert"] as const
  ) checkCount(where, name, config[name]);
  checkAmount(where, "noiseMult", config.noiseMult);
  checkRate(where, "moeDroprate", config.moeDroprate);
  checkRate(where, "moeDroprateAct", config.moeDroprateAct ?? 0);
  checkRate(where, "moeDropPathRate", config.moeDropPathRate);
  checkCount(where, "hidden neurons of an expert", expertHidden(config, "experts"));
  if (config.ifDualpath) {
    checkCount(where, "hidden neurons of a universal expert", expertHidden(config, "univ_experts"));
  }
  return config;
}

/** The sets of experts of a layer, by their name in the state dict. */
export type ExpertPath = "core_experts" | "univ_experts" | "experts";

/** The sets of experts that a model's MoE layers have. */
export function expertPaths(config: MoeVitConfig): readonly ExpertPath[] {
  return config.ifDualpath ? ["core_experts", "univ_experts"] : ["experts"];
}

/** How many experts a set has. */
export function expertCount(config: MoeVitConfig, path: ExpertPath): number {
  if (path === "experts") return config.numExperts;
  return path === "core_experts" ? config.coreExperts : config.univExperts;
}

/** Hidden neurons of each expert of a set, rounded down. The factor 4 is fixed: `mlpRatio` is for dense blocks. */
export function expertHidden(config: MoeVitConfig, path: ExpertPath): number {
  const { embedDim, compressRatio, univFactor } = config;
  if (path === "univ_experts") return Math.trunc(4 * univFactor * compressRatio * embedDim);
  return Math.trunc(4 * compressRatio * embedDim);
}

/** What the published fine-tuning configurations share; dropout and noise are theirs. */
const JETPACK: MoeVitOptions = {
  globalPool: "avg",
  moeLayers: [6, 7, 8, 9, 10, 11],
  ifDualpath: true,
  coreExperts: 98,
  univExperts: 196,
  univFactor: 1 / 4,
  slotsPerExpert: 1,
  slotLayernorm: true,
  dropPathRate: 0.1,
  moeDroprate: 0.4,
  moeDropPathRate: 0.1,
  addNoise: true,
  noiseMult: 1 / (98 + 196),
};

/** The sizes of ViT-T and ViT-S. */
const TINY: MoeVitOptions = { patchSize: 16, embedDim: 192, depth: 12, numHeads: 3 };
const SMALL: MoeVitOptions = { patchSize: 16, embedDim: 384, depth: 12, numHeads: 6 };

/**
 * The authors' models by name: the paper's V-JetMoE-T, the same with a third of the experts, V-JetMoE-S, and the bare
 * sizes that their code registers.
 */
export const MOE_VIT_PRESETS: Readonly<
  Record<
    | "V-JetMoE-T"
    | "V-JetMoE-T-32-64"
    | "V-JetMoE-S"
    | "vit_tiny_moe_custom"
    | "vit_small_moe_custom",
    MoeVitOptions
  >
> = {
  "V-JetMoE-T": { ...JETPACK, ...TINY },
  "V-JetMoE-T-32-64": {
    ...JETPACK,
    ...TINY,
    coreExperts: 32,
    univExperts: 64,
    noiseMult: 1 / (32 + 64),
  },
  "V-JetMoE-S": { ...JETPACK, ...SMALL },
  vit_tiny_moe_custom: TINY,
  vit_small_moe_custom: SMALL,
};
