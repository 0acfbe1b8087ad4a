/**
 * Convolution over maps that have their channels last, with PyTorch's parameter names, and the batch norm behind it.
 * @module
 */
import { foldBatchNorm } from "../engine/ops/batch_norm_fold.ts";
import { sub } from "../engine/ops/arithmetic.ts";
import { conv2d, type Conv2dOptions } from "../engine/ops/conv2d.ts";
import { square } from "../engine/ops/elementwise.ts";
import { mean } from "../engine/ops/reduce.ts";
import { reshape } from "../engine/ops/reshape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkAmount, checkCount } from "./check.ts";
import { linearBias, linearWeight, ones, zeros } from "./init.ts";
import { Module } from "./module.ts";
import { type Init, Parameter } from "./parameter.ts";

/**
 * A kernel that lies as [O, KH, KW, C], as maps with channels last want it, and is [O, C, KH, KW] in state dicts. Its first
 * values are drawn in the order of state dicts.
 */
export class ConvWeight extends Parameter {
  /** A kernel for `inputs` channels. */
  constructor(outputs: number, inputs: number, kernel: number, init: Init) {
    super([outputs, kernel, kernel, inputs], init);
  }

  /** [O, C, KH, KW] */
  override get stateShape(): readonly number[] {
    const [outputs, height, width, inputs] = this.shape;
    return [outputs, inputs, height, width];
  }

  /** @internal */
  override toState(values: Float32Array): Float32Array {
    const [outputs, height, width, inputs] = this.shape;
    return swapInner(values, outputs, height * width, inputs);
  }

  /** @internal */
  override fromState(values: Float32Array): Float32Array {
    const [outputs, height, width, inputs] = this.shape;
    return swapInner(values, outputs, inputs, height * width);
  }
}

/** [outer, a, b] to [outer, b, a]. */
function swapInner(values: Float32Array, outer: number, a: number, b: number): Float32Array {
  if (a === 1 || b === 1) return values;
  const swapped = new Float32Array(values.length);
  for (let o = 0, from = 0; o < outer; o++) {
    for (let i = 0; i < a; i++) {
      for (let j = 0; j < b; j++, from++) swapped[(o * b + j) * a + i] = values[from];
    }
  }
  return swapped;
}

/** Options of a `Conv2d`. */
export interface Conv2dConfig {
  /** Rows and columns of the kernel; default 1. */
  kernel?: number;
  /** Pixels from one position of the kernel to the next; default 1. */
  stride?: number;
  /** Zeros around the image; default (kernel - 1) / 2, rounded down. */
  padding?: number;
  /** Add a bias; default true. */
  bias?: boolean;
  /** First values of the weight [O, C, KH, KW]; default PyTorch's, uniform in +-1/sqrt(C KH KW). */
  weightInit?: Init;
  /** First values of the bias; default PyTorch's, uniform in the same range. */
  biasInit?: Init;
}

/** What a call of `Conv2d` ends in. */
export interface ConvEnding extends Pick<Conv2dOptions, "residual" | "activation"> {
  /** A batch norm with fixed statistics, folded into weight and bias. Only for a convolution without a bias. */
  norm?: BatchNorm2d;
}

/** Maps [B, H, W, C] to [B, OH, OW, O]. Keys `weight` [O, C, KH, KW] and `bias` [O]. */
export class Conv2d extends Module {
  /** The kernel. */
  readonly weight: ConvWeight;
  /** Added to each channel. */
  readonly bias: Parameter | undefined;
  readonly #place: { stride: number; padding: number };

  /** A layer from `inputs` to `outputs` channels. @throws {ShapeError} for a size that is no whole number above 0 */
  constructor(
    /** C */ readonly inputs: number,
    /** O */ readonly outputs: number,
    config: Conv2dConfig = {},
  ) {
    super();
    const { kernel = 1, stride = 1, bias = true, weightInit = linearWeight } = config;
    const { padding = (kernel - 1) >> 1, biasInit = linearBias(inputs * kernel ** 2) } = config;
    for (const [name, size] of Object.entries({ inputs, outputs, kernel, stride })) {
      checkCount("Conv2d", name, size);
    }
    this.#place = { stride, padding };
    const weight = new ConvWeight(outputs, inputs, kernel, weightInit);
    this.weight = this.parameter("weight", weight) as ConvWeight;
    this.bias = bias ? this.parameter("bias", new Parameter([outputs], biasInit)) : undefined;
  }

  /** Applies it, in one kernel with what it ends in. @throws {ShapeError} when maps or residual do not fit */
  forward(x: Tensor, { norm, ...ending }: ConvEnding = {}): Tensor {
    const options = { ...this.#place, ...ending };
    if (norm === undefined) return conv2d(x, this.weight, this.bias, options);
    const folded = foldBatchNorm(this.weight, norm);
    return conv2d(x, folded.weight, folded.bias, options);
  }
}

/** What PyTorch's state dicts hold of a batch norm beside it; to be ignored when loading. */
export const BATCH_COUNTERS = /\.num_batches_tracked$/;

/**
 * Batch norm in evaluation: y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, with statistics that stay as
 * they were loaded. It has no forward of its own: a `Conv2d` folds it. Keys as PyTorch's, without `num_batches_tracked`.
 */
export class BatchNorm2d extends Module {
  /** gamma, [channels]. */
  readonly weight: Parameter;
  /** beta, [channels]. */
  readonly bias: Parameter;
  /** [channels] */
  readonly runningMean: Parameter;
  /** [channels] */
  readonly runningVar: Parameter;

  /** Of `channels`. @throws {ShapeError} for a size below 1 or a negative eps */
  constructor(
    readonly channels: number,
    /** First values of gamma; 0 lets a residual branch start as nothing. */ weightInit: Init =
      ones,
    /** Added to the variance. */ readonly eps = 1e-5,
  ) {
    super();
    checkCount("BatchNorm2d", "channels", channels);
    checkAmount("BatchNorm2d", "eps", eps);
    this.weight = this.parameter("weight", new Parameter([channels], weightInit));
    this.bias = this.parameter("bias", new Parameter([channels], zeros));
    this.runningMean = this.buffer("running_mean", new Parameter([channels], zeros));
    this.runningVar = this.buffer("running_var", new Parameter([channels], ones));
  }

  /**
   * Sets the statistics to those of maps [..., channels], within a step: what training a batch norm would have found.
   * @throws {ShapeError} for maps of other channels
   */
  calibrate(maps: Tensor): void {
    const values = reshape(maps, [-1, this.channels]), { device } = maps;
    const center = mean(values, 0);
    device.copy(center, this.runningMean);
    device.copy(mean(square(sub(values, center)), 0), this.runningVar);
  }
}
