/**
 * Position embeddings for another number of patches: the grid of patch embeddings is taken for an image with a channel a
 * dimension, and resampled bicubically.
 *
 *     out[y, x] = sum over (v, u) of  wy[y, v] * wx[x, u] * in[v, u]
 *
 * with 1-D weights from the cubic kernel (Keys, 1981)
 *
 *     k(t) = (a + 2)|t|^3 - (a + 3)|t|^2 + 1          for |t| <= 1
 *            a|t|^3 - 5a|t|^2 + 8a|t| - 4a            for 1 < |t| < 2,  else 0
 *
 * The kernel is centred at (x + 1/2) * old / new - 1/2, so corners map to corners. This is what timm's
 * `resample_abs_pos_embed` gets from PyTorch's `interpolate(mode="bicubic")`, in its two forms:
 *
 * - `antialias: true` (timm): a = -1/2; when the grid shrinks the kernel is stretched by old / new; only pixels inside the
 *   grid count, and the weights are divided by their sum;
 * - `antialias: false` (mmpretrain, DeiT): a = -3/4; four pixels whatever the scale; pixels outside repeat the edge.
 *
 * Sums are in float64, rounded once.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";

/** Rows and columns of a grid of patches. */
export type Grid = readonly [rows: number, columns: number];

/** How a position embedding is resized. */
export interface ResizeOptions {
  /** Rows and columns that it has. */
  readonly from: Grid;
  /** Rows and columns that it gets. */
  readonly to: Grid;
  /** Tokens at its start that are no patches, such as the class token; they stay as they are. */
  readonly prefixTokens: number;
  /** Channels of a token. */
  readonly dim: number;
  /** Average over what a coarser grid cannot show, as timm does. Default true. */
  readonly antialias?: boolean;
}

/**
 * Resizes a position embedding [1, prefix + rows * columns, dim].
 * @param values its values, row-major
 * @throws {ShapeError} there are more or fewer values than prefix tokens, grid and channels say
 */
export function resizePosEmbed(
  values: Float32Array,
  options: ResizeOptions,
): Float32Array<ArrayBuffer> {
  const { from, to, prefixTokens, dim, antialias = true } = options;
  const tokens = prefixTokens + from[0] * from[1];
  if (values.length !== tokens * dim) {
    throw new ShapeError(
      `resizePosEmbed: ${values.length} values, ${prefixTokens} prefix tokens and a grid of ` +
        `${from.join("x")} need ${tokens} x ${dim}`,
    );
  }
  const prefix = prefixTokens * dim;
  const out = new Float32Array((prefixTokens + to[0] * to[1]) * dim);
  out.set(values.subarray(0, prefix));
  const rows = taps(from[0], to[0], antialias), columns = taps(from[1], to[1], antialias);
  // First along the rows: [from rows, to columns, dim], then along the columns.
  const half = new Float64Array(from[0] * to[1] * dim);
  for (let y = 0; y < from[0]; y++) {
    columns.forEach((weights, x) => {
      for (const [u, weight] of weights) {
        for (let d = 0; d < dim; d++) {
          half[(y * to[1] + x) * dim + d] += weight * values[prefix + (y * from[1] + u) * dim + d];
        }
      }
    });
  }
  const sums = new Float64Array(to[1] * dim);
  rows.forEach((weights, y) => {
    sums.fill(0);
    for (const [v, weight] of weights) {
      for (let i = 0; i < sums.length; i++) sums[i] += weight * half[v * sums.length + i];
    }
    out.set(sums, prefix + y * sums.length);
  });
  return out;
}

/** A pixel of the old grid and its weight. */
type Tap = readonly [pixel: number, weight: number];

/** For each pixel of the new grid, along one axis, the old pixels that make it. */
function taps(from: number, to: number, antialias: boolean): readonly (readonly Tap[])[] {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    return antialias ? smoothTaps(center, from, Math.max(scale, 1)) : fourTaps(center - 0.5, from);
  });
}

/** All pixels under a kernel stretched by `stretch`, with weights that add up to 1. */
function smoothTaps(center: number, size: number, stretch: number): readonly Tap[] {
  const first = Math.max(0, Math.trunc(center - 2 * stretch + 0.5));
  const end = Math.min(size, Math.trunc(center + 2 * stretch + 0.5));
  const found: [number, number][] = [];
  for (let pixel = first; pixel < end; pixel++) {
    found.push([pixel, cubic((pixel + 0.5 - center) / stretch, -0.5)]);
  }
  const sum = found.reduce((total, [, weight]) => total + weight, 0);
  return found.map(([pixel, weight]) => [pixel, weight / sum]);
}

/** The two pixels on each side of a place, those beyond the edge replaced by it. */
function fourTaps(place: number, size: number): readonly Tap[] {
  const left = Math.floor(place);
  return [-1, 0, 1, 2].map((step) => [
    Math.min(size - 1, Math.max(0, left + step)),
    cubic(place - left - step, -0.75),
  ]);
}

function cubic(t: number, a: number): number {
  const x = Math.abs(t);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((x - 5) * x + 8) * x * a - 4 * a : 0;
}
