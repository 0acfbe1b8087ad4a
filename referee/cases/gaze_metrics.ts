/**
 * Kind 20 of MCGaze: angles, smoothing and mean angular errors of videos laid end to end.
 * @module
 */
import { anglesToVectors, vectorsToAngles, yawMagnitudes } from "../../data/gaze/angles.ts";
import { evaluateGaze, type VideoGaze } from "../../data/gaze/evaluation.ts";
import { smoothGaze } from "../../data/gaze/smoothing.ts";
import type { GoldenCase, Results } from "../case.ts";

/** Runs a case of kind 20. */
export function gazeMetricsCase(golden: GoldenCase): Results {
  const alpha = golden.config.number("alpha");
  const predicted = golden.floats("input.pred"), truth = golden.floats("input.gt");
  const videos: VideoGaze[] = [];
  let at = 0;
  for (const length of golden.ints("input.lengths")) {
    const end = at + 3 * length;
    videos.push({ predicted: predicted.subarray(at, end), truth: truth.subarray(at, end) });
    at = end;
  }
  const angles = vectorsToAngles(truth);
  const { all360, front180, front40 } = evaluateGaze(videos, alpha);
  const regions = [all360, front180, front40];
  const smoothed = videos.flatMap((video) => [...smoothGaze(video.predicted, alpha)]);
  return new Map<string, ArrayLike<number>>([
    ["output.smoothed", smoothed],
    ["output.gt_yaw_pitch", angles],
    ["output.yaw_pitch_back_to_vector", anglesToVectors(angles)],
    ["output.abs_yaw_degrees", yawMagnitudes(truth)],
    [
      "output.video_error_360",
      videos.map((video) => evaluateGaze([video], alpha).all360.degrees ?? NaN),
    ],
    ["output.means", regions.map(({ degrees }) => degrees ?? NaN)],
    ["output.frames", regions.map(({ frames }) => frames)],
  ]);
}
