/**
 * Estimates that look at no eye, for comparison: always the same gaze, and the true head pose taken for the gaze.
 * @module
 */
import { DataError } from "../../engine/errors.ts";
import type { GazeClip } from "./clip.ts";
import { evaluateGaze, type GazeErrors } from "./evaluation.ts";

/**
 * The unit vector along the mean of gaze vectors [N, 3]: what to answer to every picture alike.
 * @throws {DataError} there is no vector, or they add up to nothing
 */
export function meanGaze(gazes: Iterable<ArrayLike<number>>): Float64Array {
  const sum = new Float64Array(3);
  for (const gaze of gazes) {
    for (let i = 0; i < gaze.length; i++) sum[i % 3] += gaze[i];
  }
  const norm = Math.hypot(...sum);
  if (!(norm > 1e-6 && norm < Infinity)) {
    throw new DataError(`meanGaze: the vectors add up to [${sum}], which is no direction`);
  }
  return sum.map((value) => value / norm);
}

/** Errors of answering `gaze` to every frame. */
export function constantGazeErrors(clips: Iterable<GazeClip>, gaze: ArrayLike<number>): GazeErrors {
  return evaluateGaze(Array.from(clips, ({ gaze: truth }) => ({
    predicted: Float64Array.from(truth, (_, i) => gaze[i % 3]),
    truth,
  })));
}

/**
 * Errors of taking where the head points for where the eyes look.
 * @throws {DataError} a clip's head pose is not known
 */
export function headPoseErrors(clips: Iterable<GazeClip>): GazeErrors {
  return evaluateGaze(Array.from(clips, ({ gaze: truth, headPose }, i) => {
    if (headPose === undefined) {
      throw new DataError(`headPoseErrors: the head pose of clip ${i} is not known`);
    }
    return { predicted: headPose, truth };
  }));
}
