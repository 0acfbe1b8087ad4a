/**
 * Frozen batch norm as part of the convolution before it; maths and kernels in kernels/batch_norm_fold.ts.
 * @module
 */
import {
  batchNormFold,
  batchNormFoldBackward,
  type BatchNormFoldShape,
  batchNormFoldVariant,
} from "../../kernels/batch_norm_fold.ts";
import { record } from "../autograd.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, type Tensor } from "../tensor.ts";

/** A batch norm in evaluation: what it learned and the statistics it keeps; all of shape [O]. */
export interface FrozenBatchNorm {
  /** gamma. */
  readonly weight: Tensor;
  /** beta. */
  readonly bias: Tensor;
  /** Mean of each channel; a constant. */
  readonly runningMean: Tensor;
  /** Variance of each channel; a constant. */
  readonly runningVar: Tensor;
  /** Added to the variance; default 1e-5. */
  readonly eps?: number;
}

/**
 * Folds a batch norm with fixed statistics into the weight of the convolution (without bias) before it:
 * norm(conv2d(x, weight)) = conv2d(x, folded.weight, folded.bias).
 *
 * Gradient: with r = 1 / sqrt(var + eps): dweight = gamma r dfolded.weight for each output channel, dgamma = r (the
 * channel's sum of weight dfolded.weight - mean dfolded.bias), dbeta = dfolded.bias; none for mean and var.
 * @param weight [O, ...]
 * @throws {ShapeError} when the norm is not one of O channels
 */
export function foldBatchNorm(
  weight: Tensor,
  norm: FrozenBatchNorm,
): { weight: Tensor; bias: Tensor } {
  expectFloat("foldBatchNorm: weight", weight);
  const { weight: gamma, bias: beta, runningMean: mean, runningVar: variance, eps = 1e-5 } = norm;
  if (weight.rank === 0 || weight.size === 0) {
    throw new ShapeError(`foldBatchNorm: weight = ${weight.describe()}, needs [O, ...]`);
  }
  const rows = weight.shape[0];
  const parts = { weight: gamma, bias: beta, runningMean: mean, runningVar: variance };
  for (const [name, part] of Object.entries(parts)) {
    expectFloat(`foldBatchNorm: ${name} of the norm`, part);
    expectShape(`foldBatchNorm: ${name} of the norm`, part, [rows]);
  }
  const shape: BatchNormFoldShape = { rows, n: weight.size / rows, eps };
  const { device } = weight;
  const y = device.empty(weight.shape, weight.dtype, "folded weight");
  const bias = device.empty([rows], "f32", "folded bias");
  run(batchNormFold(shape), { weight, gamma, mean, variance, beta, y, bias });
  record("foldBatchNorm", {
    inputs: { weight, gamma, beta },
    outputs: [y, bias],
    saved: { weight, gamma, mean, variance },
    backward: ({ saved, dOuts, needs, target }) => {
      const dFolded = dOuts[0] ?? device.zeros(saved.weight.shape);
      const dBias = dOuts[1] ?? device.zeros([rows]);
      if (!needs("weight") && !needs("gamma")) return { beta: dBias };
      const into = needs("weight") ? target("weight") : undefined;
      const y = into?.tensor ??
        device.empty(saved.weight.shape, saved.weight.dtype, "foldBatchNorm dWeight");
      const dGamma = device.empty([rows], "f32", "foldBatchNorm dGamma");
      const variant = batchNormFoldVariant(device.target);
      const kernel = batchNormFoldBackward(shape, variant, into?.accumulate ?? 0);
      run(kernel, { ...saved, dFolded, dBias, y, dGamma });
      return { weight: into ? undefined : y, gamma: dGamma, beta: dBias };
    },
  });
  return { weight: y, bias };
}
