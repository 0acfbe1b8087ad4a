/**
 * Split K: products whose sum along k is long but whose result is small, the gradients of weights above all.
 *
 * Math    y = sum_l A[:, l] B[l, :] = sum over chunks s of (the same sum over the steps l of chunk s)
 * Shapes  partial products [splits, m, n], which column_sum.ts sees as a [splits, m n] matrix and adds, into y [m, n] or,
 *         where asked, to what it holds.
 * Work    A weight gradient dW = dy^T x of [64, 64] over 3,136 rows takes 26 million operations for only 4,096 results:
 *         one workgroup's tile on a GPU. Divided, every (tile, chunk) is an invocation or a workgroup of its own.
 * Memory  A chunk of c steps reads c (m + n) numbers, and 2 m n more are moved for it (its partial product is written,
 *         then read): as much again when c = 2 m n / (m + n), which is c = m for a square result. A chunk keeps 64 steps
 *         or more.
 * Order   The split depends on shape and adapter class only, and partial sums are added in order: the result is the same
 *         from run to run. Atomic additions would save the second launch and lose that.
 * @module
 */
import { columnSum } from "./column_sum.ts";
import { ceilDiv, type Kernel } from "./kernel.ts";
import { type MatmulEpilogue, type MatmulShape, needsWholeSums } from "./matmul_shape.ts";

/** The two launches of a split product. */
export interface SplitProduct {
  /** Writes partial products to its `y`, [splits, m, n]. */
  readonly product: Kernel;
  /** Adds them: `x` is the product's `y`, `y` the result. */
  readonly sum: Kernel;
}

/** The fewest steps along k that a chunk keeps. */
const LEAST_CHUNK = 64;

/** Steps along k of one chunk: a multiple of 4, so that vec4 loads never straddle two chunks. */
export function splitChunk(k: number, splits: number): number {
  return splits === 1 ? k : 4 * ceilDiv(k, 4 * splits);
}

/**
 * How many chunks a product needs for `wanted` pieces of work when unsplit it has `pieces`; 1 when splitting is no help or
 * impossible.
 */
export function splitsFor(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  pieces: number,
  wanted: number,
): number {
  const { batch, k } = shape;
  if (batch > 1 || needsWholeSums(epilogue)) return 1;
  const splits = Math.min(ceilDiv(wanted, pieces), Math.floor(k / LEAST_CHUNK));
  // Rounding chunks up to multiples of 4 may leave the last ones empty.
  return splits < 2 ? 1 : ceilDiv(k, splitChunk(k, splits));
}

/**
 * A product in chunks.
 * @param variant makes the kernel for the partial products; it gets no epilogue
 */
export function matmulSplitK(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  splits: number,
  variant: (shape: MatmulShape, epilogue: MatmulEpilogue, splits: number) => Kernel,
): SplitProduct {
  return {
    product: variant(shape, {}, splits),
    sum: columnSum(splits, shape.m * shape.n, { accumulate: epilogue.accumulate }),
  };
}
