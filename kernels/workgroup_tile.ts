/**
 * WGSL pieces of a workgroup tile: a TILE x TILE block of sums that a workgroup computes from blocks of both factors which
 * it copies to workgroup memory. Matrix products and convolutions are made of the same pieces; they differ in where the
 * numbers to copy lie.
 *
 * The workgroup has 64 invocations, 8 x 8. Invocation (tx, ty) owns BLOCK x BLOCK sums, rows ty + 8 i and columns
 * tx + 8 j: neighbours then read neighbouring words of workgroup memory (no bank conflicts), and store neighbouring words
 * (coalesced). Blocks are kept as [step][line], each step padded by a word, so that copying across does not meet one bank only.
 * @module
 */
import { wgsl } from "./wgsl.ts";

/** Invocations along a side of the workgroup. */
const SIDE = 8;
/** Invocations of the workgroup. */
export const TILE_THREADS: number = SIDE * SIDE;
/** Steps along k that are in workgroup memory at a time. */
export const TILE_DEPTH = 16;

/** Sides of the block that a workgroup can compute. */
export type WorkgroupTile = 32 | 64;

const own = (tile: WorkgroupTile) => Array.from({ length: tile / SIDE }, (_, i) => i);

/** Bytes of both blocks. */
export function tileBytes(tile: WorkgroupTile): number {
  return 8 * TILE_DEPTH * (tile + 1);
}

/** WGSL: the two blocks, `tile_a` and `tile_b`. */
export function tileMemory(tile: WorkgroupTile): string {
  const size = TILE_DEPTH * (tile + 1);
  return wgsl`
var<workgroup> tile_a: array<f32, ${size}>;
var<workgroup> tile_b: array<f32, ${size}>;`;
}

/** WGSL: where an invocation stands, `tx` and `ty`, and its sums, all 0. */
export function blockSums(tile: WorkgroupTile): string {
  return `let tx = t % ${SIDE}u;
let ty = t / ${SIDE}u;
${own(tile).map((i) => own(tile).map((j) => `var c${i}_${j} = 0.0;`).join(" ")).join("\n")}`;
}

/**
 * WGSL: a loop in which the workgroup copies a block, four neighbours at a time.
 * @param name `a` or `b`
 * @param along true when the four are steps of a line, false when they are lines of a step
 * @param load WGSL that sets `four`, a vec4f of zeros, from `line` and `step`
 */
export function copyBlock(
  name: string,
  along: boolean,
  tile: WorkgroupTile,
  load: string,
): string {
  const perStep = tile / 4, perLine = TILE_DEPTH / 4;
  const apart = along ? tile + 1 : 1;
  return wgsl`
for (var i = t; i < ${tile * TILE_DEPTH / 4}u; i += WORKGROUP_SIZE) {
  #if ${along}
  let line = i / ${perLine}u;
  let step = i % ${perLine}u * 4u;
  #else
  let line = i % ${perStep}u * 4u;
  let step = i / ${perStep}u;
  #endif
  var four = vec4f();
  ${load}
  let to = step * ${tile + 1}u + line;
  tile_${name}[to] = four.x;
  tile_${name}[to + ${apart}u] = four.y;
  tile_${name}[to + ${2 * apart}u] = four.z;
  tile_${name}[to + ${3 * apart}u] = four.w;
}`;
}

/** WGSL: multiplies the blocks in workgroup memory, between two barriers. */
export function multiplyBlocks(tile: WorkgroupTile): string {
  const products = own(tile).map((i) =>
    `let a${i} = tile_a[first + ty + ${SIDE * i}u]; ` +
    own(tile).map((j) => `c${i}_${j} += a${i} * b${j};`).join(" ")
  );
  return `workgroupBarrier();
for (var step = 0u; step < ${TILE_DEPTH}u; step++) {
  let first = step * ${tile + 1}u;
  ${own(tile).map((j) => `let b${j} = tile_b[first + tx + ${SIDE * j}u];`).join("\n  ")}
  ${products.join("\n  ")}
}
workgroupBarrier(); // the blocks are overwritten next`;
}

/** Where a block lies in the result; all WGSL. */
export interface BlockPlace {
  /** How many rows the result has from the block's first. */
  readonly rows: string;
  /** The block's first column. */
  readonly column: string;
  /** How many columns the result has. */
  readonly columns: string;
  /** Over `line`, a row of the block: where that row begins in the result. */
  readonly rowAt: string;
}

/**
 * WGSL: stores what lies within the result, by calls of `store(at, bias_at, sum)`. A loop over rows, so that the epilogue
 * is not written out for each: that made most of the code.
 */
export function blockStores(tile: WorkgroupTile, place: BlockPlace): string {
  const others = own(tile).slice(1).map((i) =>
    `case ${i}u: { ${own(tile).map((j) => `out${j} = c${i}_${j};`).join(" ")} }`
  );
  const stores = own(tile).map((j) => {
    const column = `${place.column} + tx + ${SIDE * j}u`;
    return `if (${column} < ${place.columns}) { store(at + ${column}, bias_at + ${column}, out${j}); }`;
  });
  return `for (var i = 0u; i < ${tile / SIDE}u && ty + ${SIDE}u * i < ${place.rows}; i++) {
  ${own(tile).map((j) => `var out${j} = c0_${j};`).join(" ")}
  switch i {
    ${others.join("\n    ")}
    default: {}
  }
  let line = ty + ${SIDE}u * i;
  let at = ${place.rowAt};
  ${stores.join("\n  ")}
}`;
}
