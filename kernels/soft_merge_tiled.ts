/**
 * The three products of soft routing with a tile of outputs in the registers of each invocation, and the choice of the
 * variant.
 *
 * Math    In soft_merge.ts.
 * Shapes  As there: x, o [B, N, D]; weights, g [B, N, S]; v, u [E, B s, D], f32, with D divisible by 4 (by 4 C for the
 *         merges).
 * Work    An invocation owns R rows by C vec4 columns of the output (R x C dots for `dots`) and walks the summed
 *         dimension once. Neighbours own neighbouring columns, so vec4 loads are coalesced and weights are broadcast.
 *         Software adapters are bound by loads, however near the memory: 8 x 8. GPUs need many invocations and hold few
 *         registers each: 4 x 1 vec4, 64 a workgroup.
 * Memory  A step of the merges loads R numbers and C vec4 for R C multiply-adds on vec4: with R = C = 8 160 bytes for 512
 *         flops, 3.2 flops a byte from the cache, where the readable variant loads 8 bytes for 2 (0.25).
 * Measured on lavapipe (2 cores), batch 8, N 197, S 294, D 192 (178 MFLOP): tiles of 4 x 4 take 20 to 24 ms, 8 x 4 15 to
 *         18, 8 x 8 12 to 15 (12 to 15 GFLOP/s), 16 x 4 13 to 14. Workgroups of 8 and of 16 are equal.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import {
  dotsReadable,
  dotsReference,
  MERGE_PARAMS,
  mergeBytes,
  mergeFlops,
  mergeParams,
  type MergeShape,
  mergeSizes,
  SLOT_ROW,
  type ToSlotsOptions,
  toSlotsReadable,
  toSlotsReference,
  toTokensReadable,
  toTokensReference,
  unitDotsReference,
} from "./soft_merge.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** The outputs of one invocation. */
export interface MergeTile {
  /** Rows of the output. */
  readonly rows: number;
  /** Columns of the output, each a vec4; for `dots`, a number. */
  readonly columns: number;
  /** Invocations of a workgroup. */
  readonly size: number;
}

/** `text(0) … text(count - 1)` on lines of their own: unrolled by hand, so that the tile stays in registers. */
function unroll(count: number, text: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => text(i)).join("\n");
}

const toSlotsProgram = memoize(({ rows, columns, size, scaled }: MergeTile & { scaled: boolean }) =>
  defineProgram({
    name: "soft_merge.to_slots",
    variant: `tile ${rows}x${columns} vec4`,
    params: { ...MERGE_PARAMS, total: "u32" },
    bindings: {
      weights: "read f32",
      ...(scaled ? { scale: "read f32" as const } : {}),
      x: "read vec4<f32>",
      u: "write vec4<f32>",
    },
    workgroupSize: size,
    code: wgsl`
${SLOT_ROW}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let across = params.dim / ${columns}u;
  let down = (params.slots + ${rows - 1}u) / ${rows}u;
  let d = own % across * ${columns}u;
  let slot = own / across % down * ${rows}u;
  let b = own / (across * down);
  if (b >= params.batch) { return; }
  // beyond the last slot the tile repeats it, and is not stored
  ${unroll(rows, (i) => `let s${i} = min(slot + ${i}u, params.slots - 1u);`)}
  ${unroll(rows, (i) => unroll(columns, (j) => `var sum${i}_${j} = vec4f(0.0);`))}
  let end = min((b + 1u) * params.tokens, params.total);
  for (var n = b * params.tokens; n < end; n++) {
    let w = n * params.slots;
    ${unroll(rows, (i) => `let w${i} = weights[w + s${i}];`)}
    let at = n * params.dim + d;
    #if ${scaled}
    let factor = scale[n];
    ${unroll(columns, (j) => `let x${j} = x[at + ${j}u] * factor;`)}
    #else
    ${unroll(columns, (j) => `let x${j} = x[at + ${j}u];`)}
    #endif
    ${unroll(rows, (i) => unroll(columns, (j) => `sum${i}_${j} += w${i} * x${j};`))}
  }
  ${
      unroll(rows, (i) =>
        `if (slot + ${i}u < params.slots) {
    let at = slot_row(b, s${i}) * params.dim + d;
    ${unroll(columns, (j) => `u[at + ${j}u] = sum${i}_${j};`)}
  }`)
    }
}`,
  })
);

const toTokensProgram = memoize(({ rows, columns, size }: MergeTile) =>
  defineProgram({
    name: "soft_merge.to_tokens",
    variant: `tile ${rows}x${columns} vec4`,
    params: MERGE_PARAMS,
    bindings: { weights: "read f32", v: "read vec4<f32>", o: "write vec4<f32>" },
    workgroupSize: size,
    code: wgsl`
${SLOT_ROW}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let across = params.dim / ${columns}u;
  let down = (params.tokens + ${rows - 1}u) / ${rows}u;
  let d = own % across * ${columns}u;
  let token = own / across % down * ${rows}u;
  let b = own / (across * down);
  if (b >= params.batch) { return; }
  ${unroll(rows, (i) => `let n${i} = b * params.tokens + min(token + ${i}u, params.tokens - 1u);`)}
  ${unroll(rows, (i) => unroll(columns, (j) => `var sum${i}_${j} = vec4f(0.0);`))}
  for (var s = 0u; s < params.slots; s++) {
    ${unroll(rows, (i) => `let w${i} = weights[n${i} * params.slots + s];`)}
    let at = slot_row(b, s) * params.dim + d;
    ${unroll(columns, (j) => `let v${j} = v[at + ${j}u];`)}
    ${unroll(rows, (i) => unroll(columns, (j) => `sum${i}_${j} += w${i} * v${j};`))}
  }
  ${
      unroll(rows, (i) =>
        `if (token + ${i}u < params.tokens) {
    let at = n${i} * params.dim + d;
    ${unroll(columns, (j) => `o[at + ${j}u] = sum${i}_${j};`)}
  }`)
    }
}`,
  })
);

const dotsProgram = memoize(({ rows, columns, size, unit }: MergeTile & { unit: boolean }) =>
  defineProgram({
    name: unit ? "cosine_routing.scores" : "soft_merge.dots",
    variant: `tile ${rows}x${columns}`,
    params: { ...MERGE_PARAMS, ...(unit ? { eps: "f32" as const } : {}) },
    bindings: {
      x: "read vec4<f32>",
      v: "read vec4<f32>",
      g: "write f32",
      ...(unit ? { scale: "write f32" as const } : {}),
    },
    workgroupSize: size,
    code: wgsl`
${SLOT_ROW}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  let across = (params.slots + ${columns - 1}u) / ${columns}u;
  let down = (params.tokens + ${rows - 1}u) / ${rows}u;
  let slot = own % across * ${columns}u;
  let token = own / across % down * ${rows}u;
  let b = own / (across * down);
  if (b >= params.batch) { return; }
  ${unroll(rows, (i) => `let n${i} = b * params.tokens + min(token + ${i}u, params.tokens - 1u);`)}
  ${
      unroll(
        columns,
        (j) => `let r${j} = slot_row(b, min(slot + ${j}u, params.slots - 1u)) * params.dim;`,
      )
    }
  ${unroll(rows, (i) => unroll(columns, (j) => `var sum${i}_${j} = 0.0;`))}
  #if ${unit}
  ${unroll(rows, (i) => `var squares${i} = 0.0;`)}
  #endif
  for (var d = 0u; d < params.dim; d++) {
    ${unroll(rows, (i) => `let x${i} = x[n${i} * params.dim + d];`)}
    ${unroll(columns, (j) => `let v${j} = v[r${j} + d];`)}
    ${unroll(rows, (i) => unroll(columns, (j) => `sum${i}_${j} += dot(x${i}, v${j});`))}
    #if ${unit}
    ${unroll(rows, (i) => `squares${i} += dot(x${i}, x${i});`)}
    #endif
  }
  ${
      unroll(rows, (i) =>
        `if (token + ${i}u < params.tokens) {
    let at = n${i} * params.slots + slot;
    ${unit ? `let factor = 1.0 / (sqrt(squares${i}) + params.eps);` : "const factor = 1.0;"}
    ${unit ? `if (slot == 0u) { scale[n${i}] = factor; }` : ""}
    ${
          unroll(
            columns,
            (j) => `if (slot + ${j}u < params.slots) { g[at + ${j}u] = sum${i}_${j} * factor; }`,
          )
        }
  }`)
    }
}`,
  })
);

/** u = w^T x for every image, in register tiles; D divisible by 4 columns of the tile. */
export function toSlotsTiled(
  shape: MergeShape,
  tile: MergeTile,
  options: ToSlotsOptions = {},
): Kernel {
  const total = options.totalTokens ?? shape.batch * shape.tokens;
  const tiles = shape.batch * ceilDiv(shape.slots, tile.rows) * (shape.dim / 4 / tile.columns);
  return {
    program: toSlotsProgram({ ...tile, scaled: options.scaled ?? false }),
    params: { ...mergeParams(shape, shape.dim / 4), total },
    sizes: {
      weights: total * shape.slots,
      scale: total,
      x: total * shape.dim,
      u: mergeSizes(shape).slotRows,
    },
    workgroups: foldWorkgroups(ceilDiv(tiles, tile.size)),
    flops: mergeFlops(shape),
    bytes: mergeBytes(shape),
    reference: ({ weights, x, scale }) =>
      toSlotsReference(shape, weights, x, { scale, totalTokens: total }),
  };
}

/** o = w v for every image, in register tiles; D divisible by 4 columns of the tile. */
export function toTokensTiled(shape: MergeShape, tile: MergeTile): Kernel {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  const tiles = shape.batch * ceilDiv(shape.tokens, tile.rows) * (shape.dim / 4 / tile.columns);
  return {
    program: toTokensProgram(tile),
    params: mergeParams(shape, shape.dim / 4),
    sizes: { weights, v: slotRows, o: tokenRows },
    workgroups: foldWorkgroups(ceilDiv(tiles, tile.size)),
    flops: mergeFlops(shape),
    bytes: mergeBytes(shape),
    reference: ({ weights, v }) => toTokensReference(shape, weights, v),
  };
}

/**
 * g = x v^T for every image, in register tiles; D divisible by 4.
 * @param eps if given, rows of g are divided by |x| + eps, and the factors are written to `scale` [B N]
 */
export function dotsTiled(shape: MergeShape, tile: MergeTile, eps?: number): Kernel {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  const tiles = shape.batch * ceilDiv(shape.tokens, tile.rows) *
    ceilDiv(shape.slots, tile.columns);
  return {
    program: dotsProgram({ ...tile, unit: eps !== undefined }),
    params: { ...mergeParams(shape, shape.dim / 4), ...(eps !== undefined ? { eps } : {}) },
    sizes: { x: tokenRows, v: slotRows, g: weights, scale: shape.batch * shape.tokens },
    workgroups: foldWorkgroups(ceilDiv(tiles, tile.size)),
    flops: mergeFlops(shape),
    bytes: mergeBytes(shape),
    reference: ({ x, v }) =>
      eps === undefined ? dotsReference(shape, x, v) : unitDotsReference(shape, eps, x, v),
  };
}

/** The tile for rows of `dim` numbers; null where vec4 do not fit and the readable variant serves. */
export function mergeTile({ dim }: Pick<MergeShape, "dim">, target: Target): MergeTile | null {
  if (dim % 4 !== 0) return null;
  if (target.adapterClass !== "software") return { rows: 4, columns: 1, size: 64 };
  const columns = [8, 6, 4, 3, 2, 1].find((c) => dim / 4 % c === 0)!;
  return { rows: 8, columns, size: 8 };
}

/** The tile of `dots`, whose columns are slots. */
export function dotsTile({ dim }: Pick<MergeShape, "dim">, target: Target): MergeTile | null {
  if (dim % 4 !== 0) return null;
  const software = target.adapterClass === "software";
  return software ? { rows: 8, columns: 8, size: 8 } : { rows: 4, columns: 4, size: 64 };
}

/** u = w^T x for every image, by the variant that suits shape and adapter. */
export function toSlots(shape: MergeShape, target: Target, options: ToSlotsOptions = {}): Kernel {
  const tile = mergeTile(shape, target);
  return tile ? toSlotsTiled(shape, tile, options) : toSlotsReadable(shape, options);
}

/** o = w v for every image, by the variant that suits shape and adapter. */
export function toTokens(shape: MergeShape, target: Target): Kernel {
  const tile = mergeTile(shape, target);
  return tile ? toTokensTiled(shape, tile) : toTokensReadable(shape);
}

/** g = x v^T for every image, by the variant that suits shape and adapter. */
export function dots(shape: MergeShape, target: Target): Kernel {
  const tile = dotsTile(shape, target);
  return tile ? dotsTiled(shape, tile) : dotsReadable(shape);
}
