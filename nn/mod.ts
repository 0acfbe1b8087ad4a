/**
 * Neural networks: modules with named parameters, initialisers, optimisers and training.
 * @module
 */
export { Rng, type RngState } from "../engine/random/host_rng.ts";
export * as init from "./init.ts";
export type { WeightInit } from "./init.ts";
export { Attention, type AttentionConfig } from "./attention.ts";
export {
  BATCH_COUNTERS,
  BatchNorm2d,
  Conv2d,
  type Conv2dConfig,
  type ConvEnding,
  ConvWeight,
} from "./conv2d.ts";
export { DropPath } from "./drop_path.ts";
export { Dropout } from "./dropout.ts";
export { Ema, type EmaState } from "./ema.ts";
export { DynamicConv, type DynamicConvConfig } from "./dynamic_conv.ts";
export { ExpertLinear, Experts, type ExpertsConfig, OffsetScale } from "./experts.ts";
export { GradScaler, type GradScalerOptions, type GradScalerState } from "./grad_scaler.ts";
export { LayerNorm } from "./layer_norm.ts";
export { Linear, type LinearConfig } from "./linear.ts";
export {
  crossEntropy,
  type CrossEntropyOptions,
  meanAbsoluteError,
  meanSquaredError,
} from "./losses.ts";
export { Mlp, type MlpConfig } from "./mlp.ts";
export { Module } from "./module.ts";
export { MultiheadAttention } from "./multihead_attention.ts";
export type { MoeConfig } from "./moe_input.ts";
export { type Init, Parameter } from "./parameter.ts";
export { PatchEmbed, PatchProjection } from "./patch_embed.ts";
export { SoftMoe, type SoftMoeConfig } from "./soft_moe.ts";
export { SpheroMoe, type SpheroMoeConfig } from "./sphero_moe.ts";
export type { LoadOptions, LoadReport, StateDict, StateEntry, StateSource } from "./state_dict.ts";
export { AdamW, type AdamWOptions } from "./optim/adamw.ts";
export {
  type NamedParameters,
  Optimizer,
  type OptimizerOptions,
  type OptimizerState,
  type ParameterCopy,
  type ParameterGroup,
  type SpanSettings,
  type StepTensors,
} from "./optim/optimizer.ts";
export { type NamedSettings, parameterGroups, withoutDecay } from "./optim/param_groups.ts";
export {
  constantSchedule,
  type Schedule,
  stepDecay,
  type StepDecayOptions,
  warmupCosine,
  type WarmupCosineOptions,
} from "./optim/schedule.ts";
export {
  type ResilientOptions,
  type ResilientParts,
  type ResilientResult,
  trainResilient,
} from "./resilient.ts";
export { SGD, type SgdOptions } from "./optim/sgd.ts";
export {
  estimate,
  type EstimateOptions,
  type ForwardModule,
  type ModelEstimate,
} from "./estimate.ts";
export { train, type TrainBatch, type TrainOptions, type TrainProgress } from "./train.ts";
