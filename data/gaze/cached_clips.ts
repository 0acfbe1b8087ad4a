/**
 * Clips that are made or read once and then kept in memory: for training over several epochs.
 * @module
 */
import type { ClipSource, GazeClip } from "./clip.ts";

/**
 * The same clips, each taken from `source` when it is first asked for. All of them need count * T * H * W * 3 bytes:
 * 3,000 clips of 7 frames of 64 x 64 are 258 MB. A clip that could not be read is tried again.
 */
export function cachedClips(source: ClipSource): ClipSource {
  const kept = new Map<number, GazeClip>();
  return {
    count: source.count,
    clip: async (index) => {
      const clip = kept.get(index) ?? await source.clip(index);
      kept.set(index, clip);
      return clip;
    },
  };
}
