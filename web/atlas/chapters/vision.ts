/**
 * Pages on convolution and on the maps and boxes of MCGaze.
 * @module
 */
import { batchNormFold, type BatchNormFoldShape } from "../../../kernels/batch_norm_fold.ts";
import { giouLoss, giouLossBackward, l1Loss, l1LossBackward } from "../../../kernels/box_losses.ts";
import { convertBoxes, decodeBoxes, decodeBoxesBackward } from "../../../kernels/boxes.ts";
import {
  conv2dInputBackwardReadable,
  conv2dReadable,
  conv2dWeightBackwardReadable,
} from "../../../kernels/conv2d.ts";
import { conv2dOutput, type Conv2dShape } from "../../../kernels/conv2d_shape.ts";
import { conv2dInputBackwardTiled, conv2dTiled } from "../../../kernels/conv2d_tiled.ts";
import { conv2dWeightBackwardTiled } from "../../../kernels/conv2d_weight_tiled.ts";
import { conv2dWeightBackwardWorkgroup } from "../../../kernels/conv2d_weight_workgroup.ts";
import {
  conv2dInputBackwardWorkgroup,
  conv2dWorkgroup,
} from "../../../kernels/conv2d_workgroup.ts";
import { focalLoss, focalLossBackward } from "../../../kernels/focal_loss.ts";
import {
  angleLoss,
  angleLossBackward,
  changeLoss,
  changeLossBackward,
} from "../../../kernels/gaze_losses.ts";
import type { Kernel } from "../../../kernels/kernel.ts";
import {
  maxPool,
  maxPoolBackward,
  maxPoolReference,
  type MaxPoolShape,
} from "../../../kernels/max_pool.ts";
import { roiAlign, roiAlignBackward, type RoiAlignShape } from "../../../kernels/roi_align.ts";
import { upsampleAdd, upsampleAddBackward } from "../../../kernels/upsample_add.ts";
import { type Chapter, pass, type PassSource } from "../chapter.ts";

const conv = (side: number, channels: number, outChannels: number): Conv2dShape => ({
  batch: 1,
  height: side,
  width: side,
  channels,
  outChannels,
  kernelHeight: 3,
  kernelWidth: 3,
  stride: 1,
  padding: 1,
});
const CONVS = { picture: conv(5, 4, 8), timed: conv(28, 64, 64) };

/** One image: maps as [pixels, channels], the weight as [out, taps and channels]. */
function convShapes(output: "y" | "dx" | "dWeight") {
  return (shape: Conv2dShape) => {
    const { height, width, channels, outChannels } = shape;
    const { outHeight, outWidth } = conv2dOutput(shape);
    const x = [height * width, channels], y = [outHeight * outWidth, outChannels];
    const weight = [outChannels, 9 * channels];
    return { x, weight, dOut: y, y: { y, dx: x, dWeight: weight }[output] };
  };
}

const TILE = { tm: 4, tn: 4 };
type ConvRungs = PassSource<Conv2dShape>["rungs"];

function convPass(title: string, output: "y" | "dx" | "dWeight", rungs: ConvRungs) {
  return pass<Conv2dShape>({
    title,
    sizes: CONVS,
    size: "28 x 28 pixels, 64 to 64 channels, 3 x 3",
    shapes: convShapes(output),
    rungs,
  });
}

/** Convolution. */
export const CONV2D: Chapter = {
  slug: "conv2d",
  title: "Convolution",
  summary:
    "A convolution is a matrix product whose left factor, the matrix of patches, is never written down: the kernel " +
    "computes where each of its elements lies (implicit GEMM). Channels come last, so that what a tap reads is a run of " +
    "memory. The gradient by the input gathers too, so nothing is added atomically; that by the weight is a product over " +
    "all pixels, split among invocations when pixels are many and weights few.",
  formulas: [
    {
      caption: "Forward, pixel p, output channel o",
      tex: "y_{p o} = \\sum_{t} \\sum_{c} w_{o t c}\\; x_{(s p + t - P)\\, c}",
    },
    {
      caption: "Gradients",
      tex: "dx_{q c} = \\sum_{t} \\sum_{o} w_{o t c}\\; dy_{((q - t + P) / s)\\, o}, \\qquad " +
        "dw_{o t c} = \\sum_{p} dy_{p o}\\; x_{(s p + t - P)\\, c}",
    },
  ],
  passes: [
    convPass("Forward", "y", [
      {
        title: "One invocation, one element",
        file: "conv2d.ts",
        launch: (shape) => conv2dReadable(shape),
      },
      {
        title: "4 x 4 sums in registers",
        file: "conv2d_tiled.ts",
        launch: (shape) => conv2dTiled(shape, {}, TILE),
      },
      {
        title: "A block of 32 x 32 in workgroup memory",
        file: "conv2d_workgroup.ts",
        launch: (shape) => conv2dWorkgroup(shape, {}, 32),
      },
    ]),
    convPass("Backward: the input", "dx", [
      {
        title: "One invocation, one element",
        file: "conv2d.ts",
        launch: conv2dInputBackwardReadable,
      },
      {
        title: "4 x 4 sums in registers",
        file: "conv2d_tiled.ts",
        launch: (shape) => conv2dInputBackwardTiled(shape, TILE),
      },
      {
        title: "A block of 32 x 32 in workgroup memory",
        file: "conv2d_workgroup.ts",
        launch: (shape) => conv2dInputBackwardWorkgroup(shape, 32),
      },
    ]),
    convPass("Backward: the weight", "dWeight", [
      {
        title: "One invocation, one element",
        file: "conv2d.ts",
        launch: (shape) => conv2dWeightBackwardReadable(shape, 0),
      },
      {
        title: "4 x 4 sums in registers",
        file: "conv2d_weight_tiled.ts",
        launch: (shape) => conv2dWeightBackwardTiled(shape, 0, TILE),
      },
      {
        title: "A block of 32 x 32 in workgroup memory",
        file: "conv2d_weight_workgroup.ts",
        launch: (shape) => conv2dWeightBackwardWorkgroup(shape, 0, 32),
      },
    ]),
  ],
  files: [
    "conv2d.ts",
    "conv2d_tiled.ts",
    "conv2d_workgroup.ts",
    "conv2d_weight_tiled.ts",
    "conv2d_weight_workgroup.ts",
    "conv2d_select.ts",
  ],
  tests: ["tests/kernels/conv2d_test.ts", "tests/engine/conv2d_test.ts"],
};

const FOLDS = { picture: { rows: 4, n: 12, eps: 1e-5 }, timed: { rows: 512, n: 4608, eps: 1e-5 } };
const POOLS = {
  picture: pool(6, 4),
  timed: pool(112, 64),
};
function pool(side: number, channels: number): MaxPoolShape {
  return {
    ...{ batch: 1, height: side, width: side, channels },
    ...{ kernel: 3, stride: 2, padding: 1 },
  };
}
/** Numbers without order, and what pooling makes of them: backward, the largest of a window has to be known. */
const wave = (i: number) => Math.fround(Math.sin(12.9898 * (i + 1)));
const poolings = new Map<MaxPoolShape, ArrayLike<number>>();
function poolInput(value: number, name: string, i: number, shape: MaxPoolShape): number {
  if (name === "x") return wave(i);
  if (name !== "y") return value;
  if (!poolings.has(shape)) {
    const x = Float64Array.from(
      { length: shape.height * shape.width * shape.channels },
      (_, k) => wave(k),
    );
    poolings.set(shape, maxPoolReference(shape, x).y);
  }
  return poolings.get(shape)![i];
}
const pooled = (side: number) => Math.floor((side - 1) / 2) + 1;

interface Maps {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly coarseHeight: number;
  readonly coarseWidth: number;
  readonly channels: number;
}
const maps = (side: number, channels: number): Maps => ({
  ...{ batch: 1, height: side, width: side, channels },
  ...{ coarseHeight: side / 2, coarseWidth: side / 2 },
});
const PYRAMIDS = { picture: maps(4, 4), timed: maps(56, 256) };

/** Maps of a backbone and a pyramid. */
export const FEATURE_MAPS: Chapter = {
  slug: "feature-maps",
  title: "Pooling, upsampling, frozen batch norm",
  summary:
    "What stands between the convolutions of a ResNet with a feature pyramid. A frozen batch norm is no kernel on maps at " +
    "all: it is folded into the convolution's weight and bias. Max pooling backward gathers: a pixel asks the windows " +
    "around it which of them it won. The pyramid's upsampling and addition are one kernel.",
  formulas: [
    {
      caption: "Frozen batch norm, folded",
      tex: "w'_{o} = \\frac{\\gamma_o}{\\sqrt{\\sigma^2_o + \\varepsilon}}\\, w_o, \\qquad " +
        "b'_o = \\beta_o - \\frac{\\gamma_o\\, \\mu_o}{\\sqrt{\\sigma^2_o + \\varepsilon}}",
    },
    { caption: "Max pooling over the window of p", tex: "y_p = \\max_{q \\in W(p)} x_q" },
    {
      caption: "Pyramid",
      tex: "y_{h w} = f_{h w} + c_{\\lfloor h / 2 \\rfloor \\lfloor w / 2 \\rfloor}",
    },
  ],
  passes: [
    pass<BatchNormFoldShape>({
      title: "Fold batch norm into a convolution",
      sizes: FOLDS,
      size: "512 output channels of 4608 weights",
      shapes: ({ rows, n }) => ({
        weight: [rows, n],
        gamma: [rows],
        beta: [rows],
        mean: [rows],
        variance: [rows],
        y: [rows, n],
        bias: [rows],
      }),
      input: (value, name) => name === "variance" ? 0.5 + Math.abs(value) : value,
      rungs: [{
        title: "One invocation, four weights",
        file: "batch_norm_fold.ts",
        launch: batchNormFold,
      }],
    }),
    pass<MaxPoolShape>({
      title: "Max pooling",
      sizes: POOLS,
      size: "112 x 112 pixels, 64 channels, 3 x 3 by 2",
      shapes: ({ height, channels }) => ({
        x: [height * height, channels],
        y: [pooled(height) ** 2, channels],
      }),
      rungs: [{
        title: "One invocation, one pixel of four channels",
        file: "max_pool.ts",
        launch: maxPool,
      }],
    }),
    pass<MaxPoolShape>({
      title: "Max pooling, backward",
      sizes: POOLS,
      size: "112 x 112 pixels, 64 channels, 3 x 3 by 2",
      shapes: ({ height, channels }) => ({
        x: [height * height, channels],
        y: [pooled(height) ** 2, channels],
        dOut: [pooled(height) ** 2, channels],
        dx: [height * height, channels],
      }),
      input: poolInput,
      rungs: [{ title: "Gathered by each pixel", file: "max_pool.ts", launch: maxPoolBackward }],
    }),
    pass<Maps>({
      title: "Upsample and add",
      sizes: PYRAMIDS,
      size: "28 x 28 onto 56 x 56, 256 channels",
      shapes: ({ height, coarseHeight, channels }) => ({
        coarse: [coarseHeight ** 2, channels],
        fine: [height ** 2, channels],
        y: [height ** 2, channels],
      }),
      rungs: [{
        title: "One invocation, four channels",
        file: "upsample_add.ts",
        launch: upsampleAdd,
      }],
    }),
    pass<Maps>({
      title: "Upsample and add, backward",
      sizes: PYRAMIDS,
      size: "28 x 28 onto 56 x 56, 256 channels",
      shapes: ({ height, coarseHeight, channels }) => ({
        dOut: [height ** 2, channels],
        dCoarse: [coarseHeight ** 2, channels],
      }),
      rungs: [{
        title: "Gathered by each coarse pixel",
        file: "upsample_add.ts",
        launch: upsampleAddBackward,
      }],
    }),
  ],
  files: ["batch_norm_fold.ts", "max_pool.ts", "upsample_add.ts"],
  tests: [
    "tests/engine/batch_norm_fold_test.ts",
    "tests/engine/max_pool_test.ts",
    "tests/engine/upsample_add_test.ts",
  ],
};

const ROIS: { picture: RoiAlignShape; timed: RoiAlignShape } = {
  picture: {
    ...{ batch: 1, boxes: 2, channels: 1, bins: 3, samples: 2, finestScale: 16 },
    levels: [{ height: 8, width: 8, stride: 4 }],
  },
  timed: {
    ...{ batch: 7, boxes: 3, channels: 256, bins: 7, samples: 2, finestScale: 56 },
    levels: [56, 28, 14, 7].map((side) => ({ height: side, width: side, stride: 224 / side })),
  },
};
/** Boxes inside the image; those of the picture overlap. */
const boxes = (value: number, name: string, i: number, { levels, boxes }: RoiAlignShape) => {
  if (name !== "rois") return value;
  const size = levels[0].height * levels[0].stride, box = Math.floor(i / 4) % boxes, part = i % 4;
  return size * (part < 2 ? 0.12 + 0.2 * box : 0.6 + 0.17 * box + 0.02 * part);
};

/** RoIAlign. */
export const ROI_ALIGN: Chapter = {
  slug: "roi-align",
  title: "RoIAlign",
  summary:
    "MCGaze asks what a box contains: head, face and eyes each become a map of 7 x 7, whatever the box's size, read from " +
    "the level of the feature pyramid that suits it. Samples lie between pixels, so each is a weighted mean of four: " +
    "hover a bin to see them. Backward is usually written as atomic additions into the map; here each pixel gathers from " +
    "the boxes that cover it, in a fixed order.",
  formulas: [
    {
      caption: "Weight of pixel row h for a sample at y",
      tex: "\\operatorname{hat}(y, h) = \\max(0,\\, 1 - |y - h|)",
    },
    {
      caption: "A bin: the mean over its samples, as a product of rows and columns",
      tex:
        "\\text{out} = A\\, F\\, B^{\\top}, \\qquad A_{p h} = \\frac{1}{S} \\sum_{i} \\operatorname{hat}(y_{p i}, h)",
    },
    { caption: "Backward", tex: "dF = \\sum_{\\text{boxes}} A^{\\top}\\, d\\text{out}\\, B" },
  ],
  passes: [
    pass<RoiAlignShape>({
      title: "Forward",
      sizes: ROIS,
      size: "7 images, 3 boxes each, 256 channels, 4 levels",
      shapes: ({ batch, boxes, channels, bins, levels }) => ({
        rois: [batch * boxes, 4],
        ...Object.fromEntries(
          levels.map(({ height, width }, l) => [`x${l}`, [batch, height, width * channels]]),
        ),
        y: [batch * boxes, bins, bins * channels],
      }),
      input: boxes,
      rungs: [{ title: "One invocation, one bin", file: "roi_align.ts", launch: roiAlign }],
    }),
    pass<RoiAlignShape>({
      title: "Backward, of the finest level",
      sizes: ROIS,
      size: "7 images, 3 boxes each, 256 channels, 56 x 56",
      shapes: ({ batch, boxes, channels, bins, levels: [{ height, width }] }) => ({
        rois: [batch * boxes, 4],
        dOut: [batch * boxes, bins, bins * channels],
        dx: [batch, height, width * channels],
      }),
      input: boxes,
      rungs: [{
        title: "Gathered by each pixel",
        file: "roi_align.ts",
        launch: (shape) => roiAlignBackward(shape, 0),
      }],
    }),
  ],
  files: ["roi_align.ts"],
  tests: ["tests/engine/roi_align_test.ts"],
};

type Rows = { readonly rows: number };
const ROWS = { picture: { rows: 6 }, timed: { rows: 99_999 } };
const MANY = "99,999 boxes";
/** Corners in order. */
const corners = (value: number, name: string, i: number) =>
  /pred|goal|boxes/.test(name) ? value / 4 + (i % 4 < 2 ? 1 : 2.5) : value;
const lossShape = (rows: number) => ({ rows, per: 0, divisor: 2, factor: 1 });

function boxPass(
  title: string,
  rung: string,
  file: string,
  launch: (rows: number) => Kernel,
  input: PassSource<Rows>["input"] = corners,
  width = 4,
  size = MANY,
) {
  return pass<Rows>({
    title,
    sizes: ROWS,
    size,
    shapes: ({ rows }) => {
      const wide = [rows, width];
      return {
        ...{
          boxes: wide,
          deltas: wide,
          dOut: /Backward|backward/.test(title) && file !== "boxes.ts" ? [1] : wide,
        },
        ...{ y: wide, dBoxes: wide, dDeltas: wide, pred: wide, goal: wide, dPred: wide },
        ...{ loss: [1], targets: [rows] },
      };
    },
    input,
    rungs: [{ title: rung, file, launch: ({ rows }) => launch(rows) }],
  });
}

const DECODE = { stds: [0.5, 0.5, 1, 1], maxRatio: Math.log(1000 / 16) } as const;
const ONE = "One invocation, one box";

/** Boxes and their losses. */
export const BOXES: Chapter = {
  slug: "boxes",
  title: "Boxes and their losses",
  summary:
    "Small kernels over rows of four numbers. Decoding moves and scales a box by predicted deltas; the losses compare " +
    "boxes (L1, generalised IoU) and scores (focal). Loss kernels end in one sum in a fixed order; their gradients " +
    "are one invocation a row.",
  formulas: [
    {
      caption: "Decoding",
      tex: "x' = x + w\\, d_x, \\qquad w' = w\\, e^{d_w}",
    },
    {
      caption: "Generalised IoU of boxes A and B in the smallest box C around both",
      tex: "\\text{GIoU} = \\frac{|A \\cap B|}{|A \\cup B|} - \\frac{|C| - |A \\cup B|}{|C|}",
    },
    {
      caption: "Sigmoid focal loss of a score p with label t",
      tex: "\\ell = -\\alpha_t (1 - p_t)^{\\gamma} \\log p_t",
    },
  ],
  passes: [
    boxPass("Decode", ONE, "boxes.ts", (count) => decodeBoxes({ count, ...DECODE })),
    boxPass(
      "Decode, backward",
      ONE,
      "boxes.ts",
      (count) => decodeBoxesBackward({ count, ...DECODE }),
    ),
    boxPass(
      "Centre and size from corners",
      ONE,
      "boxes.ts",
      (count) => convertBoxes(count, "cxcywh", false),
    ),
    boxPass("L1 loss", "One workgroup", "box_losses.ts", (rows) => l1Loss(lossShape(4 * rows))),
    boxPass(
      "L1 loss, backward",
      ONE,
      "box_losses.ts",
      (rows) => l1LossBackward(lossShape(4 * rows)),
    ),
    boxPass(
      "Generalised IoU loss",
      "One workgroup",
      "box_losses.ts",
      (rows) => giouLoss({ ...lossShape(rows), eps: 1e-7 }),
    ),
    boxPass(
      "Generalised IoU loss, backward",
      ONE,
      "box_losses.ts",
      (rows) => giouLossBackward({ ...lossShape(rows), eps: 1e-7 }),
    ),
    boxPass(
      "Focal loss",
      "One workgroup",
      "focal_loss.ts",
      (rows) => focalLoss(focal(rows)),
      labels,
      3,
      "99,999 boxes, 3 classes",
    ),
    boxPass(
      "Focal loss, backward",
      ONE,
      "focal_loss.ts",
      (rows) => focalLossBackward(focal(rows)),
      labels,
      3,
      "99,999 boxes, 3 classes",
    ),
  ],
  files: ["boxes.ts", "box_losses.ts", "focal_loss.ts", "row_loss.ts"],
  tests: ["tests/engine/boxes_test.ts", "tests/engine/row_losses_test.ts"],
};

function focal(rows: number) {
  return {
    ...lossShape(3 * rows),
    ...{ classes: 3, alpha: 0.25, gamma: 2, targets: "labels" as const },
  };
}
function labels(value: number, name: string): number {
  return name === "targets" ? value % 4 : value;
}

const ANGLE = (rows: number) => ({ ...lossShape(rows), clamp: 1e-6 });
const CHANGE = (rows: number) => ({ rows, frames: 3, divisor: 2, factor: 1 });

/** Losses on gaze vectors. */
export const GAZE_LOSSES: Chapter = {
  slug: "gaze-losses",
  title: "Losses on directions",
  summary:
    "The angle between a predicted and a true gaze, and how jerkily predictions change over the frames of a clip. The " +
    "arc cosine's slope is infinite where two directions agree, so its argument is kept off 1: the gradient of a perfect " +
    "prediction is zero, not infinite.",
  formulas: [
    { caption: "Angle", tex: "\\ell = \\arccos \\langle \\hat g, g \\rangle" },
    {
      caption: "Change from frame to frame",
      tex: "\\ell = \\sum_t \\lVert \\hat g_{t+1} - \\hat g_t \\rVert_1",
    },
  ],
  passes: [
    boxPass(
      "Angle",
      "One workgroup",
      "gaze_losses.ts",
      (rows) => angleLoss(ANGLE(rows)),
      undefined,
      3,
      "99,999 directions",
    ),
    boxPass(
      "Angle, backward",
      "One invocation, one direction",
      "gaze_losses.ts",
      (rows) => angleLossBackward(ANGLE(rows)),
      undefined,
      3,
      "99,999 directions",
    ),
    boxPass(
      "Change",
      "One workgroup",
      "gaze_losses.ts",
      (rows) => changeLoss(CHANGE(rows)),
      undefined,
      3,
      "99,999 directions",
    ),
    boxPass(
      "Change, backward",
      "One invocation, one direction",
      "gaze_losses.ts",
      (rows) => changeLossBackward(CHANGE(rows)),
      undefined,
      3,
      "99,999 directions",
    ),
  ],
  files: ["gaze_losses.ts"],
  tests: ["tests/engine/row_losses_test.ts"],
};
