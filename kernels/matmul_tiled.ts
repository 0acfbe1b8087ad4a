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
 *         Four steps along k at a time: a factor whose k runs along memory (a as it is, b transposed) gives four steps of
 *         one row in one vec4 load; one whose k runs across memory gives four neighbouring columns of one step. The
 *         loaded blocks are the same, transposed by renaming registers. Where a length is no multiple of 4, loads are
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
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** The block of y that one invocation computes. */
export interface RegisterTile {
  /** Rows; a multiple of 4 where a is stored transposed. */
  readonly tm: number;
  /** Columns, a multiple of 4. */
  readonly tn: number;
}

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

const XYZW = ["x", "y", "z", "w"];
const range = (n: number) => Array.from({ length: n }, (_, i) => i);

/** How one factor's block is loaded for `steps` steps along k, and what its elements are called afterwards. */
interface Factor {
  /** Loads that a group of lines shares: row i, or the block of all columns. */
  load(line: number): string[];
  /** WGSL of element (line, step). */
  element(line: number, step: number): string;
}

/**
 * @param name `a` or `b`
 * @param along true when k runs along memory: one load gives a line's 4 steps
 * @param vector true when the binding is vec4
 * @param lines rows (of a) or columns (of b) of the tile
 */
function factor(
  name: string,
  along: boolean,
  vector: boolean,
  lines: number,
  steps: number,
): Factor {
  const at = (index: string, scalar: string) =>
    vector ? `${name}[${index}]` : `load4_${name}(${scalar})`;
  const row = `${name}_row`, first = `${name}_at`;
  if (along && steps === 1) { // a tail: k is no multiple of 4, so the binding is scalar
    return {
      load: (i) => [`let ${name}${i} = ${name}[${first} + ${i}u * ${row} + k];`],
      element: (i) => `${name}${i}`,
    };
  }
  if (along) {
    return {
      load: (i) => {
        const start = `${first} + ${i}u * ${row}`;
        return [`let ${name}${i} = ${at(`${start} + k / 4u`, `${start} + k`)};`];
      },
      element: (i, s) => `${name}${i}.${XYZW[s]}`,
    };
  }
  return {
    load: (i) =>
      i > 0 ? [] : range(steps).flatMap((s) =>
        range(lines / 4).map((q) => {
          const start = `${first} + (k + ${s}u) * ${row}`;
          return `let ${name}${s}_${q} = ${at(`${start} + ${q}u`, `${start} + ${4 * q}u`)};`;
        })
      ),
    element: (i, s) => `${name}${s}_${Math.floor(i / 4)}.${XYZW[i % 4]}`,
  };
}

/**
 * The body of the loop along k. The block of b is loaded first, then a's rows one by one, each followed by all that is
 * done with it: few loaded numbers are alive at a time. A sum is assigned once per body, not once per step.
 */
function body(config: Config, steps: number): string {
  const { tm, tn, transposeA, transposeB } = config;
  const a = factor("a", !transposeA, config.vectorA, tm, steps);
  const b = factor("b", transposeB, config.vectorB, tn, steps);
  const lines = range(tn).flatMap((j) => b.load(j));
  for (const s of range(steps)) {
    for (const q of range(tn / 4)) {
      const columns = range(4).map((c) => b.element(4 * q + c, s)).join(", ");
      lines.push(`let b_${s}_${q} = vec4f(${columns});`);
    }
  }
  for (const i of range(tm)) {
    lines.push(...a.load(i));
    for (const q of range(tn / 4)) {
      const products = range(steps).map((s) => `${a.element(i, s)} * b_${s}_${q}`);
      lines.push(`c${i}_${q} = ${[`c${i}_${q}`, ...products].join(" + ")};`);
    }
  }
  return lines.join("\n");
}

/** Four neighbouring scalars as a vector. */
function load4(name: string): string {
  return `fn load4_${name}(at: u32) -> vec4f {
  return vec4f(${name}[at], ${name}[at + 1u], ${name}[at + 2u], ${name}[at + 3u]);
}`;
}

/**
 * Stores the tile, but for the rows and columns that the neighbour before it owns. A loop over rows, because the epilogue
 * and every store are long on a software adapter: written out for each row they took most of the compile time.
 */
function stores({ tm, tn, vectorY }: Config): string {
  const quads = range(tn / 4);
  const store = (j: number, value: string) =>
    `if (column + ${j}u >= column_begin) { ` +
    `store(at + ${vectorY ? j / 4 : j}u, bias_at + ${vectorY ? j / 4 : j}u, ${value}); }`;
  return `for (var i = row_begin - row; i < ${tm}u; i++) {
${quads.map((q) => `var out${q} = c0_${q};`).join(" ")}
switch i {
${
    range(tm).slice(1).map((i) =>
      `case ${i}u: { ${quads.map((q) => `out${q} = c${i}_${q};`).join(" ")} }`
    ).join("\n")
  }
default: {}
}
let at = y_at + i * y_row;
${
    quads.flatMap((q) =>
      vectorY
        ? [store(4 * q, `out${q}`)]
        : range(4).map((c) => store(4 * q + c, `out${q}.${XYZW[c]}`))
    ).join("\n")
  }
}`;
}

const program = memoize((config: Config) => {
  const { tm, tn, transposeA, transposeB, vectorA, vectorB, vectorY, tail } = config;
  const element = (vector: boolean) => vector ? "vec4<f32>" as const : "f32" as const;
  // One step at a time is enough where no load gives more.
  const steps = transposeA && !transposeB ? 1 : 4;
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
  ${
      range(tm).map((i) => range(tn / 4).map((q) => `var c${i}_${q} = vec4f();`).join(" ")).join(
        "\n  ",
      )
    }
  var k = k_begin;
  for (; k + ${steps}u <= k_end; k += ${steps}u) {
${body(config, steps)}
  }
  #if ${tail}
  for (; k < k_end; k++) {
${tail ? body(config, 1) : ""}
  }
  #endif
  let y_row = params.n${per(vectorY)};
  let y_at = (part * params.m * params.n + row * params.n + column)${per(vectorY)};
  let bias_at = (z * params.bias_stride + column)${per(vectorY)};
${stores(config)}
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
