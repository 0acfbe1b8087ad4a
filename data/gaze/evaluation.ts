/**
 * How well gaze is estimated: the mean angular error over all frames and over those that look to the front, for each
 * clue, with and without smoothing.
 *
 * Regions  by the true gaze: 360 all frames; front 180: |yaw| <= 90 degrees; front 40: |yaw| <= 20 degrees (pitch does
 *          not matter). A mean is over frames, so a long video counts for more; videos only matter to the smoothing.
 * Differs  from tools/calculate_mae_gaze360.py in that the cosine is clamped, predictions need not be unit vectors, and a
 *          region without frames is null instead of a division by zero.
 * @module
 */
import { DataError } from "../../engine/errors.ts";
import { angularErrors, yawMagnitudes } from "./angles.ts";
import { AUTHORS_SMOOTHING, smoothGaze } from "./smoothing.ts";

/** The regions of an evaluation, and the largest |yaw| in degrees of each. */
export const REGIONS = { all360: Infinity, front180: 90, front40: 20 } as const;

/** The name of a region. */
export type Region = keyof typeof REGIONS;

/** A mean over the frames of a region. */
export interface RegionError {
  /** Mean angular error in degrees; null where the region has no frame. */
  readonly degrees: number | null;
  /** How many frames it is over. */
  readonly frames: number;
}

/** Mean errors by region. */
export type GazeErrors = Readonly<Record<Region, RegionError>>;

/** One video's vectors, [T, 3] each. */
export interface VideoGaze {
  /** Estimated. */
  readonly predicted: ArrayLike<number>;
  /** True. */
  readonly truth: ArrayLike<number>;
}

/** Mean errors of one clue. */
export interface ClueErrors {
  /** Frame by frame. */
  readonly raw: GazeErrors;
  /** After the authors' filter. */
  readonly smoothed: GazeErrors;
}

/** One video's vectors for several clues, [T, 3] each. */
export interface VideoClues {
  /** Estimates by clue, such as face, eyes, head and fused. */
  readonly predicted: Readonly<Record<string, ArrayLike<number>>>;
  /** True. */
  readonly truth: ArrayLike<number>;
}

/**
 * Mean errors over videos.
 * @param smoothing weight of a frame itself in `smoothGaze`; 1 does not smooth
 * @throws {DataError} lengths differ, or a vector is NaN, infinite or zero; names video and frame
 */
export function evaluateGaze(videos: Iterable<VideoGaze>, smoothing = 1): GazeErrors {
  const sums = { all360: 0, front180: 0, front40: 0 },
    frames = { all360: 0, front180: 0, front40: 0 };
  let video = 0;
  for (const { predicted, truth } of videos) {
    checkVectors(predicted, truth.length, `video ${video}: predicted gaze`);
    checkVectors(truth, truth.length, `video ${video}: true gaze`);
    const errors = angularErrors(smoothGaze(predicted, smoothing), truth);
    const yaws = yawMagnitudes(truth);
    for (let t = 0; t < errors.length; t++) {
      for (const region of Object.keys(REGIONS) as Region[]) {
        if (yaws[t] > REGIONS[region]) continue;
        sums[region] += errors[t];
        frames[region]++;
      }
    }
    video++;
  }
  const mean = (region: Region): RegionError => ({
    degrees: frames[region] === 0 ? null : sums[region] / frames[region],
    frames: frames[region],
  });
  return { all360: mean("all360"), front180: mean("front180"), front40: mean("front40") };
}

/**
 * Mean errors over videos for each clue, raw and smoothed.
 * @throws {DataError} as `evaluateGaze`, or the videos have other clues; names the clue
 */
export function evaluateClues(videos: readonly VideoClues[]): Record<string, ClueErrors> {
  const clues = Object.keys(videos[0]?.predicted ?? {});
  return Object.fromEntries(clues.map((clue) => {
    const ofClue = videos.map(({ predicted, truth }, i): VideoGaze => {
      if (predicted[clue] === undefined) {
        throw new DataError(`evaluateClues: video ${i} has no gaze for the clue ${clue}`);
      }
      return { predicted: predicted[clue], truth };
    });
    const errors = {
      raw: evaluateGaze(ofClue),
      smoothed: evaluateGaze(ofClue, AUTHORS_SMOOTHING),
    };
    return [clue, errors];
  }));
}

function checkVectors(vectors: ArrayLike<number>, length: number, label: string): void {
  if (vectors.length !== length || length % 3 !== 0) {
    throw new DataError(`${label}: ${vectors.length} numbers for ${length / 3} frames`);
  }
  for (let t = 0; t < length / 3; t++) {
    const norm = Math.hypot(vectors[3 * t], vectors[3 * t + 1], vectors[3 * t + 2]);
    if (!(norm > 0 && norm < Infinity)) {
      throw new DataError(
        `${label}, frame ${t}: [${[0, 1, 2].map((c) => vectors[3 * t + c])}] is no direction`,
      );
    }
  }
}
