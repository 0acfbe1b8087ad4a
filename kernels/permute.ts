/**
 * Permutations of axes.
 *
 * Math    y[j_0, j_1, ...] = x at sum_k j_k stride_k, the strides of x in the order of y's axes. The gradient is the
 *         inverse permutation.
 * Shapes  x and y of any rank; tiled: [outer, rows, columns] -> [outer, columns, rows]. All types of 4 bytes, moved as
 *         bits.
 * Work    strided  A strided map (strided_map.ts): the one to read, and right for every permutation that leaves the
 *                  innermost axis where it is, since then loads and stores are both coalesced.
 *         tiled    For matrices, where neighbours in y lie a whole row of x apart: a GPU would fetch a cache line for each
 *                  element. A workgroup of 256 reads a tile of 32 x 32 along its rows into workgroup memory and writes it
 *                  along its columns, so both sides are coalesced.
 * Memory  Every element is read and written once: 8 bytes, bound by memory. A tile's row takes 33 words: with 32, a column
 *         would lie in one memory bank. On software adapters a tile in workgroup memory is one more copy and a barrier,
 *         so they keep the first.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { mergeDims, stridedMap, stridedMapReference } from "./strided_map.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

const TILE = 32;
const STEP = 8; // rows of a tile that a workgroup moves at a time

/** Matrices, one after the other. */
export interface MatrixShape {
  /** Number of matrices. */
  readonly outer: number;
  /** Rows of x. */
  readonly rows: number;
  /** Columns of x. */
  readonly columns: number;
}

const tiled = memoize((_: null) =>
  defineProgram({
    name: "permute",
    variant: "tiled",
    params: {
      rows: "u32",
      columns: "u32",
      row_tiles: "u32",
      column_tiles: "u32",
      tiles: "u32",
    },
    bindings: { a_in: "read u32", y: "write u32" },
    workgroupSize: TILE * STEP,
    workgroupBytes: 4 * TILE * (TILE + 1),
    code: wgsl`
const TILE = ${TILE}u;
const STEP = ${STEP}u;
const PITCH = TILE + 1u;
var<workgroup> tile: array<u32, ${TILE * (TILE + 1)}>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let index = ${FOLDED_GROUP};
  if (index >= params.tiles) { return; } // the whole workgroup leaves
  let left = index % params.column_tiles * TILE;
  let top = index / params.column_tiles % params.row_tiles * TILE;
  let matrix = index / params.column_tiles / params.row_tiles * params.rows * params.columns;
  let fast = t % TILE;
  let slow = t / TILE;
  for (var k = slow; k < TILE; k += STEP) {
    if (top + k < params.rows && left + fast < params.columns) {
      tile[k * PITCH + fast] = a_in[matrix + (top + k) * params.columns + left + fast];
    }
  }
  workgroupBarrier();
  for (var k = slow; k < TILE; k += STEP) {
    if (left + k < params.columns && top + fast < params.rows) {
      y[matrix + (left + k) * params.rows + top + fast] = tile[fast * PITCH + k];
    }
  }
}`,
  })
);

/** y [outer, columns, rows] = a_in [outer, rows, columns] with each matrix transposed, through tiles. */
export function transposeTiled({ outer, rows, columns }: MatrixShape): Kernel {
  const rowTiles = ceilDiv(rows, TILE), columnTiles = ceilDiv(columns, TILE);
  const tiles = outer * rowTiles * columnTiles;
  const size = outer * rows * columns;
  return {
    program: tiled(null),
    params: { rows, columns, row_tiles: rowTiles, column_tiles: columnTiles, tiles },
    sizes: { a_in: size, y: size },
    workgroups: foldWorkgroups(tiles),
    flops: 0,
    bytes: 8 * size,
    reference: ({ a_in: a }) => {
      const walk = { strides: [rows * columns, 1, columns], size };
      return stridedMapReference("copy", [outer, columns, rows], { a: walk }, { a });
    },
  };
}

/** The matrices that a permutation transposes, or null where it does something else. */
export function asTransposition(
  dims: readonly number[],
  strides: readonly number[],
): MatrixShape | null {
  const merged = mergeDims(dims, [strides]);
  const sizes = merged.dims.length === 2 ? [1, ...merged.dims] : merged.dims;
  const steps = merged.dims.length === 2 ? [0, ...merged.strides[0]] : merged.strides[0];
  if (sizes.length !== 3) return null;
  const [outer, columns, rows] = sizes;
  const fits = (outer === 1 || steps[0] === rows * columns) && steps[1] === 1 &&
    steps[2] === columns;
  return fits ? { outer, rows, columns } : null;
}

/**
 * y = a_in permuted, by the variant that suits the target.
 * @param dims shape of y
 * @param strides of each axis of y in a_in
 */
export function permute(
  dims: readonly number[],
  strides: readonly number[],
  target: Target,
): Kernel {
  const matrix = asTransposition(dims, strides);
  const gpu = target.adapterClass !== "software";
  if (gpu && matrix && Math.min(matrix.rows, matrix.columns) >= 8) return transposeTiled(matrix);
  const size = dims.reduce((a, b) => a * b, 1);
  return stridedMap("copy", dims, { a: { strides, size } });
}
