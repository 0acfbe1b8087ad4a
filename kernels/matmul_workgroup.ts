/**
 * Matrix product by workgroup tiles: the variant for real GPUs.
 *
 * Math    That of matmul.ts: y[z] = f(A[z] B[z] + bias), either factor stored transposed, its gradients products too.
 * Shapes  a [batch, m, k] or [batch, k, m]; b [batch, k, n] or [batch, n, k]; y [batch, m, n], f32, of any sizes. With
 *         splits > 1 y [batch, splits, m, n] holds partial products (matmul_split_k.ts).
 * Work    A workgroup computes a TILE x TILE block of y. For every DEPTH steps along k its 64 invocations (8 x 8) copy
 *         the TILE x DEPTH blocks of a and b that all of them need to workgroup memory. Each owns BLOCK x BLOCK elements,
 *         spread over the tile (workgroup_tile.ts).
 * Memory  A number from memory serves TILE multiply-adds, one from workgroup memory BLOCK: 64 and 8 with BLOCK 8, where
 *         matmul.ts loads each number for one. Copies are coalesced for either storage order: where k runs along memory
 *         four neighbours read 64 bytes of a line, else 16 neighbours read 256 bytes of a step. Beyond the matrices' edges
 *         blocks are filled with zeros.
 * Cost    On a software adapter workgroup memory is plain memory and a barrier costs 1 to 20 ns an invocation; there
 *         register tiles were 3 times as fast (matmul_tiled.ts).
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { matmulReference } from "./matmul.ts";
import {
  epilogueBindings,
  type EpilogueConfig,
  epilogueConfig,
  epilogueFunction,
  matmulCost,
  type MatmulEpilogue,
  type MatmulShape,
} from "./matmul_shape.ts";
import { splitChunk } from "./matmul_split_k.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";
import {
  blockStores,
  blockSums,
  copyBlock,
  multiplyBlocks,
  TILE_DEPTH,
  TILE_THREADS,
  tileBytes,
  tileMemory,
  type WorkgroupTile,
} from "./workgroup_tile.ts";

interface Config extends EpilogueConfig {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** Which factors can be seen as vec4. */
  readonly vectorA: boolean;
  readonly vectorB: boolean;
  readonly tile: WorkgroupTile;
}

/**
 * WGSL that loads four numbers of a factor, zeros beyond its edges.
 * @param along true when k runs along memory
 * @param lines how many lines (rows of a, columns of b) the matrix has, as WGSL
 */
function loadFour(name: string, along: boolean, vector: boolean, lines: string): string {
  return wgsl`
  #if ${along}
  let at = ${name}_first + (${name}_line + line) * params.k + k + step;
  let left = select(0u, k_end - min(k_end, k + step), ${name}_line + line < ${lines});
  #else
  let at = ${name}_first + (k + step) * ${lines} + ${name}_line + line;
  let left = select(0u, ${lines} - min(${lines}, ${name}_line + line), k + step < k_end);
  #endif
  #if ${vector}
  if (left > 0u) { four = ${name}[at / 4u]; }
  #else
  if (left > 0u) { four.x = ${name}[at]; }
  if (left > 1u) { four.y = ${name}[at + 1u]; }
  if (left > 2u) { four.z = ${name}[at + 2u]; }
  if (left > 3u) { four.w = ${name}[at + 3u]; }
  #endif`;
}

const program = memoize((config: Config) => {
  const { transposeA, transposeB, vectorA, vectorB, tile } = config;
  const element = (vector: boolean) => vector ? "vec4<f32>" as const : "f32" as const;
  return defineProgram({
    name: "matmul",
    variant: `workgroup ${tile}x${tile}x${TILE_DEPTH}`,
    params: {
      groups: "u32",
      tiles_m: "u32",
      tiles_n: "u32",
      splits: "u32",
      chunk: "u32", // steps along k of one split
      m: "u32",
      n: "u32",
      k: "u32",
      a_stride: "u32",
      b_stride: "u32",
      bias_stride: "u32",
      accumulate: "u32",
    },
    bindings: {
      a: `read ${element(vectorA)}`,
      b: `read ${element(vectorB)}`,
      ...epilogueBindings(config, "f32"),
    },
    workgroupSize: TILE_THREADS,
    workgroupBytes: tileBytes(tile),
    code: wgsl`
${tileMemory(tile)}
${epilogueFunction(config, "f32")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = ${FOLDED_GROUP};
  if (own >= params.groups) { return; } // the whole workgroup leaves
  let b_line = own % params.tiles_n * ${tile}u;
  let a_line = own / params.tiles_n % params.tiles_m * ${tile}u;
  let part = own / params.tiles_n / params.tiles_m;
  let z = part / params.splits;
  let a_first = z * params.a_stride;
  let b_first = z * params.b_stride;
  let k_begin = part % params.splits * params.chunk;
  let k_end = min(k_begin + params.chunk, params.k);
  let bias_at = z * params.bias_stride;
  ${blockSums(tile)}
  for (var k = k_begin; k < k_end; k += ${TILE_DEPTH}u) {
    ${copyBlock("a", !transposeA, tile, loadFour("a", !transposeA, vectorA, "params.m"))}
    ${copyBlock("b", transposeB, tile, loadFour("b", transposeB, vectorB, "params.n"))}
    ${multiplyBlocks(tile)}
  }
  ${
      blockStores(tile, {
        rows: "params.m - a_line",
        column: "b_line",
        columns: "params.n",
        rowAt: "(part * params.m + a_line + line) * params.n",
      })
    }
}`,
  });
});

/**
 * The product by workgroup tiles.
 * @param splits how many partial products y holds: [batch, splits, m, n]; more than 1 only without an epilogue
 */
export function matmulWorkgroup(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  tile: WorkgroupTile,
  splits = 1,
): Kernel {
  const { batch, m, n, k, transposeA = false, transposeB = false } = shape;
  const tilesM = ceilDiv(m, tile), tilesN = ceilDiv(n, tile);
  const groups = batch * splits * tilesM * tilesN;
  const { sizes, flops, bytes } = matmulCost(shape, epilogue);
  return {
    program: program({
      ...epilogueConfig(epilogue),
      transposeA,
      transposeB,
      vectorA: (transposeA ? m : k) % 4 === 0,
      vectorB: (transposeB ? k : n) % 4 === 0,
      tile,
    }),
    params: {
      groups,
      tiles_m: tilesM,
      tiles_n: tilesN,
      splits,
      chunk: splitChunk(k, splits),
      m,
      n,
      k,
      a_stride: shape.sharedA ? 0 : m * k,
      b_stride: shape.sharedB ? 0 : k * n,
      bias_stride: epilogue.bias === "batched" ? n : 0,
      accumulate: epilogue.accumulate ?? 0,
    },
    sizes: { ...sizes, y: sizes.y * splits },
    workgroups: foldWorkgroups(groups),
    flops,
    bytes: bytes + 4 * sizes.y * (splits - 1),
    reference: (inputs) => matmulReference(shape, epilogue, inputs, splits),
  };
}
