/**
 * The authors' smoothing filter: each frame's gaze is mixed with the mean of its two neighbours'.
 *
 * out[t] = unit(keep v[t] + (1 - keep) (v[t-1] + v[t+1]) / 2); the first and last frame have one neighbour. A video of
 * one frame stays as it is, even its length. From tools/calculate_mae_gaze360.py, where keep = 0.6; keep = 1 smooths
 * nothing and only makes unit vectors.
 * @module
 */
import { ShapeError } from "../../engine/errors.ts";

/** The authors' weight of a frame itself. */
export const AUTHORS_SMOOTHING = 0.6;

/**
 * Smooths the gaze vectors [T, 3] of one video.
 * @throws {ShapeError} keep is not in (0, 1], or the length is no multiple of 3
 */
export function smoothGaze(vectors: ArrayLike<number>, keep = AUTHORS_SMOOTHING): Float64Array {
  if (!(keep > 0 && keep <= 1)) {
    throw new ShapeError(`smoothGaze: keep must be in (0, 1], got ${keep}`);
  }
  if (vectors.length % 3 !== 0) {
    throw new ShapeError(`smoothGaze: ${vectors.length} numbers are no vectors of 3`);
  }
  const length = vectors.length / 3;
  const out = Float64Array.from(vectors);
  if (length < 2) return out;
  for (let t = 0; t < length; t++) {
    const before = t === 0 ? 1 : t - 1, after = t === length - 1 ? length - 2 : t + 1;
    const mixed = [0, 1, 2].map((c) =>
      keep * vectors[3 * t + c] +
      (1 - keep) * (vectors[3 * before + c] + vectors[3 * after + c]) / 2
    );
    const norm = Math.hypot(...mixed);
    for (let c = 0; c < 3; c++) out[3 * t + c] = mixed[c] / norm;
  }
  return out;
}
