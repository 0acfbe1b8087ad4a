/**
 * ResNet (He and others, arXiv:1512.03385) as a backbone: the maps behind its four groups of blocks, at 1/4, 1/8, 1/16 and
 * 1/32 of the image's size. Names are mmdet's and torchvision's; the stride of a bottleneck is in its 3 x 3 convolution.
 *
 *     x = maxpool(relu(bn1(conv1(image))))
 *     x = relu(shortcut(x) + branch(x))        in each block; the shortcut of a group's first block is `downsample`
 *
 * Batch norms keep their statistics (mmdet's `norm_eval`) and are folded into the convolutions before them.
 * @module
 */
import { noGrad } from "../engine/autograd.ts";
import { ShapeError } from "../engine/errors.ts";
import { maxPool2d } from "../engine/ops/max_pool.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { checkCount } from "../nn/check.ts";
import { BatchNorm2d, Conv2d, type ConvEnding } from "../nn/conv2d.ts";
import { kaimingNormal, ones, zeros } from "../nn/init.ts";
import { Module } from "../nn/module.ts";

/** Settings of a `ResNet`. */
export interface ResNetConfig {
  /** Blocks of the four groups. Default 3, 4, 6, 3. */
  readonly blocks: readonly [number, number, number, number];
  /** Three convolutions a block, the outer two 1 x 1 and the last one four times as wide, or two of 3 x 3. Default true. */
  readonly bottleneck: boolean;
  /** Channels of the stem, and of the first group's 3 x 3 convolutions; doubled from group to group. Default 64. */
  readonly width: number;
  /** Rows and columns of the stem's filters. Default 7. */
  readonly stemKernel: number;
  /**
   * How much is not learned: -1 nothing, 0 the stem, n the stem and the first n groups. Default 1, for weights that were
   * trained before.
   */
  readonly frozenStages: number;
  /**
   * The last batch norm of each branch starts with gamma 0, so that an untrained network is its shortcuts; else 1, which a
   * short training needs: AdamW moves a weight by no more than its rate in a step. Default true.
   */
  readonly zeroInitResidual: boolean;
}

/** ResNet-50. */
export const RESNET50: ResNetConfig = {
  blocks: [3, 4, 6, 3],
  bottleneck: true,
  width: 64,
  stemKernel: 7,
  frozenStages: 1,
  zeroInitResidual: true,
};

/** Pixels of the image to one of each map. */
export const RESNET_STRIDES = [4, 8, 16, 32] as const;

const weightInit = kaimingNormal({ mode: "fan_out", nonlinearity: "relu" });

/** Channels of the four maps. */
export function resNetChannels({ width, bottleneck }: ResNetConfig): number[] {
  return RESNET_STRIDES.map((_, i) => width * 2 ** i * (bottleneck ? 4 : 1));
}

/** A convolution and its batch norm. */
type NormedConv = readonly [conv: Conv2d, norm: BatchNorm2d];

/** How a convolution with its batch norm is run. */
type Run = (layer: NormedConv, x: Tensor, ending?: ConvEnding) => Tensor;

const folded: Run = ([conv, norm], x, ending) => conv.forward(x, { ...ending, norm });

/** The same, after the norm was given the statistics of what reaches it. */
const calibrated: Run = (layer, x, ending) => {
  const [conv, norm] = layer;
  norm.calibrate(conv.forward(x));
  return folded(layer, x, ending);
};

/** The shortcut's convolution `0` and batch norm `1`, where a block changes size or channels. */
class Downsample extends Module {
  readonly conv: Conv2d;
  readonly norm: BatchNorm2d;

  constructor(inputs: number, outputs: number, stride: number) {
    super();
    this.conv = this.child("0", new Conv2d(inputs, outputs, { stride, bias: false, weightInit }));
    this.norm = this.child("1", new BatchNorm2d(outputs));
  }
}

/** A residual block. Keys `conv1`, `bn1`, …, and `downsample.0`, `downsample.1` where the shortcut is no identity. */
export class ResidualBlock extends Module {
  readonly #layers: readonly NormedConv[];
  readonly #downsample: Downsample | undefined;

  /** From `inputs` channels to `width`, or four times that with a bottleneck. */
  constructor(
    inputs: number,
    width: number,
    stride: number,
    { bottleneck, zeroInitResidual }: Pick<ResNetConfig, "bottleneck" | "zeroInitResidual">,
  ) {
    super();
    const outputs = bottleneck ? 4 * width : width;
    const layers = bottleneck
      ? [[inputs, width, 1, 1], [width, width, 3, stride], [width, outputs, 1, 1]]
      : [[inputs, width, 3, stride], [width, outputs, 3, 1]];
    this.#layers = layers.map(([from, to, kernel, stride], i) => {
      const last = i === layers.length - 1;
      const conv = new Conv2d(from, to, { kernel, stride, bias: false, weightInit });
      const norm = new BatchNorm2d(to, last && zeroInitResidual ? zeros : ones);
      return [this.child(`conv${i + 1}`, conv), this.child(`bn${i + 1}`, norm)];
    });
    if (stride !== 1 || inputs !== outputs) {
      this.#downsample = this.child("downsample", new Downsample(inputs, outputs, stride));
    }
  }

  /** [B, H, W, inputs] to [B, H / stride, W / stride, outputs], rounded up. */
  forward(x: Tensor): Tensor {
    return this.run(x, folded);
  }

  /** @internal */
  run(x: Tensor, run: Run): Tensor {
    const shortcut = this.#downsample;
    const residual = shortcut ? run([shortcut.conv, shortcut.norm], x) : x;
    return this.#layers.reduce((y, layer, i) => {
      const last = i === this.#layers.length - 1;
      return run(layer, y, { activation: "relu", ...(last && { residual }) });
    }, x);
  }
}

/** The network up to its last map. Keys `conv1`, `bn1`, `layer1.0.conv1`, … */
export class ResNet extends Module {
  /** Its settings, complete. */
  readonly config: ResNetConfig;
  readonly #conv1: Conv2d;
  readonly #bn1: BatchNorm2d;
  readonly #groups: readonly (readonly ResidualBlock[])[];

  /**
   * A network without memory; `to(device)` gives it some.
   * @throws {ShapeError} names a setting that makes no network
   */
  constructor(options: Partial<ResNetConfig> = {}) {
    super();
    const config = this.config = { ...RESNET50, ...options };
    const { blocks, width, stemKernel, frozenStages } = config;
    checkCount("ResNet", "width", width);
    checkCount("ResNet", "stemKernel", stemKernel);
    blocks.forEach((count, i) => checkCount("ResNet", `blocks of group ${i + 1}`, count));
    if (blocks.length !== 4 || ![-1, 0, 1, 2, 3, 4].includes(frozenStages)) {
      throw new ShapeError(
        `ResNet: ${blocks.length} groups of which ${frozenStages} are frozen; needs 4, and -1 to 4`,
      );
    }
    const stem = { kernel: stemKernel, stride: 2, bias: false, weightInit };
    this.#conv1 = this.child("conv1", new Conv2d(3, width, stem));
    this.#bn1 = this.child("bn1", new BatchNorm2d(width));
    const outputs = resNetChannels(config);
    this.#groups = blocks.map((count, group) => {
      const list = Array.from({ length: count }, (_, i) => {
        const inputs = i > 0 ? outputs[group] : group > 0 ? outputs[group - 1] : width;
        const stride = i === 0 && group > 0 ? 2 : 1;
        return new ResidualBlock(inputs, width * 2 ** group, stride, config);
      });
      return this.childList(`layer${group + 1}`, list);
    });
    const frozen = [
      ...(frozenStages >= 0 ? [this.#conv1, this.#bn1] : []),
      ...this.#groups.slice(0, Math.max(0, frozenStages)).flat(),
    ];
    for (const module of frozen) module.freeze();
  }

  /** Images [B, H, W, 3] to the four maps. */
  forward(images: Tensor): Tensor[] {
    return this.#run(images, folded);
  }

  /**
   * Gives every batch norm the statistics of these images, layer by layer, within a step. For a network that starts from
   * nothing: with statistics of 0 and 1, all of its channels would say much the same of every image.
   */
  calibrate(images: Tensor): void {
    noGrad(() => this.#run(images, calibrated));
  }

  #run(images: Tensor, run: Run): Tensor[] {
    expectShape("ResNet: images", images, ["B", "H", "W", 3]);
    const stem = run([this.#conv1, this.#bn1], images, { activation: "relu" });
    let x = maxPool2d(stem, { kernel: 3, stride: 2, padding: 1 });
    return this.#groups.map((blocks) => x = blocks.reduce((y, block) => block.run(y, run), x));
  }
}
