/**
 * Which frames of a video make a clip, and how clips that overlap become one video again. As in the authors' code:
 * training takes every known frame with its neighbours (mmdet/datasets/gaze360.py), testing lets a window slide
 * (tools/test_gaze360_gaze.py).
 * @module
 */
import { DataError, ShapeError } from "../../engine/errors.ts";

/** Frames of a clip, and frames from one test clip to the next, in all published configurations. */
export const WINDOW = { length: 7, stride: 4 } as const;

/**
 * The frames of the training clip about frame `centre`: itself and (length - 1) / 2 to either side. A neighbour that is
 * not known is replaced by the first known frame of the video, or the last, on its side; so clips at the ends repeat a
 * frame.
 * @param known the frames with a truth, rising
 * @throws {ShapeError} the length is even, or the centre is not known
 */
export function clipAround(
  centre: number,
  known: readonly number[],
  length: number = WINDOW.length,
): number[] {
  if (!Number.isInteger(length) || length < 1 || length % 2 === 0) {
    throw new ShapeError(`clipAround: a clip about a frame has an odd length, got ${length}`);
  }
  const all = new Set(known);
  if (!all.has(centre)) throw new ShapeError(`clipAround: frame ${centre} is not known`);
  const frames = [centre];
  for (let i = 1; i <= (length - 1) / 2; i++) {
    frames.push(all.has(centre - i) ? centre - i : known[0]);
    frames.push(all.has(centre + i) ? centre + i : known[known.length - 1]);
  }
  return frames.sort((a, b) => a - b);
}

/** What to do with a video shorter than a clip. */
export type ShortVideo = "refuse" | "repeat";

/** How a window slides over a video. */
export interface SlidingOptions {
  /** Frames of a clip. Default 7. */
  readonly length?: number;
  /** Frames from one clip to the next. Default 4. */
  readonly stride?: number;
  /** A shorter video is refused, or its last frame is repeated. Default "refuse". */
  readonly short?: ShortVideo;
}

/**
 * The frames of each test clip of a video. The last clip ends with the video, so it may overlap the one before by more
 * than the others do.
 *
 * @param label names the video in errors
 * @throws {DataError} the video has no frames, or fewer than a clip and `short` is "refuse"
 * @throws {ShapeError} length or stride is no whole number >= 1, or the stride leaves frames out
 */
export function slidingClips(
  frames: number,
  options: SlidingOptions = {},
  label = "video",
): number[][] {
  const { length = WINDOW.length, stride = WINDOW.stride, short = "refuse" } = options;
  if (
    ![length, stride].every((value) => Number.isInteger(value) && value >= 1) || stride > length
  ) {
    throw new ShapeError(`slidingClips: length ${length} and stride ${stride} do not fit`);
  }
  if (frames === 0) throw new DataError(`${label} has no frames`);
  if (frames < length && short === "refuse") {
    throw new DataError(
      `${label} has ${frames} frames, a clip needs ${length}; give more, or repeat the last (short: "repeat")`,
    );
  }
  if (frames < length) {
    return [Array.from({ length }, (_, t) => Math.min(t, frames - 1))];
  }
  const clips = Math.ceil((frames - length) / stride) + 1;
  return Array.from({ length: clips }, (_, i) => {
    const first = Math.min(i * stride, frames - length);
    return Array.from({ length }, (_, t) => first + t);
  });
}

/**
 * One value for each frame of a video from those of its clips: where two clips overlap, the mean of what stood there and
 * of the later clip's. Means of unit vectors are shorter than 1; `smoothGaze` makes them unit vectors again.
 *
 * @param clips the frames of each clip, from `slidingClips`
 * @param values for each clip its values [length, width]; of a repeated frame the first counts
 * @returns [frames, width]
 * @throws {ShapeError} a clip's values do not fit its frames, or a frame is in no clip
 */
export function mergeClips(
  clips: readonly (readonly number[])[],
  values: readonly ArrayLike<number>[],
  width = 3,
): Float64Array {
  if (clips.length !== values.length) {
    throw new ShapeError(`mergeClips: ${clips.length} clips, but values of ${values.length}`);
  }
  const frames = Math.max(-1, ...clips.flat()) + 1;
  const merged = new Float64Array(frames * width).fill(NaN);
  clips.forEach((clip, i) => {
    if (values[i].length !== clip.length * width) {
      throw new ShapeError(
        `mergeClips: clip ${i} has ${clip.length} frames of ${width} values, got ${
          values[i].length
        }`,
      );
    }
    clip.forEach((frame, t) => {
      if (t > 0 && frame === clip[t - 1]) return;
      for (let k = 0; k < width; k++) {
        const value = values[i][t * width + k], before = merged[frame * width + k];
        merged[frame * width + k] = Number.isNaN(before) ? value : (before + value) / 2;
      }
    });
  });
  const missing = merged.findIndex(Number.isNaN);
  if (missing >= 0) {
    throw new ShapeError(`mergeClips: frame ${Math.floor(missing / width)} is in no clip`);
  }
  return merged;
}
