/**
 * The Tiny Face Detector's settings and boxes, for Deno and pages alike. How they were found: detector.ts.
 * @module
 */
import type { Box } from "../../data/gaze/mod.ts";

/** Score from which a face of the tiny network counts. */
export const LEAST_TINY_SCORE = 0.3;

/** Side of what the tiny network sees, in pixels. */
export const TINY_INPUT = 512;

/**
 * From the tiny network's box to that of the other, hairline to chin: shares of its width and height, and of its height that
 * the middle is higher. Means over the faces of the photographs.
 */
const FACE_OF_TINY = { width: 0.67, height: 1.04, up: 0.14 } as const;

/** The tiny network's box of a face in the form of the other's. */
export function faceOfTiny([x1, y1, x2, y2]: Box): Box {
  const { width, height, up } = FACE_OF_TINY;
  const x = (x1 + x2) / 2, y = (y1 + y2) / 2 - up * (y2 - y1);
  const dx = width * (x2 - x1) / 2, dy = height * (y2 - y1) / 2;
  return [x - dx, y - dy, x + dx, y + dy];
}
