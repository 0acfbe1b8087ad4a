/**
 * Models: the Vision Transformer, its mixture-of-experts variants, how a dense checkpoint becomes one of them, and MCGaze.
 * @module
 */
export { Block, type Site, type TokenMixer, VisionTransformer, type VitTaps } from "./vit.ts";
export {
  imageSize,
  VIT_PRESETS,
  type VitConfig,
  vitConfig,
  type VitOptions,
} from "./vit_config.ts";
export {
  fitPretrained,
  loadPretrained,
  type PretrainedOptions,
  PretrainedReport,
  type ResizedTensor,
} from "./pretrained.ts";
export { type Grid, type ResizeOptions, resizePosEmbed } from "./resize_pos_embed.ts";
export { VisionTransformerMoe } from "./moe_vit.ts";
export {
  expertCount,
  expertHidden,
  type ExpertPath,
  expertPaths,
  MOE_VIT_PRESETS,
  type MoeVitConfig,
  moeVitConfig,
  type MoeVitOptions,
} from "./moe_vit_config.ts";
export { inferMoeVitOptions, inferVitOptions, vitPrefix } from "./infer_config.ts";
export { type Preset, type PresetName, presetNamed, PRESETS, visionModel } from "./presets.ts";
export {
  recycle,
  type Recycled,
  recycleFrom,
  type RecycleOptions,
  recycleSites,
} from "./recycle.ts";
export {
  formatRecycleReport,
  listRecycledTensors,
  type RecycleEntry,
  type RecycleReport,
  type ReportedCut,
  type Selection,
} from "./recycle_report.ts";
export { type AxisCut, type MlpWeights, stackExperts } from "./take.ts";
export { RECYCLE_METHODS, type RecycleMethod, type SelectionOptions } from "./expert_selector.ts";
export {
  activationStats,
  type LayerStats,
  type SiteStats,
  siteStats,
  type StatsOptions,
} from "./activation_stats.ts";
export {
  drawByScore,
  globalScores,
  randomIndices,
  subsetSize,
  topIndices,
  uniformIndices,
} from "./selection.ts";
export {
  type GraphParts,
  graphParts,
  indicesFromParts,
  type PartitionQuality,
  partitionQuality,
  partsToDraw,
} from "./graph.ts";
export { louvain } from "./louvain.ts";
export {
  jetpackDecay,
  layerDecay,
  type LayerDecayOptions,
  type ParameterSettings,
} from "./layer_decay.ts";
export {
  type ClueTargets,
  GAZE_CLUES,
  type GazeClue,
  type GazeLossWeights,
  gazeStageLosses,
  type GazeStageOptions,
  type StagePredictions,
} from "./gaze_losses.ts";
export {
  ResidualBlock,
  ResNet,
  RESNET50,
  RESNET_STRIDES,
  resNetChannels,
  type ResNetConfig,
} from "./resnet.ts";
export { FeaturePyramid } from "./fpn.ts";
export {
  type BoxShares,
  MCGAZE_PRESETS,
  type McGazeConfig,
  mcGazeConfig,
  type McGazeOptions,
} from "./mcgaze_config.ts";
export { FcBranch, GazeStqiHead, type StageOutput } from "./mcgaze_stage.ts";
export { GazeHead, type Gazes } from "./mcgaze_gaze_head.ts";
export { type ClipLayout, type GazeStage, McGaze } from "./mcgaze.ts";
export {
  type GazeTruth,
  MCGAZE_RECIPE,
  MCGAZE_SMALL_RECIPE,
  mcGazeGroups,
  mcGazeLoss,
  type McGazeRecipe,
} from "./mcgaze_training.ts";
export {
  type FrameFeatures,
  gazeFeatures,
  type GazePrediction,
  predictGaze,
  type StagePrediction,
} from "./mcgaze_predict.ts";
