/**
 * How MCGaze is trained: the loss of a batch of clips, and the authors' recipe.
 * @module
 */
import { add, reshape, slice } from "../engine/ops/mod.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { ShapeError } from "../engine/errors.ts";
import type { NamedParameters, ParameterGroup } from "../nn/optim/optimizer.ts";
import {
  type ClueTargets,
  GAZE_CLUES,
  type GazeClue,
  type GazeLossWeights,
  gazeStageLosses,
} from "./gaze_losses.ts";
import type { McGaze } from "./mcgaze.ts";

/** What is known about N frames, clip after clip. */
export interface GazeTruth {
  /** Boxes of face, eyes and head as x1, y1, x2, y2 in pixels: [N, 3, 4]; those that are not known may be anything. */
  readonly boxes: Tensor;
  /** 1 where face and eyes are known, 0 where only the head is: [N]. */
  readonly faceKnown: Tensor;
  /** Unit vectors: [N, 3]. */
  readonly gaze: Tensor;
}

/** The settings of a training. */
export interface McGazeRecipe {
  /** AdamW's rate. */
  readonly lr: number;
  /** Factor on the rate of the backbone. */
  readonly backboneScale: number;
  /** AdamW's weight decay. */
  readonly weightDecay: number;
  /** Largest norm of all gradients together. */
  readonly maxGradNorm: number;
  /** Clips a step. */
  readonly batchSize: number;
  /** Steps in all. */
  readonly steps: number;
  /** Steps at which the rate is divided by ten. */
  readonly milestones: readonly number[];
  /** Steps in which the rate rises from 0.001 of its value. */
  readonly warmupSteps: number;
  /** Start with batch norm statistics of the first clips: for a backbone that starts from nothing. */
  readonly calibrate: boolean;
}

/** What the authors published for Gaze360 (L2CS: 13,000 steps, milestone 12,000); the backbone was trained before. */
export const MCGAZE_RECIPE: McGazeRecipe = {
  lr: 1e-3,
  backboneScale: 0.1,
  weightDecay: 1e-4,
  maxGradNorm: 0.1,
  batchSize: 8,
  steps: 7000,
  milestones: [6000],
  warmupSteps: 1000,
  calibrate: false,
};

/**
 * For the small preset, whose backbone starts from nothing as well. Most of what it learns needs no clips: it gets there
 * sooner on single frames of 28 clips a step, at the same cost, and then goes on with whole clips (`someFrames`).
 */
export const MCGAZE_SMALL_RECIPE: McGazeRecipe = {
  ...MCGAZE_RECIPE,
  backboneScale: 1,
  batchSize: 4,
  steps: 3000,
  milestones: [2400],
  warmupSteps: 100,
  calibrate: true,
};

/** Two groups: the backbone, whose rate is scaled, and all the rest. */
export function mcGazeGroups(
  params: NamedParameters,
  backboneScale: number = MCGAZE_RECIPE.backboneScale,
): ParameterGroup[] {
  const all = [...params];
  const inBackbone = (name: string): boolean => name.startsWith("backbone.");
  return [
    { params: all.filter(([name]) => inBackbone(name)), lrScale: backboneScale },
    { params: all.filter(([name]) => !inBackbone(name)) },
  ];
}

/**
 * The loss of a batch: the sum over all stages and terms, as the authors train it. Every clue of a frame has the frame's
 * gaze for its goal.
 * @param images [N, 3, H, W], normalised; N is a multiple of `frames`
 * @param frames of a clip
 * @returns a scalar
 * @throws {ShapeError} when images and truth do not fit together
 */
export function mcGazeLoss(
  model: McGaze,
  images: Tensor,
  truth: GazeTruth,
  frames: number = model.config.clipLength,
  weights: GazeLossWeights = {},
): Tensor {
  const [n, , height, width] = expectShape("mcGazeLoss: images", images, ["N", 3, "H", "W"]);
  const targets = clueTargets(truth, n);
  const image = [height, width] as const;
  return model.forward(images, frames)
    .flatMap((stage) => Object.values(gazeStageLosses(stage, targets, { image, frames, weights })))
    .reduce((total, term) => add(total, term));
}

/** The goals of each clue. */
function clueTargets(
  { boxes, faceKnown, gaze }: GazeTruth,
  n: number,
): Record<GazeClue, ClueTargets> {
  if (n === 0) throw new ShapeError("mcGazeLoss(): there is no frame");
  expectShape("mcGazeLoss: boxes", boxes, [n, GAZE_CLUES.length, 4]);
  expectShape("mcGazeLoss: faceKnown", faceKnown, [n]);
  expectShape("mcGazeLoss: gaze", gaze, [n, 3]);
  const always = gaze.device.full([n], 1);
  const targets = GAZE_CLUES.map((clue, k): [GazeClue, ClueTargets] => [clue, {
    present: clue === "head" ? always : faceKnown,
    boxes: reshape(slice(boxes, 1, k, k + 1), [n, 4]),
    gazes: gaze,
  }]);
  return Object.fromEntries(targets) as Record<GazeClue, ClueTargets>;
}
