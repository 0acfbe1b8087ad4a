/**
 * Clips taken apart into frames, for training on pictures: a batch of 28 stills sees more people and lights than one of
 * 4 clips of 7 frames.
 * @module
 */
import { DataError } from "../../engine/errors.ts";
import type { ClipSource, GazeClip } from "./clip.ts";

/**
 * Every frame of a source as a clip of its own, sharing its memory: still `i` is frame `i mod T` of clip `i div T`.
 * @param length T, of all clips
 * @returns a source whose `clip` throws DataError where a clip has another length
 */
export function stills(source: ClipSource, length: number): ClipSource {
  return {
    count: source.count * length,
    clip: async (index) => {
      const number = Math.floor(index / length);
      const clip = await source.clip(number);
      if (clip.length !== length) {
        throw new DataError(`stills: clip ${number} has ${clip.length} frames, not ${length}`);
      }
      return frameOf(clip, index % length);
    },
  };
}

/** Frame t of a clip as a clip of one frame, sharing its memory. */
export function frameOf(clip: GazeClip, t: number): GazeClip {
  const { height, width, headPose, hidden } = clip, size = 3 * height * width;
  return {
    frames: clip.frames.subarray(t * size, (t + 1) * size),
    length: 1,
    height,
    width,
    boxes: clip.boxes.subarray(12 * t, 12 * t + 12),
    faceKnown: clip.faceKnown.subarray(t, t + 1),
    gaze: clip.gaze.subarray(3 * t, 3 * t + 3),
    ...(headPose && { headPose: headPose.subarray(3 * t, 3 * t + 3) }),
    ...(hidden && { hidden: hidden.subarray(t, t + 1) }),
  };
}
