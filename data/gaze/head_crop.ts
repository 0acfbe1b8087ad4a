/**
 * What the model is shown of a frame: a square of it, as normalised values.
 *
 * Each value is the mean of k x k points in its square, k the whole number at or above the reduction, each read bilinearly:
 * so a photograph is made smaller without skipping pixels, and a square of the model's own size is taken as it is. Outside
 * the frame stands ImageNet's mean, which normalised is 0.
 * @module
 */
import { ShapeError } from "../../engine/errors.ts";
import type { Picture } from "./annotated_clips.ts";
import { IMAGENET } from "./clip_transforms.ts";
import type { Square } from "./head_boxes.ts";

/**
 * The values of a square, [3, size, size].
 * @throws {ShapeError} the square or the size is not above 0
 */
export function headCrop(
  { height, width, data }: Picture,
  square: Square,
  size: number,
): Float32Array {
  const { left, top, side } = square;
  if (!(side > 0 && side < Infinity && Number.isInteger(size) && size > 0)) {
    throw new ShapeError(`headCrop: a square of side ${side} cannot become ${size} pixels`);
  }
  const scale = side / size, points = Math.ceil(scale), count = points * points;
  const columns = taps(left, scale, points, size, width);
  const rows = taps(top, scale, points, size, height);
  const out = new Float32Array(3 * size * size);
  const sum = new Float64Array(3);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      sum.fill(0);
      for (let v = y * points; v < (y + 1) * points; v++) {
        const row = rows[v];
        for (let u = x * points; u < (x + 1) * points; u++) {
          const column = columns[u];
          for (let c = 0; c < 3; c++) {
            if (row === null || column === null) {
              sum[c] += 255 * IMAGENET.mean[c];
              continue;
            }
            const upper = row.first * width, lower = row.second * width;
            const above = mix(
              data[3 * (upper + column.first) + c],
              data[3 * (upper + column.second) + c],
              column.weight,
            );
            const below = mix(
              data[3 * (lower + column.first) + c],
              data[3 * (lower + column.second) + c],
              column.weight,
            );
            sum[c] += mix(above, below, row.weight);
          }
        }
      }
      for (let c = 0; c < 3; c++) {
        const value = sum[c] / count / 255;
        out[(c * size + y) * size + x] = (value - IMAGENET.mean[c]) / IMAGENET.std[c];
      }
    }
  }
  return out;
}

/** The two pixels that a point lies between, and the second one's weight. */
interface Tap {
  readonly first: number;
  readonly second: number;
  readonly weight: number;
}

/** Where each point of a row is read; null outside the frame. */
function taps(from: number, scale: number, points: number, size: number, end: number) {
  return Array.from({ length: points * size }, (_, i): Tap | null => {
    const place = from + (i + 0.5) * scale / points;
    if (place < 0 || place > end) return null;
    const before = Math.max(0, place - 0.5), first = Math.min(Math.floor(before), end - 1);
    return { first, second: Math.min(first + 1, end - 1), weight: before - first };
  });
}

function mix(a: number, b: number, weight: number): number {
  return a + (b - a) * weight;
}
