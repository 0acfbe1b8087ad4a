/**
 * A clip's boxes when its pictures are moved, scaled or cut.
 * @module
 */
import { DataError } from "../../engine/errors.ts";

/** (left, top, right, bottom) in pixels. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];

/** Boxes [T, 3, 4] and which of them are known, as in `GazeClip`. */
export interface ClipBoxes {
  readonly boxes: Float32Array;
  readonly faceKnown: Uint8Array;
}

/** Numbers of a frame's three boxes. */
const FRAME = 12;

/** New boxes from the known ones. */
export function mapBoxes({ boxes, faceKnown }: ClipBoxes, change: (box: Box) => Box): Float32Array {
  const out = new Float32Array(boxes.length);
  for (let t = 0; t < faceKnown.length; t++) {
    for (let at = t * FRAME + (faceKnown[t] === 1 ? 0 : 8); at < (t + 1) * FRAME; at += 4) {
      out.set(change([boxes[at], boxes[at + 1], boxes[at + 2], boxes[at + 3]]), at);
    }
  }
  return out;
}

/**
 * The same clip with its boxes cut to a frame of height x width; face and eyes are no longer known where nothing is left
 * of one of them.
 * @throws {DataError} nothing is left of a head
 */
export function cutBoxes<C extends ClipBoxes>(clip: C, height: number, width: number): C {
  const faceKnown = clip.faceKnown.slice();
  const inside = (value: number, end: number): number => Math.max(0, Math.min(end, value));
  const boxes = mapBoxes(clip, ([x1, y1, x2, y2]) => [
    inside(x1, width),
    inside(y1, height),
    inside(x2, width),
    inside(y2, height),
  ]);
  const isEmpty = (at: number): boolean =>
    !(boxes[at] < boxes[at + 2] && boxes[at + 1] < boxes[at + 3]);
  for (let t = 0; t < faceKnown.length; t++) {
    if (isEmpty(t * FRAME + 8)) {
      throw new DataError(
        `frame ${t}: nothing of the head's box is left in ${height} x ${width} pixels`,
      );
    }
    if (faceKnown[t] === 1 && (isEmpty(t * FRAME) || isEmpty(t * FRAME + 4))) {
      faceKnown[t] = 0;
      boxes.fill(0, t * FRAME, t * FRAME + 8);
    }
  }
  return { ...clip, boxes, faceKnown };
}
