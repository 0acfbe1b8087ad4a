/**
 * Matrix product by register tiles: one invocation computes a TM x TN block of y.
 *
 * Math    That of matmul.ts: y[z] = f(A[z] B[z] + bias), either factor stored transposed, its gradients products too.
 * Shapes  a [batch, m, k] or [batch, k, m]; b [batch, k, n] or [batch, n, k]; y [batch, m, n], f32, with m >= TM and
 *         n >= TN. With splits > 1 the steps along k are divided among invocations, and y [batch, splits, m, n] holds
 *         partial products for column_sum.ts to add (matmul_split_k.ts).
 * Work    Invocations are numbered over (product, split, tile row, tile column), the last fastest. The last tile of a row
 *         or column is moved inward to end at the matrix's edge: loads need no bounds check, and only what the tile
 *         before it does not own is stored.
 * Memory  matmul.ts loads two numbers for every multiply-add. Here a step along k loads TM + TN numbers and does TM TN
 *         multiply-adds with them: 8 a load for 16 x 16, and loads are what a product is bound by. All sums stay in
 *         registers; there is no workgroup memory and no barrier.
 *         Four steps along k at a time, in vec4 loads (register_tile.ts). Where a length is no multiple of 4, loads are
 *         scalar and a tail loop takes the last steps singly.
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
import {
  load4,
  type RegisterTile,
  stridedFactor,
  tileSteps,
  tileStores,
  tileSums,
} from "./register_tile.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations of a workgroup: one vector of a software adapter. */
const SIZE = 8;

interface Config extends EpilogueConfig, RegisterTile {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** Which bindings can be seen as vec4. */
  readonly vectorA: boolean;
  readonly vectorB: boolean;
  readonly vectorY: boolean;
  /** k is no multiple of 4. */
  readonly tail: boolean;
}

/** Steps along k from where it stands. */
function steps(config: Config, count: number): string {
  const { tm, tn, transposeA, transposeB } = config;
  const a = stridedFactor("a", !transposeA, config.vectorA, tm, count);
  const b = stridedFactor("b", transposeB, config.vectorB, tn, count);
  return tileSteps({ tm, tn }, a, b, count);
}

const program = memoize((config: Config) => {
  const { tm, tn, transposeA, transposeB, vectorA, vectorB, vectorY, tail } = config;
  const element = (vector: boolean) => vector ? "vec4<f32>" as const : "f32" as const;
  // One step at a time is enough where no load gives more.
  const count = transposeA && !transposeB ? 1 : 4;
  const per = (vector: boolean) => vector ? " / 4u" : "";
  return defineProgram({
    name: "matmul",
    variant: `tiled ${tm}x${tn}`,
    params: {
      tiles: "u32",
      tiles_m: "u32",
      tiles_n: "u32",
      splits: "u32",
      chunk: "u32", // steps along k of one split, a multiple of 4 unless there is only one
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
      ...epilogueBindings(config, element(vectorY)),
    },
    workgroupSize: SIZE,
    code: wgsl`
${vectorA ? "" : load4("a")}
${vectorB ? "" : load4("b")}
${epilogueFunction(config, vectorY ? "vec4f" : "f32")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.tiles) { return; }
  let column_begin = own % params.tiles_n * ${tn}u;
  let row_begin = own / params.tiles_n % params.tiles_m * ${tm}u;
  let part = own / params.tiles_n / params.tiles_m;
  let z = part / params.splits;
  let column = min(column_begin, params.n - ${tn}u);
  let row = min(row_begin, params.m - ${tm}u);
  let k_begin = part % params.splits * params.chunk;
  let k_end = min(k_begin + params.chunk, params.k);
  #if ${transposeA}
  let a_row = params.m${per(vectorA)};
  let a_at = (z * params.a_stride + row)${per(vectorA)};
  #else
  let a_row = params.k${per(vectorA)};
  let a_at = (z * params.a_stride + row * params.k)${per(vectorA)};
  #endif
  #if ${transposeB}
  let b_row = params.k${per(vectorB)};
  let b_at = (z * params.b_stride + column * params.k)${per(vectorB)};
  #else
  let b_row = params.n${per(vectorB)};
  let b_at = (z * params.b_stride + column)${per(vectorB)};
  #endif
  ${tileSums(config)}
  var k = k_begin;
  for (; k + ${count}u <= k_end; k += ${count}u) {
${steps(config, count)}
  }
  #if ${tail}
  for (; k < k_end; k++) {
${tail ? steps(config, 1) : ""}
  }
  #endif
  let y_row = params.n${per(vectorY)};
  let y_at = (part * params.m * params.n + row * params.n + column)${per(vectorY)};
  let bias_at = (z * params.bias_stride + column)${per(vectorY)};
${tileStores(config, vectorY, "y_at + i * y_row")}
}`,
  });
});

/** Can a tile of this size compute such products? */
export function registerTileFits(
  { m, n, transposeA = false }: MatmulShape,
  { tm, tn }: RegisterTile,
): boolean {
  return m >= tm && n >= tn && (!transposeA || tm % 4 === 0);
}

/**
 * The product by register tiles.
 * @param splits how many partial products y holds: [batch, splits, m, n]; more than 1 only without an epilogue
 */
export function matmulTiled(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  { tm, tn }: RegisterTile,
  splits = 1,
): Kernel {
  const { batch, m, n, k, transposeA = false, transposeB = false } = shape;
  const tail = k % 4 !== 0 && !(transposeA && !transposeB);
  const tilesM = ceilDiv(m, tm), tilesN = ceilDiv(n, tn);
  const parts = batch * splits;
  const { sizes, flops, bytes } = matmulCost(shape, epilogue);
  return {
    program: program({
      ...epilogueConfig(epilogue),
      tm,
      tn,
      transposeA,
      transposeB,
      vectorA: (transposeA ? m : k) % 4 === 0,
      vectorB: (transposeB ? k : n) % 4 === 0,
      vectorY: n % 4 === 0,
      tail,
    }),
    params: {
      tiles: parts * tilesM * tilesN,
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
    workgroups: foldWorkgroups(ceilDiv(parts * tilesM * tilesN, SIZE)),
    flops,
    bytes: bytes + 4 * sizes.y * (splits - 1),
    reference: (inputs) => matmulReference(shape, epilogue, inputs, splits),
  };
}
