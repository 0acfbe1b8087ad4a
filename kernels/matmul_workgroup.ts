/**
 * Matrix product by workgroup tiles: the variant for real GPUs.
 *
 * Math    That of matmul.ts: y[z] = f(A[z] B[z] + bias), either factor stored transposed, its gradients products too.
 * Shapes  a [batch, m, k] or [batch, k, m]; b [batch, k, n] or [batch, n, k]; y [batch, m, n], f32, of any sizes. With
 *         splits > 1 y [batch, splits, m, n] holds partial products (matmul_split_k.ts).
 * Work    A workgroup computes a TILE x TILE block of y. For every DEPTH steps along k its 64 invocations (8 x 8) copy
 *         the TILE x DEPTH blocks of a and b that all of them need to workgroup memory. Invocation (tx, ty) owns
 *         BLOCK x BLOCK elements, rows ty + 8 i and columns tx + 8 j: neighbours then read neighbouring words of
 *         workgroup memory (no bank conflicts), and store neighbouring words of y (coalesced).
 * Memory  A number from memory serves TILE multiply-adds, one from workgroup memory BLOCK: 64 and 8 with BLOCK 8, where
 *         matmul.ts loads each number for one. Copies are coalesced for either storage order: where k runs along memory
 *         four neighbours read 64 bytes of a line, else 16 neighbours read 256 bytes of a step. Blocks are kept as
 *         [step][line], each step padded by a word, so that copying across does not meet one bank only. Beyond the
 *         matrices' edges blocks are filled with zeros.
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

const SIDE = 8;
const SIZE = SIDE * SIDE;
const DEPTH = 16;

interface Config extends EpilogueConfig {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** Which factors can be seen as vec4. */
  readonly vectorA: boolean;
  readonly vectorB: boolean;
  /** Rows and columns of an invocation. */
  readonly block: number;
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

/**
 * WGSL that copies a block of one factor to `tile_NAME`, four numbers at a time.
 * @param along true when k runs along memory
 * @param lines how many lines (rows of a, columns of b) the matrix has, as WGSL
 */
function copyBlock(
  name: string,
  along: boolean,
  vector: boolean,
  lines: string,
  tile: number,
): string {
  const perStep = tile / 4, perLine = DEPTH / 4;
  return wgsl`
for (var i = t; i < ${tile * DEPTH / 4}u; i += WORKGROUP_SIZE) {
  #if ${along}
  let line = i / ${perLine}u;
  let step = i % ${perLine}u * 4u;
  let at = ${name}_first + (${name}_line + line) * params.k + k + step;
  let left = select(0u, k_end - min(k_end, k + step), ${name}_line + line < ${lines});
  #else
  let line = i % ${perStep}u * 4u;
  let step = i / ${perStep}u;
  let at = ${name}_first + (k + step) * ${lines} + ${name}_line + line;
  let left = select(0u, ${lines} - min(${lines}, ${name}_line + line), k + step < k_end);
  #endif
  #if ${vector}
  var four = vec4f();
  if (left > 0u) { four = ${name}[at / 4u]; }
  #else
  var four = vec4f();
  if (left > 0u) { four.x = ${name}[at]; }
  if (left > 1u) { four.y = ${name}[at + 1u]; }
  if (left > 2u) { four.z = ${name}[at + 2u]; }
  if (left > 3u) { four.w = ${name}[at + 3u]; }
  #endif
  #if ${along}
  let to = step * ${tile + 1}u + line;
  tile_${name}[to] = four.x;
  tile_${name}[to + ${tile + 1}u] = four.y;
  tile_${name}[to + ${2 * (tile + 1)}u] = four.z;
  tile_${name}[to + ${3 * (tile + 1)}u] = four.w;
  #else
  let to = step * ${tile + 1}u + line;
  tile_${name}[to] = four.x;
  tile_${name}[to + 1u] = four.y;
  tile_${name}[to + 2u] = four.z;
  tile_${name}[to + 3u] = four.w;
  #endif
}`;
}

const program = memoize((config: Config) => {
  const { transposeA, transposeB, vectorA, vectorB, block } = config;
  const tile = SIDE * block;
  const element = (vector: boolean) => vector ? "vec4<f32>" as const : "f32" as const;
  const own = range(block);
  return defineProgram({
    name: "matmul",
    variant: `workgroup ${tile}x${tile}x${DEPTH}`,
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
    workgroupSize: SIZE,
    workgroupBytes: 8 * DEPTH * (tile + 1),
    code: wgsl`
var<workgroup> tile_a: array<f32, ${DEPTH * (tile + 1)}>;
var<workgroup> tile_b: array<f32, ${DEPTH * (tile + 1)}>;
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
  let tx = t % ${SIDE}u;
  let ty = t / ${SIDE}u;
  ${own.map((i) => own.map((j) => `var c${i}_${j} = 0.0;`).join(" ")).join("\n  ")}
  for (var k = k_begin; k < k_end; k += ${DEPTH}u) {
    ${copyBlock("a", !transposeA, vectorA, "params.m", tile)}
    ${copyBlock("b", transposeB, vectorB, "params.n", tile)}
    workgroupBarrier();
    for (var step = 0u; step < ${DEPTH}u; step++) {
      let first = step * ${tile + 1}u;
      ${own.map((j) => `let b${j} = tile_b[first + tx + ${SIDE * j}u];`).join("\n      ")}
      ${
      own.map((i) =>
        `let a${i} = tile_a[first + ty + ${SIDE * i}u]; ` +
        own.map((j) => `c${i}_${j} += a${i} * b${j};`).join(" ")
      ).join("\n      ")
    }
    }
    workgroupBarrier(); // the blocks are overwritten next
  }
  // A loop over rows, so that the epilogue is not written out for each: that made most of the code.
  for (var i = 0u; i < ${block}u && a_line + ty + ${SIDE}u * i < params.m; i++) {
    ${own.map((j) => `var out${j} = c0_${j};`).join(" ")}
    switch i {
      ${
      own.slice(1).map((i) =>
        `case ${i}u: { ${own.map((j) => `out${j} = c${i}_${j};`).join(" ")} }`
      ).join("\n      ")
    }
      default: {}
    }
    let at = (part * params.m + a_line + ty + ${SIDE}u * i) * params.n;
    let bias_at = z * params.bias_stride;
    ${
      own.map((j) => {
        const column = `b_line + tx + ${SIDE * j}u`;
        return `if (${column} < params.n) { store(at + ${column}, bias_at + ${column}, out${j}); }`;
      }).join("\n    ")
    }
  }
}`,
  });
});

/** Sides of the blocks of y that a workgroup can compute. */
export type WorkgroupTile = 32 | 64;

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
      block: tile / SIDE,
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
