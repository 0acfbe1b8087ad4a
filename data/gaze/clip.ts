/**
 * A clip: the frames of one person over a short time, and what is known about them.
 * @module
 */
import { DataError } from "../../engine/errors.ts";

/** The clues of MCGaze in the order of its queries, and so of boxes. */
export const CLUES = ["face", "eyes", "head"] as const;

/** Frames with their truth; T frames of height x width. */
export interface GazeClip {
  /** Pixels [T, H, W, 3], bytes of red, green and blue. */
  readonly frames: Uint8Array;
  /** T */
  readonly length: number;
  /** H */
  readonly height: number;
  /** W */
  readonly width: number;
  /**
   * Boxes [T, 3, 4] of face, eyes and head, in that order, as (left, top, right, bottom) in pixels; pixel (x, y) covers
   * the square from (x, y) to (x + 1, y + 1). Rows of face and eyes are zero where they are not known.
   */
  readonly boxes: Float32Array;
  /** [T]: 1 where face and eyes are known too, 0 where the head's box is the only one. */
  readonly faceKnown: Uint8Array;
  /** Unit gaze vectors [T, 3]; coordinate system in `vectors.ts`. */
  readonly gaze: Float32Array;
  /** Where the head points, [T, 3], in the same coordinates; where it is known. */
  readonly headPose?: Float32Array;
  /** [T]: 1 where the eyes are shut, covered or blurred away; where it is known. */
  readonly hidden?: Uint8Array;
}

/** Clips by number. */
export interface ClipSource {
  /** How many there are. */
  readonly count: number;
  /** Clip `index`; the same each time. */
  clip(index: number): GazeClip | Promise<GazeClip>;
}

/**
 * Checks that the parts of a clip fit each other.
 * @param label names the clip in errors
 * @throws {DataError} a size does not fit; a gaze vector is not finite or not of length 1; a box is not finite, empty or
 * reaches outside the frame. Names the frame.
 */
export function checkClip(clip: GazeClip, label: string): void {
  const { frames, length, height, width, boxes, faceKnown, gaze } = clip;
  const sizes: readonly [string, number, number][] = [
    ["frames", frames.length, length * height * width * 3],
    ["boxes", boxes.length, length * 12],
    ["faceKnown", faceKnown.length, length],
    ["gaze", gaze.length, length * 3],
    ["headPose", clip.headPose?.length ?? length * 3, length * 3],
    ["hidden", clip.hidden?.length ?? length, length],
  ];
  for (const [name, got, want] of sizes) {
    if (got !== want) {
      throw new DataError(
        `${label}: ${name} has ${got} values, ${length} frames of ${height} x ${width} need ${want}`,
      );
    }
  }
  for (let t = 0; t < length; t++) {
    checkUnit(gaze.subarray(3 * t, 3 * t + 3), `${label}, frame ${t}: the gaze`);
    for (let clue = faceKnown[t] === 1 ? 0 : 2; clue < 3; clue++) {
      const box = boxes.subarray(12 * t + 4 * clue, 12 * t + 4 * clue + 4);
      checkBox(box, height, width, `${label}, frame ${t}: the box of the ${CLUES[clue]}`);
    }
  }
}

/** How far from 1 a gaze vector's length may be. */
const UNIT_TOLERANCE = 1e-3;

function checkUnit(vector: Float32Array, label: string): void {
  const length = Math.hypot(...vector);
  if (!(Math.abs(length - 1) <= UNIT_TOLERANCE)) {
    throw new DataError(`${label} must be a unit vector, got [${vector.join(", ")}]`);
  }
}

function checkBox(box: Float32Array, height: number, width: number, label: string): void {
  const [x1, y1, x2, y2] = box;
  const text = `[${box.join(", ")}]`;
  if (!(x1 < x2 && y1 < y2)) throw new DataError(`${label} is empty or not a number: ${text}`);
  if (!(x1 >= 0 && y1 >= 0 && x2 <= width && y2 <= height)) {
    throw new DataError(`${label} reaches outside the frame of ${height} x ${width}: ${text}`);
  }
}
