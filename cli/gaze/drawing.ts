/**
 * Drawing on pictures: boxes and gaze arrows, one pixel wide.
 * @module
 */
import type { Picture } from "../../data/mod.ts";

/** Bytes of red, green and blue. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** A black picture. */
export function blankPicture(height: number, width: number): Picture {
  return { height, width, data: new Uint8Array(height * width * 3) };
}

/** Copies a picture, each pixel `zoom` x `zoom` times, to (left, top) of another. */
export function paste(onto: Picture, from: Picture, left: number, top: number, zoom = 1): void {
  for (let y = 0; y < from.height * zoom; y++) {
    for (let x = 0; x < from.width * zoom; x++) {
      const at = 3 * (Math.floor(y / zoom) * from.width + Math.floor(x / zoom));
      const [red, green, blue] = from.data.subarray(at, at + 3);
      dot(onto, left + x, top + y, [red, green, blue]);
    }
  }
}

/** A line between two points. */
export function line(
  picture: Picture,
  [x1, y1]: readonly [number, number],
  [x2, y2]: readonly [number, number],
  colour: Rgb,
): void {
  const steps = Math.ceil(Math.max(Math.abs(x2 - x1), Math.abs(y2 - y1), 1));
  for (let i = 0; i <= steps; i++) {
    dot(picture, x1 + (x2 - x1) * i / steps, y1 + (y2 - y1) * i / steps, colour);
  }
}

/** The border of a box (left, top, right, bottom). */
export function box(
  picture: Picture,
  [x1, y1, x2, y2]: ArrayLike<number> & Iterable<number>,
  colour: Rgb,
): void {
  line(picture, [x1, y1], [x2, y1], colour);
  line(picture, [x2, y1], [x2, y2], colour);
  line(picture, [x2, y2], [x1, y2], colour);
  line(picture, [x1, y2], [x1, y1], colour);
}

/**
 * An arrow from a point along a gaze vector as the camera sees it: x of the vector is to the left, y up. A gaze in the
 * picture's plane is `length` pixels long, one into the camera a dot.
 */
export function gazeArrow(
  picture: Picture,
  [x, y]: readonly [number, number],
  gaze: ArrayLike<number>,
  length: number,
  colour: Rgb,
): void {
  const dx = -length * gaze[0], dy = -length * gaze[1];
  const tip = [x + dx, y + dy] as const;
  line(picture, [x, y], tip, colour);
  for (const turn of [1, -1]) { // the head's two strokes, 30 degrees off, a quarter as long
    const bx = -0.25 * (0.87 * dx - 0.5 * turn * dy), by = -0.25 * (0.87 * dy + 0.5 * turn * dx);
    line(picture, tip, [tip[0] + bx, tip[1] + by], colour);
  }
}

function dot({ height, width, data }: Picture, x: number, y: number, colour: Rgb): void {
  const column = Math.floor(x), row = Math.floor(y);
  if (column < 0 || row < 0 || column >= width || row >= height) return;
  data.set(colour, 3 * (row * width + column));
}
