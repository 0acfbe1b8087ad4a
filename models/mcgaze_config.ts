/**
 * The settings of MCGaze as one plain object, and its models by name.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { checkCount } from "../nn/check.ts";
import { GAZE_CLUES, type GazeClue } from "./gaze_losses.ts";
import { RESNET50, type ResNetConfig } from "./resnet.ts";
import { withoutUndefined } from "./vit_config.ts";

/** A box as shares of the image: centre x, centre y, width, height. */
export type BoxShares = readonly [cx: number, cy: number, width: number, height: number];

/** Settings of an `McGaze`. Defaults are the authors' for Gaze360. */
export interface McGazeConfig {
  /** The network that sees the pictures. Default ResNet-50 with its stem and first group frozen. */
  readonly backbone: ResNetConfig;
  /** Side of the square frames it is made for, in pixels; it takes others. Default 224. */
  readonly imageSize: number;
  /** Frames of a clip it is made for; it takes others. Default 7. */
  readonly clipLength: number;
  /** What is looked at, in the order face, eyes, head. The head is always among them. Default all three. */
  readonly clues: readonly GazeClue[];
  /** Whether the clues of a frame see each other. Default true. */
  readonly spatial: boolean;
  /** Whether a clue sees itself in the clip's other frames. Default true; false makes it a model of single frames. */
  readonly temporal: boolean;
  /** Stages that refine boxes, features and gaze in turn. Default 4. */
  readonly stages: number;
  /** Channels of pyramid and queries. Default 256. */
  readonly channels: number;
  /** Heads of the attention; divides `channels`. Default 8. */
  readonly heads: number;
  /** Hidden neurons of a stage's feed-forward network. Default 2048. */
  readonly hidden: number;
  /** Channels between the two products of the dynamic convolution. Default 64. */
  readonly dynamicChannels: number;
  /** Rows and columns of the bins that a box is cut into. Default 7. */
  readonly roiSize: number;
  /** Boxes of this side in pixels, and of up to twice as much, are read from the finest level. Default 56. */
  readonly finestScale: number;
  /**
   * Where the box of each clue starts before anything is learned, as (centre x, centre y, width, height), shares of the
   * image. Default: the whole image, as the authors'.
   */
  readonly firstBoxes: Readonly<Record<GazeClue, BoxShares>>;
  /** Layers before the class scores. Default 1. */
  readonly clsLayers: number;
  /** Layers before the box deltas. Default 3. */
  readonly regLayers: number;
  /** Keep the two layers that mmdet's base class adds to every stage and nothing uses. Default true. */
  readonly unusedHeads: boolean;
}

const WHOLE: BoxShares = [0.5, 0.5, 1, 1];

/** The settings that differ from the defaults. */
export type McGazeOptions = Partial<Omit<McGazeConfig, "backbone">> & {
  readonly backbone?: Partial<ResNetConfig>;
};

/**
 * Completes settings.
 * @throws {ShapeError} names a setting that makes no model
 */
export function mcGazeConfig(options: McGazeOptions = {}): McGazeConfig {
  const config: McGazeConfig = {
    imageSize: 224,
    clipLength: 7,
    clues: GAZE_CLUES,
    spatial: true,
    temporal: true,
    stages: 4,
    channels: 256,
    heads: 8,
    hidden: 2048,
    dynamicChannels: 64,
    roiSize: 7,
    finestScale: 56,
    firstBoxes: { face: WHOLE, eyes: WHOLE, head: WHOLE },
    clsLayers: 1,
    regLayers: 3,
    unusedHeads: true,
    ...withoutUndefined(options),
    backbone: { ...RESNET50, ...withoutUndefined(options.backbone ?? {}) },
  };
  for (const [name, value] of Object.entries(config)) {
    if (typeof value === "number" && name !== "finestScale") checkCount("McGaze", name, value);
  }
  const { clues } = config;
  const ordered = GAZE_CLUES.filter((clue) => clues.includes(clue));
  if (ordered.join() !== clues.join() || !clues.includes("head")) {
    throw new ShapeError(
      `McGaze: clues are [${
        clues.join(", ")
      }], needs some of face, eyes, head in this order, the head among them`,
    );
  }
  return config;
}

/** The authors' two models, and one that trains on a CPU. */
export const MCGAZE_PRESETS: Readonly<
  Record<"mcgaze_r50_gaze360" | "mcgaze_r50_l2cs" | "mcgaze_small", McGazeOptions>
> = {
  mcgaze_r50_gaze360: {},
  mcgaze_r50_l2cs: { imageSize: 448 },
  mcgaze_small: {
    backbone: {
      blocks: [1, 1, 1, 1],
      bottleneck: false,
      width: 16,
      stemKernel: 3, // at 64 pixels a step takes 0.88 of its time with 7 (llvmpipe, medians of interleaved steps)
      frozenStages: -1,
      zeroInitResidual: false,
    },
    imageSize: 64,
    stages: 2,
    channels: 32,
    heads: 4,
    hidden: 128,
    dynamicChannels: 16,
    finestScale: 24, // eyes and face from the finest level, the head from the next
    // where they are on average in synthetic clips
    firstBoxes: {
      face: [0.5, 0.65, 0.63, 0.65],
      eyes: [0.5, 0.49, 0.37, 0.1],
      head: [0.5, 0.5, 0.88, 1],
    },
    unusedHeads: false,
  },
};
