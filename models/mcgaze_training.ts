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

/** The training settings that the authors published for Gaze360 (L2CS: 13,000 steps, milestone 12,000). */
export const MCGAZE_RECIPE = {
  /** AdamW's rate. */
  lr: 1e-3,
  /** Factor on the rate of the backbone, which was trained before. */
  backboneScale: 0.1,
  /** AdamW's weight decay. */
  weightDecay: 1e-4,
  /** Largest norm of all gradients together. */
  maxGradNorm: 0.1,
  /** Clips a step. */
  batchSize: 8,
  /** Steps in all. */
  steps: 7000,
  /** Where the rate is divided by ten. */
  milestones: [6000],
  /** Steps in which the rate rises from 0.001 of its value. */
  warmupSteps: 1000,
} as const;

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
