/**
 * Which kernels compute a convolution and its gradients: the one way by which the rest of the project reaches a variant.
 *
 * A 1 x 1 convolution with stride 1 never comes here: it is a matrix product (`isPointwise`, kernels/matmul_select.ts).
 * The lists are tried from top to bottom; the last entry serves everything.
 * @module
 */
import { type Choice, different, remembered, tileName } from "./choice.ts";
import { columnSum } from "./column_sum.ts";
import {
  conv2dInputBackwardReadable,
  conv2dReadable,
  conv2dWeightBackwardReadable,
} from "./conv2d.ts";
import { gatherClasses, type Gathered } from "./conv2d_gather.ts";
import {
  type Conv2dEpilogue,
  conv2dFlops,
  conv2dOutput,
  type Conv2dShape,
} from "./conv2d_shape.ts";
import { conv2dInputBackwardTiled, conv2dTiled, conv2dTileFits } from "./conv2d_tiled.ts";
import { conv2dWeightBackwardTiled, conv2dWeightTileFits } from "./conv2d_weight_tiled.ts";
import { conv2dWeightBackwardWorkgroup } from "./conv2d_weight_workgroup.ts";
import { conv2dInputBackwardWorkgroup, conv2dWorkgroup } from "./conv2d_workgroup.ts";
import { ceilDiv, type Kernel } from "./kernel.ts";
import type { RegisterTile } from "./register_tile.ts";
import type { Target } from "./target.ts";
import type { WorkgroupTile } from "./workgroup_tile.ts";

/** How a convolution or its input gradient is computed. */
export type Conv2dVariant =
  | { readonly kind: "readable" }
  | { readonly kind: "tiled"; readonly tile: RegisterTile }
  | { readonly kind: "workgroup"; readonly tile: WorkgroupTile };

/** How a weight gradient is computed; with more than one split, a sum of partial gradients follows. */
export type Conv2dWeightVariant =
  | { readonly kind: "readable" }
  | { readonly kind: "tiled"; readonly tile: RegisterTile; readonly splits: number }
  | { readonly kind: "workgroup"; readonly tile: WorkgroupTile; readonly splits: number };

/** Invocations that fill the vectors of a software adapter's cores: two cores of eight lanes. */
const SOFTWARE_LANES = 16;
/** Workgroups that keep a GPU busy. */
const GPU_GROUPS = 128;
/** Operations below which a 16 x 16 tile is not worth its compilation. */
const LEAST_WORK = 8e6;
/** The fewest pixels of y that a split of a weight gradient keeps. */
const LEAST_PIXELS = 64;

const T16: RegisterTile = { tm: 16, tn: 16 };
const T8: RegisterTile = { tm: 8, tn: 8 };
const SMALL: readonly RegisterTile[] = [
  { tm: 16, tn: 4 },
  { tm: 8, tn: 4 },
  { tm: 4, tn: 4 },
  { tm: 1, tn: 4 },
];

/** Tiles that cover the result. */
function tilesOf(shape: Conv2dShape, gathered: Gathered, { tm, tn }: RegisterTile): number {
  const { most, classes } = gatherClasses(shape, gathered);
  const n = gathered === "forward" ? shape.outChannels : shape.channels;
  return classes * ceilDiv(most, tm) * ceilDiv(n, tn);
}

/** vec4 along channels is what every fast variant loads. */
function hasVectors({ channels, outChannels }: Conv2dShape): boolean {
  return channels % 4 === 0 && outChannels % 4 === 0;
}

/**
 * The variant for a convolution or its input gradient.
 *
 * Measured on lavapipe (processor time), 3 x 3, 64 channels to 64, 7 x 56 x 56: 16x16 142 ms, 8x8 218 ms, 16x8 182 ms (23, 15
 * and 18 GFLOP/s of two cores); the matrix product of that size takes 129 ms. For real GPUs by reasoning: none was at hand.
 */
export function conv2dVariant(
  shape: Conv2dShape,
  gathered: Gathered,
  target: Target,
): Conv2dVariant {
  const measured = remembered(
    target.choices,
    () => conv2dKey(shape, gathered),
    () => conv2dVariants(shape, gathered, target),
    conv2dVariantName,
  );
  return measured ?? standardVariant(shape, gathered, target);
}

function standardVariant(
  shape: Conv2dShape,
  gathered: Gathered,
  target: Target,
): Conv2dVariant {
  if (!hasVectors(shape)) return { kind: "readable" };
  if (target.adapterClass !== "software") {
    const groups = tilesOf(shape, gathered, { tm: 64, tn: 64 });
    return { kind: "workgroup", tile: 2 * groups >= GPU_GROUPS ? 64 : 32 };
  }
  const fits = (tile: RegisterTile) => conv2dTileFits(shape, gathered, tile);
  const fills = (tile: RegisterTile) => tilesOf(shape, gathered, tile) >= SOFTWARE_LANES;
  const covered = (tile: RegisterTile) => tilesOf(shape, gathered, tile) * tile.tm * tile.tn;
  if (
    conv2dFlops(shape) >= LEAST_WORK && fits(T16) && fills(T16) &&
    covered(T16) <= 1.3 * covered(T8)
  ) return { kind: "tiled", tile: T16 };
  if (fits(T8) && fills(T8)) return { kind: "tiled", tile: T8 };
  const tile = SMALL.find((tile) => fits(tile) && fills(tile)) ?? SMALL.findLast(fits);
  return tile === undefined ? { kind: "readable" } : { kind: "tiled", tile };
}

/** The variants among which a measurement may choose; the standard one is always there. */
export function conv2dVariants(
  shape: Conv2dShape,
  gathered: Gathered,
  target: Target,
): Conv2dVariant[] {
  const tiles = [T16, { tm: 16, tn: 8 }, T8, ...SMALL].filter((tile) =>
    conv2dTileFits(shape, gathered, tile)
  );
  const workgroups = target.adapterClass === "software" || !hasVectors(shape)
    ? []
    : [64, 32] as const;
  return different<Conv2dVariant>([
    standardVariant(shape, gathered, target),
    ...workgroups.map((tile) => ({ kind: "workgroup", tile } as const)),
    ...tiles.map((tile) => ({ kind: "tiled", tile } as const)),
  ], conv2dVariantName);
}

/** Names a variant. */
export function conv2dVariantName(variant: Conv2dVariant | Conv2dWeightVariant): string {
  if (variant.kind === "readable") return variant.kind;
  return tileName(variant.kind, variant.tile, "splits" in variant ? variant.splits : 1);
}

/** Names a convolution or one of its gradients. */
export function conv2dKey(shape: Conv2dShape, pass: Gathered | "weight_backward"): string {
  const { batch, height, width, channels, outChannels, kernelHeight, kernelWidth } = shape;
  return `conv2d.${pass} ${batch}x${height}x${width}x${channels} to ${outChannels}, ` +
    `${kernelHeight}x${kernelWidth}, stride ${shape.stride}, padding ${shape.padding}`;
}

/** A convolution as a call to be measured. */
export function conv2dChoice(
  shape: Conv2dShape,
  epilogue: Conv2dEpilogue,
  target: Target,
): Choice {
  return choiceOf(shape, "forward", target, (variant) => conv2dLaunch(shape, epilogue, variant));
}

/** An input gradient likewise. */
export function conv2dInputChoice(shape: Conv2dShape, target: Target): Choice {
  return choiceOf(shape, "input_backward", target, (variant) => conv2dInputLaunch(shape, variant));
}

function choiceOf(
  shape: Conv2dShape,
  gathered: Gathered,
  target: Target,
  launch: (variant: Conv2dVariant) => Kernel,
): Choice {
  return {
    key: conv2dKey(shape, gathered),
    standard: conv2dVariantName(standardVariant(shape, gathered, target)),
    candidates: conv2dVariants(shape, gathered, target).map((variant) => ({
      name: conv2dVariantName(variant),
      kernels: [launch(variant)],
    })),
  };
}

/** y by one variant. */
function conv2dLaunch(
  shape: Conv2dShape,
  epilogue: Conv2dEpilogue,
  variant: Conv2dVariant,
): Kernel {
  if (variant.kind === "tiled") return conv2dTiled(shape, epilogue, variant.tile);
  if (variant.kind === "workgroup") return conv2dWorkgroup(shape, epilogue, variant.tile);
  return conv2dReadable(shape, epilogue);
}

/** The input gradient by one variant. */
function conv2dInputLaunch(shape: Conv2dShape, variant: Conv2dVariant): Kernel {
  if (variant.kind === "tiled") return conv2dInputBackwardTiled(shape, variant.tile);
  if (variant.kind === "workgroup") return conv2dInputBackwardWorkgroup(shape, variant.tile);
  return conv2dInputBackwardReadable(shape);
}

/** y of a convolution. Bindings: x, weight, y, and bias, residual and pre where the epilogue has them. */
export function conv2d(shape: Conv2dShape, epilogue: Conv2dEpilogue, target: Target): Kernel {
  return conv2dLaunch(shape, epilogue, conv2dVariant(shape, "forward", target));
}

/** The input gradient. Bindings: dOut, weight, y. */
export function conv2dInputBackward(shape: Conv2dShape, target: Target): Kernel {
  return conv2dInputLaunch(shape, conv2dVariant(shape, "input_backward", target));
}

/** The variant for a weight gradient. Measured as above: 16x16 155 ms, 8x8 226 ms. */
export function conv2dWeightVariant(shape: Conv2dShape, target: Target): Conv2dWeightVariant {
  const measured = remembered(
    target.choices,
    () => conv2dKey(shape, "weight_backward"),
    () => conv2dWeightVariants(shape, target),
    conv2dVariantName,
  );
  return measured ?? standardWeightVariant(shape, target);
}

function standardWeightVariant(shape: Conv2dShape, target: Target): Conv2dWeightVariant {
  if (!hasVectors(shape)) return { kind: "readable" };
  if (target.adapterClass !== "software") {
    const tile = shape.outChannels >= 64 && weightTiles(shape, 64) >= GPU_GROUPS / 8 ? 64 : 32;
    return weightByWorkgroups(shape, tile);
  }
  const tile = [T16, T8, ...SMALL].find((tile) => conv2dWeightTileFits(shape, tile));
  return tile === undefined ? { kind: "readable" } : weightByTiles(shape, tile, SOFTWARE_LANES);
}

/** Splits of `steps` into pieces of at least `least`, so that there are `wanted` in all; none is empty. */
function splitsOf(pieces: number, wanted: number, steps: number, least: number): number {
  const splits = Math.min(ceilDiv(wanted, pieces), Math.floor(steps / least));
  return splits < 2 ? 1 : ceilDiv(steps, ceilDiv(steps, splits));
}

/** Square tiles that cover a weight. */
function weightTiles(
  { channels, outChannels, kernelHeight, kernelWidth }: Conv2dShape,
  tile: number,
): number {
  return ceilDiv(outChannels, tile) * ceilDiv(kernelHeight * kernelWidth * channels, tile);
}

function weightByWorkgroups(shape: Conv2dShape, tile: WorkgroupTile): Conv2dWeightVariant {
  const { outHeight, outWidth } = conv2dOutput(shape);
  const pixels = shape.batch * outHeight * outWidth;
  const splits = splitsOf(weightTiles(shape, tile), GPU_GROUPS, pixels, LEAST_PIXELS);
  return { kind: "workgroup", tile, splits };
}

function weightByTiles(
  shape: Conv2dShape,
  tile: RegisterTile,
  wanted: number,
): Conv2dWeightVariant {
  const { batch, channels, outChannels, kernelHeight, kernelWidth } = shape;
  const { outHeight, outWidth } = conv2dOutput(shape);
  const tiles = kernelHeight * kernelWidth * ceilDiv(outChannels, tile.tm) *
    ceilDiv(channels, tile.tn);
  const splits = splitsOf(tiles, wanted, batch * outHeight, ceilDiv(LEAST_PIXELS, outWidth));
  return { kind: "tiled", tile, splits };
}

/** The variants among which a measurement may choose; the standard one is always there. */
export function conv2dWeightVariants(shape: Conv2dShape, target: Target): Conv2dWeightVariant[] {
  const software = target.adapterClass === "software";
  const tiles = [T16, T8, ...SMALL].filter((tile) => conv2dWeightTileFits(shape, tile));
  return different<Conv2dWeightVariant>([
    standardWeightVariant(shape, target),
    ...(software || !hasVectors(shape)
      ? []
      : ([64, 32] as const).map((tile) => weightByWorkgroups(shape, tile))),
    ...tiles.flatMap((tile) => [
      { kind: "tiled", tile, splits: 1 } as const,
      weightByTiles(shape, tile, software ? SOFTWARE_LANES : 64 * GPU_GROUPS),
    ]),
  ], conv2dVariantName);
}

/** A weight gradient as a call to be measured. */
export function conv2dWeightChoice(
  shape: Conv2dShape,
  accumulate: 0 | 1,
  target: Target,
): Choice {
  return {
    key: conv2dKey(shape, "weight_backward"),
    standard: conv2dVariantName(standardWeightVariant(shape, target)),
    candidates: conv2dWeightVariants(shape, target).map((variant) => {
      const { product, sum } = conv2dWeightLaunch(shape, accumulate, variant);
      return {
        name: conv2dVariantName(variant),
        kernels: sum === undefined ? [product] : [product, sum],
      };
    }),
  };
}

/** The launches of a weight gradient. */
export interface Conv2dWeightPlan {
  /** Its `y` is the gradient, or partial gradients when a sum follows. Bindings: x, dOut, y. */
  readonly product: Kernel;
  /** Adds partial gradients: `x` is the product's y, `y` the result. */
  readonly sum?: Kernel;
}

/** The launches of one variant. */
export function conv2dWeightLaunch(
  shape: Conv2dShape,
  accumulate: 0 | 1,
  variant: Conv2dWeightVariant,
): Conv2dWeightPlan {
  if (variant.kind === "readable") {
    return { product: conv2dWeightBackwardReadable(shape, accumulate) };
  }
  const { splits } = variant, added = splits === 1 ? accumulate : undefined;
  const product = variant.kind === "tiled"
    ? conv2dWeightBackwardTiled(shape, added, variant.tile, splits)
    : conv2dWeightBackwardWorkgroup(shape, added, variant.tile, splits);
  if (splits === 1) return { product };
  return { product, sum: columnSum(splits, product.sizes.y / splits, { accumulate }) };
}

/** Plans the weight gradient for an adapter. */
export function conv2dWeightBackward(
  shape: Conv2dShape,
  accumulate: 0 | 1,
  target: Target,
): Conv2dWeightPlan {
  return conv2dWeightLaunch(shape, accumulate, conv2dWeightVariant(shape, target));
}
