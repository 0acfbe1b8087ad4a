/**
 * Products with few rows: experts with a row or two each, heads, batches of one. Every weight is read once.
 *
 * Math    y[z, i, j] = f(sum_l a[z, i, l] b[z, j, l] + bias[z, j]), with at most 8 rows i. Which weights a row meets is
 *         only an address: z times the size of an expert. The gradients are products too (matmul.ts).
 * Shapes  a [batch, m, k], m <= 8; b [batch, n, k], as weights are stored; bias [n] or [batch, n]; y [batch, m, n], f32.
 *         k and n divisible by 4.
 * Work    A workgroup takes four outputs j of one z. Its 64 invocations walk along their four weight rows side by side,
 *         each adding up ROWS x 4 partial sums; a tree in workgroup memory joins those of the 64.
 * Memory  b once, 64 vec4 (1 KiB) of a row at a time: coalesced although k runs along memory. a once for every four
 *         outputs, mostly from the cache.
 * Why     With one row each weight takes part in one multiply-add: no tile can help, the time is that of reading the
 *         weights. A tile of 64 rows would do its arithmetic for rows that are not there.
 * Else    Where b is stored [k, n], as in an input gradient, register tiles of few rows already read every weight once
 *         and side by side (matmul_tiled.ts); so do they here on a software adapter, which has no lanes to join.
 * @module
 */
import { defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
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
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;
/** The most rows. */
const MOST_ROWS = 8;

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

const program = memoize((config: EpilogueConfig & { rows: number }) => {
  const { rows } = config;
  return defineProgram({
    name: "grouped_matmul",
    variant: `streamed, ${rows} rows`,
    params: {
      groups: "u32",
      m: "u32",
      quads: "u32", // n / 4
      k: "u32", // in vec4
      a_stride: "u32",
      b_stride: "u32",
      bias_stride: "u32",
      accumulate: "u32",
    },
    bindings: {
      a: "read vec4<f32>",
      b: "read vec4<f32>",
      ...epilogueBindings(config, "vec4<f32>"),
    },
    workgroupSize: SIZE,
    workgroupBytes: 16 * SIZE * rows,
    code: wgsl`
var<workgroup> sums: array<vec4f, ${SIZE * rows}>; // [row][invocation]
${epilogueFunction(config, "vec4f")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = ${FOLDED_GROUP};
  if (own >= params.groups) { return; } // the whole workgroup leaves
  let quad = own % params.quads;
  let z = own / params.quads;
  let b_at = z * params.b_stride + 4u * quad * params.k;
  ${
      // Rows that are not there repeat the last one, and are not stored.
      range(rows).map((i) =>
        `let a_at${i} = z * params.a_stride + min(${i}u, params.m - 1u) * params.k;`
      ).join("\n  ")}
  ${range(rows).map((i) => `var sum${i} = vec4f();`).join(" ")}
  for (var l = t; l < params.k; l += WORKGROUP_SIZE) {
    let w0 = b[b_at + l];
    let w1 = b[b_at + params.k + l];
    let w2 = b[b_at + 2u * params.k + l];
    let w3 = b[b_at + 3u * params.k + l];
    ${
      range(rows).map((i) =>
        `let a${i} = a[a_at${i} + l]; sum${i} += vec4f(dot(a${i}, w0), dot(a${i}, w1), dot(a${i}, w2), dot(a${i}, w3));`
      ).join("\n    ")
    }
  }
  ${range(rows).map((i) => `sums[${SIZE * i}u + t] = sum${i};`).join("\n  ")}
  for (var half = ${SIZE / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (t < half) {
      ${
      range(rows).map((i) => `sums[${SIZE * i}u + t] += sums[${SIZE * i}u + t + half];`).join(
        "\n      ",
      )
    }
    }
  }
  workgroupBarrier();
  if (t < min(params.m, ${rows}u)) {
    store((z * params.m + t) * params.quads + quad, z * params.bias_stride + quad, sums[${SIZE}u * t]);
  }
}`,
  });
});

/** Can the streaming kernel compute such products? */
export function groupedMatmulFits(shape: MatmulShape): boolean {
  return shape.m <= MOST_ROWS && shape.transposeA !== true && shape.transposeB === true &&
    shape.k % 4 === 0 && shape.n % 4 === 0;
}

/** Products with at most 8 rows, streaming the weights. */
export function groupedMatmul(shape: MatmulShape, epilogue: MatmulEpilogue): Kernel {
  const { batch, m, n, k } = shape;
  const groups = batch * n / 4;
  return {
    program: program({ ...epilogueConfig(epilogue), rows: 2 ** Math.ceil(Math.log2(m)) }),
    params: {
      groups,
      m,
      quads: n / 4,
      k: k / 4,
      a_stride: shape.sharedA ? 0 : m * k / 4,
      b_stride: shape.sharedB ? 0 : n * k / 4,
      bias_stride: epilogue.bias === "batched" ? n / 4 : 0,
      accumulate: epilogue.accumulate ?? 0,
    },
    workgroups: foldWorkgroups(groups),
    ...matmulCost(shape, epilogue),
    reference: (inputs) => matmulReference(shape, epilogue, inputs),
  };
}
