/**
 * Which kernel computes a product: the one way by which the rest of the project reaches a variant.
 *
 * Three regimes: square products live from tiles (matmul_tiled.ts, matmul_workgroup.ts), products with few rows from
 * reading each weight once (grouped_matmul.ts), and products with long k and a small result from dividing k
 * (matmul_split_k.ts). The lists below are tried from top to bottom; what no entry suits, matmul.ts computes.
 * @module
 */
import { type Choice, different, remembered, tileName } from "./choice.ts";
import { groupedMatmul, groupedMatmulFits } from "./grouped_matmul.ts";
import { ceilDiv, type Kernel } from "./kernel.ts";
import { matmulReadable } from "./matmul.ts";
import { type MatmulEpilogue, type MatmulShape, needsWholeSums } from "./matmul_shape.ts";
import { matmulSplitK, splitsFor } from "./matmul_split_k.ts";
import { matmulTiled, registerTileFits } from "./matmul_tiled.ts";
import { matmulWorkgroup } from "./matmul_workgroup.ts";
import type { RegisterTile } from "./register_tile.ts";
import type { Target } from "./target.ts";
import type { WorkgroupTile } from "./workgroup_tile.ts";

/** How a product will be computed. */
export type MatmulVariant =
  | { readonly kind: "readable" }
  | { readonly kind: "streamed" }
  | { readonly kind: "tiled"; readonly tile: RegisterTile; readonly splits: number }
  | { readonly kind: "workgroup"; readonly tile: WorkgroupTile; readonly splits: number };

/** An entry of a selection: a variant, or null where it does not suit. */
type Candidate = (shape: MatmulShape, epilogue: MatmulEpilogue) => MatmulVariant | null;

/** Tiles that cover y. */
function tilesOf({ batch, m, n }: MatmulShape, { tm, tn }: RegisterTile): number {
  return batch * ceilDiv(m, tm) * ceilDiv(n, tn);
}

/** Floating-point operations. */
function operations({ batch, m, n, k }: MatmulShape): number {
  return 2 * batch * m * n * k;
}

/** Elements that a cover by tiles computes, those computed twice counted twice. */
function covered(shape: MatmulShape, tile: RegisterTile): number {
  return tilesOf(shape, tile) * tile.tm * tile.tn;
}

const T16: RegisterTile = { tm: 16, tn: 16 };
const T8: RegisterTile = { tm: 8, tn: 8 };
const T4: RegisterTile = { tm: 4, tn: 4 };

/** Operations below which a second launch costs more than dividing k saves. */
const LEAST_TO_SPLIT = 5e5;

/** Invocations that fill the vectors of a software adapter's cores: two cores of eight lanes. */
const SOFTWARE_LANES = 16;

/**
 * A register tile if it fits, with k divided if the lanes are not filled without.
 * @param least operations below which its compilation is not worth it
 * @param fill refuse it when the lanes cannot be filled
 */
function tiled(tile: RegisterTile, least: number, fill: boolean): Candidate {
  return (shape, epilogue) => {
    const work = operations(shape);
    if (!registerTileFits(shape, tile) || work < least) return null;
    const tiles = tilesOf(shape, tile);
    const splits = work < LEAST_TO_SPLIT ? 1 : splitsFor(shape, epilogue, tiles, SOFTWARE_LANES);
    return tiles * splits >= SOFTWARE_LANES || !fill ? { kind: "tiled", tile, splits } : null;
  };
}

/** The given candidate, for shapes that meet a condition. */
function when(condition: (shape: MatmulShape) => boolean, candidate: Candidate): Candidate {
  return (shape, epilogue) => condition(shape) ? candidate(shape, epilogue) : null;
}

/**
 * Measured on lavapipe (Deno, processor time) in GFLOP/s of two cores, tiles 16x16 / 8x8 / 4x4 / readable:
 * 512^3 38 / 29 / 13 / 1; x W^T [3136, 64] x [192, 64] 30 / 25 / 13 / 1; dW [64, 3136] x [3136, 64] 44 / 25 / - / 1. On
 * SwiftShader (Chrome) 512^3 7 / 4 / 3 / 0.5. Compiling takes 200-300 / 70-110 / 60 ms on lavapipe, hence the least work.
 */
const software = (leastForT16: number): readonly Candidate[] => [
  when((shape) => covered(shape, T16) <= 1.3 * covered(shape, T8), tiled(T16, leastForT16, true)),
  tiled(T8, 1e5, true),
  tiled(T4, 0, false),
  tiled({ tm: 2, tn: 8 }, 0, false),
  tiled({ tm: 1, tn: 8 }, 0, false),
  tiled({ tm: 1, tn: 4 }, 0, false),
];

const SOFTWARE = software(8e6);
/** Where loads go through textures, 8 x 8 reaches four fifths of 16 x 16 (texels.ts) and compiles in a third of the time. */
const TEXELS = software(1e8);

/** Workgroups that keep a GPU busy. */
const GPU_GROUPS = 128;

/** A workgroup tile, with k divided if there are few. */
function workgroup(tile: WorkgroupTile, fill: boolean): Candidate {
  return (shape, epilogue) => {
    const tiles = tilesOf(shape, { tm: tile, tn: tile });
    const splits = splitsFor(shape, epilogue, tiles, GPU_GROUPS);
    return 2 * tiles * splits >= GPU_GROUPS || !fill ? { kind: "workgroup", tile, splits } : null;
  };
}

/** Products with too few rows for a workgroup's tile, whose b runs along its columns. */
const fewRows = ({ m, transposeB }: MatmulShape) => m < 8 && !transposeB;

/** Real GPUs, by reasoning: none was at hand to measure. */
const GPU: readonly Candidate[] = [
  when(groupedMatmulFits, () => ({ kind: "streamed" })),
  // Few rows, b as it is: neighbouring tiles of four columns read neighbouring words.
  when(fewRows, tiled({ tm: 4, tn: 4 }, 0, false)),
  when(fewRows, tiled({ tm: 2, tn: 4 }, 0, false)),
  when(fewRows, tiled({ tm: 1, tn: 4 }, 0, false)),
  workgroup(64, true),
  workgroup(32, false),
];

/** What was measured to be the fastest, or the first variant of the target's list that suits, or the readable one. */
export function matmulVariant(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  target: Target,
): MatmulVariant {
  const measured = remembered(
    target.choices,
    () => matmulKey(shape, epilogue),
    () => matmulVariants(shape, epilogue, target),
    matmulVariantName,
  );
  return measured ?? standardVariant(shape, epilogue, target);
}

function standardVariant(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  target: Target,
): MatmulVariant {
  const { adapterClass, texels } = target;
  for (const candidate of adapterClass !== "software" ? GPU : texels ? TEXELS : SOFTWARE) {
    const variant = candidate(shape, epilogue);
    if (variant !== null) return variant;
  }
  return { kind: "readable" };
}

/** Tiles worth measuring where no class says which suit. */
const MEASURED_TILES: readonly RegisterTile[] = [
  T16,
  { tm: 16, tn: 8 },
  T8,
  { tm: 8, tn: 4 },
  T4,
  { tm: 2, tn: 8 },
  { tm: 1, tn: 8 },
  { tm: 1, tn: 4 },
];

/** Operations below which the code of a 16 x 16 tile is not worth its compilation. */
const LEAST_FOR_T16 = 8e6;

/**
 * The variants among which a measurement may choose; the standard one is always there. On a software adapter workgroup
 * memory is just memory and a barrier splits loops, so its tiles are left out.
 */
export function matmulVariants(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  target: Target,
): MatmulVariant[] {
  const software = target.adapterClass === "software";
  const tiled = MEASURED_TILES
    .filter((tile) => registerTileFits(shape, tile))
    .filter(({ tm }) => tm < 16 || operations(shape) >= LEAST_FOR_T16)
    .flatMap((tile) =>
      withSplits(shape, epilogue, tile, software ? SOFTWARE_LANES : 64 * GPU_GROUPS)
        .map((splits) => ({ kind: "tiled", tile, splits } as const))
    );
  const workgroups = software
    ? []
    : ([64, 32] as const).flatMap((tile) =>
      withSplits(shape, epilogue, { tm: tile, tn: tile }, GPU_GROUPS)
        .map((splits) => ({ kind: "workgroup", tile, splits } as const))
    );
  return different<MatmulVariant>([
    standardVariant(shape, epilogue, target),
    ...(groupedMatmulFits(shape) ? [{ kind: "streamed" } as const] : []),
    ...workgroups,
    ...tiled,
  ], matmulVariantName);
}

/** Undivided, and with k divided so that there is enough to do. */
function withSplits(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  tile: RegisterTile,
  wanted: number,
): number[] {
  return [1, splitsFor(shape, epilogue, tilesOf(shape, tile), wanted)];
}

/** Names a variant. */
export function matmulVariantName(variant: MatmulVariant): string {
  const { kind } = variant;
  return kind === "tiled" || kind === "workgroup"
    ? tileName(kind, variant.tile, variant.splits)
    : kind;
}

/** Names a product: its sizes, how its factors lie, and whether its epilogue lets k be divided. */
export function matmulKey(shape: MatmulShape, epilogue: MatmulEpilogue): string {
  const { batch, m, n, k, transposeA, transposeB, sharedA, sharedB } = shape;
  const flags = [
    transposeA && "aT",
    transposeB && "bT",
    sharedA && "one a",
    sharedB && "one b",
    needsWholeSums(epilogue) && "whole",
  ];
  return ["matmul", `${batch}x${m}x${n}x${k}`, ...flags.filter(Boolean)].join(" ");
}

/** The call as one to be measured. */
export function matmulChoice(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  target: Target,
): Choice {
  return {
    key: matmulKey(shape, epilogue),
    standard: matmulVariantName(standardVariant(shape, epilogue, target)),
    candidates: matmulVariants(shape, epilogue, target).map((variant) => ({
      name: matmulVariantName(variant),
      kernels: launchesOf(matmulLaunch(shape, epilogue, variant)),
    })),
  };
}

function launchesOf({ product, sum }: MatmulPlan): Kernel[] {
  return sum === undefined ? [product] : [product, sum];
}

/** The kernels of a product: one, or partial products and the sum that adds them. */
export interface MatmulPlan {
  /** Its `y` is the result, or partial products when a sum follows. */
  readonly product: Kernel;
  /** Adds partial products: `x` is the product's y, `y` the result. */
  readonly sum?: Kernel;
}

/** The launches of one variant. */
export function matmulLaunch(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  variant: MatmulVariant,
): MatmulPlan {
  if (variant.kind === "readable") return { product: matmulReadable(shape, epilogue) };
  if (variant.kind === "streamed") return { product: groupedMatmul(shape, epilogue) };
  const make = (shape: MatmulShape, epilogue: MatmulEpilogue, splits: number) =>
    variant.kind === "tiled"
      ? matmulTiled(shape, epilogue, variant.tile, splits)
      : matmulWorkgroup(shape, epilogue, variant.tile, splits);
  if (variant.splits === 1) return { product: make(shape, epilogue, 1) };
  return matmulSplitK(shape, epilogue, variant.splits, make);
}

/** Plans a product for an adapter. */
export function matmulPlan(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  target: Target,
): MatmulPlan {
  return matmulLaunch(shape, epilogue, matmulVariant(shape, epilogue, target));
}
