/**
 * Lines that somebody drew become an image as MNIST's digits are: the drawing fits a box of 20 x 20 pixels whose centre of
 * mass is the middle of 28 x 28, and lines are about as thick as there. It is drawn by geometry (how far is a pixel from
 * the nearest line?), so the pad's size and the pen's do not matter.
 * @module
 */
import { type FloatImage, makeImage } from "../../../data/mod.ts";

/** A place on the pad, both in [0, 1]. */
export type Point = readonly [x: number, y: number];
/** Places of the pen from down to up. */
export type Stroke = readonly Point[];

/** Pixels of the image and of the box, and half a line's thickness. */
const SIDE = 28, BOX = 20, RADIUS = 1.15;
/** A drawing smaller than this share of the pad is not blown up to the whole box. */
const SMALLEST = 0.2;

/** The image of some strokes, 28 x 28, 0 black to 1 white; black where there are none. */
export function rasterise(strokes: readonly Stroke[]): FloatImage {
  const points = strokes.flat();
  const image = makeImage(1, SIDE, SIDE);
  if (points.length === 0) return image;
  const [left, right] = range(points.map(([x]) => x));
  const [top, bottom] = range(points.map(([, y]) => y));
  const scale = (BOX - 2 * RADIUS) / Math.max(SMALLEST, right - left, bottom - top);
  const place = (dx: number, dy: number) => ([x, y]: Point): Point => [
    SIDE / 2 + (x - (left + right) / 2) * scale + dx,
    SIDE / 2 + (y - (top + bottom) / 2) * scale + dy,
  ];
  draw(image, strokes.map((stroke) => stroke.map(place(0, 0))));
  const [dx, dy] = fromMiddle(image);
  draw(image, strokes.map((stroke) => stroke.map(place(-dx, -dy))));
  return image;
}

function range(values: readonly number[]): [least: number, most: number] {
  let least = Infinity, most = -Infinity;
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return [least, most];
}

/** Each pixel: 1 inside a line, falling to 0 over one pixel at its edge. */
function draw({ data }: FloatImage, strokes: readonly Stroke[]): void {
  data.fill(0);
  const reach = RADIUS + 0.5;
  for (const stroke of strokes) {
    for (let i = 0; i < stroke.length; i++) {
      const a = stroke[Math.max(0, i - 1)], b = stroke[i];
      const [x0, x1] = range([a[0], b[0]]), [y0, y1] = range([a[1], b[1]]);
      for (let y = first(y0 - reach); y <= last(y1 + reach); y++) {
        for (let x = first(x0 - reach); x <= last(x1 + reach); x++) {
          const value = Math.min(1, reach - distance([x + 0.5, y + 0.5], a, b));
          data[y * SIDE + x] = Math.max(data[y * SIDE + x], value);
        }
      }
    }
  }
}

const first = (value: number): number => Math.max(0, Math.floor(value));
const last = (value: number): number => Math.min(SIDE - 1, Math.ceil(value));

/** How far a place is from the line between two others. */
function distance([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : ((x - ax) * dx + (y - ay) * dy) / length;
  const t = Math.max(0, Math.min(1, along));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

/** Where the centre of mass is, seen from the middle. */
function fromMiddle({ data }: FloatImage): Point {
  let mass = 0, x = 0, y = 0;
  for (let i = 0; i < data.length; i++) {
    mass += data[i];
    x += data[i] * (i % SIDE + 0.5);
    y += data[i] * (Math.floor(i / SIDE) + 0.5);
  }
  return [x / mass - SIDE / 2, y / mass - SIDE / 2];
}
