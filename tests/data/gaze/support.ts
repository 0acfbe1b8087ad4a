/**
 * What the gaze data tests share: small clips whose pixels and boxes are easy to follow.
 * @module
 */
import type { GazeClip } from "../../../data/gaze/clip.ts";
import { lookAlong } from "../../../data/gaze/vectors.ts";

/** Boxes of face, eyes and head in a frame of 20 x 20. */
export const BOXES = [[6, 5, 14, 16], [8, 7, 13, 9], [4, 2, 16, 18]] as const;

/**
 * A clip whose red is the column, green the row and blue the frame; face and eyes are not known in frame 1. Boxes are
 * `BOXES`, times the whole number of times that 20 goes into the shorter side.
 */
export function numberedClip(length = 3, height = 20, width = 20): GazeClip {
  const frames = new Uint8Array(length * height * width * 3);
  for (let i = 0, at = 0; at < frames.length; i++, at += 3) {
    const column = i % width, row = Math.floor(i / width) % height;
    frames.set([column, row, Math.floor(i / (width * height))], at);
  }
  const boxes = new Float32Array(length * 12);
  const faceKnown = new Uint8Array(length).fill(1);
  if (length > 1) faceKnown[1] = 0;
  const scale = Math.floor(Math.min(height, width) / 20);
  const [face, eyes, head] = BOXES.map((box) => box.map((value) => scale * value));
  for (let t = 0; t < length; t++) {
    if (faceKnown[t] === 1) boxes.set([...face, ...eyes], 12 * t);
    boxes.set(head, 12 * t + 8);
  }
  const gaze = Float32Array.from({ length: 3 * length }, (_, i) => (
    lookAlong(10 + 5 * Math.floor(i / 3), -20)[i % 3]
  ));
  return { frames, length, height, width, boxes, faceKnown, gaze };
}
