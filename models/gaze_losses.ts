/**
 * What one stage of MCGaze is trained with: losses of classes, boxes and directions of the three clues.
 *
 * Every frame has three queries, for face, eyes and head in this order, each with its own annotation or none
 * (mmdet's assigners match queries with boxes; here that is fixed). What a frame lacks has a weight of 0, so shapes do not
 * depend on what is annotated. With n = the annotated frames of a clue, over a batch of B clips of T frames:
 *     loss_cls    focal loss of "is there" in all frames, / n          loss_bbox  L1 of corners in units of the image, / n
 *     loss_iou    generalised IoU, / n                                 loss_gaze  angle, mean over the n frames
 *     loss_temp   change of the fused direction over the frames of a clip
 * The fused direction is compared with the head's. Where no frame of a batch has a clue (n = 0), its box and gaze losses are
 * 0 here, while the authors' mean over nothing is NaN; its class loss is divided by 1.2e-7, as theirs is.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import {
  angleLoss,
  focalLoss,
  giouLoss,
  l1Loss,
  mul,
  reshape,
  slice,
  sum,
  temporalLoss,
} from "../engine/ops/mod.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";

/** The queries of a frame, in order. */
export const GAZE_CLUES = ["face", "eyes", "head"] as const;

/** One of the queries of a frame. */
export type GazeClue = typeof GAZE_CLUES[number];

/** What is known about one clue in N frames. */
export interface ClueTargets {
  /** 1 where the frame has an annotation of it, else 0: [N]. */
  readonly present: Tensor;
  /** Boxes as x1, y1, x2, y2 in pixels: [N, 4]; of any values where there is no annotation. */
  readonly boxes: Tensor;
  /** Directions: [N, 3], likewise. */
  readonly gazes: Tensor;
}

/** What a stage says about N = B T frames with Q queries: all three clues, or some of them in the same order. */
export interface StagePredictions {
  /** Logits of "is there": [N, Q, 1]. */
  readonly scores: Tensor;
  /** Boxes as x1, y1, x2, y2 in pixels: [N, Q, 4]. */
  readonly boxes: Tensor;
  /** Directions of the clues and of all together, [N, 3] each. */
  readonly gazes: Readonly<{ final: Tensor } & Partial<Record<GazeClue, Tensor>>>;
}

/** Factors of the losses; the defaults are the authors'. */
export interface GazeLossWeights {
  /** Of the class loss; default 2. */
  cls?: number;
  /** Of the L1 loss of boxes; default 5. */
  bbox?: number;
  /** Of the IoU loss; default 2. */
  iou?: number;
  /** Of the angle; default 6. */
  gaze?: number;
  /** Of the change over time; default 1. */
  temp?: number;
}

/** Options of `gazeStageLosses`. */
export interface GazeStageOptions {
  /** Rows and columns of the images, in pixels. */
  image: readonly [height: number, width: number];
  /** T: frames of a clip. One frame has no loss of change. */
  frames: number;
  /** Factors. */
  weights?: GazeLossWeights;
}

/**
 * The losses of one stage, by the authors' names: `face_loss_cls`, `face_loss_bbox`, `face_loss_iou`, the same of eyes and
 * head, `final_gaze_loss_gaze`, `final_gaze_loss_temp`, `face_gaze_loss_gaze`, ...
 * @throws {ShapeError} when predictions and targets do not fit together
 */
export function gazeStageLosses(
  predictions: StagePredictions,
  targets: Readonly<Record<GazeClue, ClueTargets>>,
  options: GazeStageOptions,
): Record<string, Tensor> {
  const { image: [height, width], frames } = options;
  const { cls = 2, bbox = 5, iou = 2, gaze = 6, temp = 1 } = options.weights ?? {};
  const { scores, boxes, gazes } = predictions;
  const clues = GAZE_CLUES.filter((clue) => gazes[clue] !== undefined), q = clues.length;
  const [n] = expectShape("gazeStageLosses: scores", scores, ["N", q, 1]);
  expectShape("gazeStageLosses: boxes", boxes, [n, q, 4]);
  if (!Number.isInteger(frames) || frames < 1 || n % frames !== 0) {
    throw new ShapeError(`gazeStageLosses(): ${n} frames are no clips of ${frames}`);
  }
  const { device } = scores;
  const unit = device.tensor(Float32Array.of(1 / width, 1 / height, 1 / width, 1 / height));
  const losses: Record<string, Tensor> = {};
  const counts = Object.fromEntries(
    GAZE_CLUES.map((clue) => [clue, sum(targets[clue].present)]),
  ) as Record<GazeClue, Tensor>;
  clues.forEach((clue, query) => {
    const { present, boxes: goals } = targets[clue], avgFactor = counts[clue];
    const own = reshape(slice(boxes, 1, query, query + 1), [n, 4]);
    const weighted = { weight: present, avgFactor };
    const logits = reshape(slice(scores, 1, query, query + 1), [n, 1]);
    losses[`${clue}_loss_cls`] = focalLoss(logits, reshape(present, [n, 1]), {
      avgFactor,
      lossWeight: cls,
    });
    losses[`${clue}_loss_bbox`] = l1Loss(mul(own, unit), mul(goals, unit), {
      ...weighted,
      lossWeight: bbox,
    });
    losses[`${clue}_loss_iou`] = giouLoss(own, goals, { ...weighted, lossWeight: iou });
  });
  for (const name of ["final", ...clues] as const) {
    const clue = name === "final" ? "head" : name,
      { present: weight, gazes: goals } = targets[clue];
    const options = { weight, avgFactor: counts[clue], lossWeight: gaze };
    losses[`${name}_gaze_loss_gaze`] = angleLoss(gazes[name]!, goals, options);
  }
  if (frames > 1) {
    const clips = reshape(gazes.final, [n / frames, frames, 3]);
    losses.final_gaze_loss_temp = temporalLoss(clips, { lossWeight: temp });
  }
  return losses;
}
