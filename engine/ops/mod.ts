/**
 * All ops, one file each: forward and backward together.
 * @module
 */
export { reshape } from "./reshape.ts";
export { to } from "./to.ts";
export { attention, type AttentionOptions } from "./attention.ts";
export { layerNorm } from "./layer_norm.ts";
export { logSoftmax, softmax } from "./softmax.ts";
export { add, div, maximum, minimum, mul, sub } from "./arithmetic.ts";
export { max, mean, type ReduceOptions, sum } from "./reduce.ts";
export { entmax15 } from "./entmax.ts";
export { l2Normalize } from "./l2_normalize.ts";
export { broadcastTo, concat, permute, slice } from "./shape_ops.ts";
export {
  abs,
  exp,
  gelu,
  log,
  neg,
  relu,
  sigmoid,
  silu,
  sqrt,
  square,
  tanh,
} from "./elementwise.ts";
export { accuracy, argmax } from "./argmax.ts";
export { crossEntropy, type CrossEntropyOptions } from "./cross_entropy.ts";
export { patchify } from "./patchify.ts";
export { matmul, type MatmulOptions } from "./matmul.ts";
export { linear, type LinearOptions } from "./linear.ts";
export { foldBatchNorm, type FrozenBatchNorm } from "./batch_norm_fold.ts";
export { conv2d, type Conv2dOptions } from "./conv2d.ts";
export { maxPool2d, type MaxPool2dOptions } from "./max_pool.ts";
export { upsampleAdd } from "./upsample_add.ts";
export { roiAlign, type RoiAlignOptions } from "./roi_align.ts";
export { cxcywhToXyxy, decodeBoxes, type DecodeBoxesOptions, xyxyToCxcywh } from "./boxes.ts";
export {
  angleLoss,
  type AngleLossOptions,
  focalLoss,
  type FocalLossOptions,
  giouLoss,
  type GiouLossOptions,
  l1Loss,
  type RowLossOptions,
  temporalLoss,
} from "./row_losses.ts";
export { groupedLinear } from "./grouped_linear.ts";
export { cosineScores, type CosineScoresOptions, sphereQueries } from "./cosine_routing.ts";
export {
  combineMerge,
  type CombineMergeOptions,
  dispatchMerge,
  type DispatchMergeOptions,
} from "./soft_merge.ts";
export { dropout, dropPath, gaussianNoise } from "./dropout.ts";
