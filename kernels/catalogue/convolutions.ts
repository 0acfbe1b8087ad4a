/**
 * The catalogue's calls of convolutions.
 * @module
 */
import {
  batchNormFold,
  batchNormFoldBackward,
  type BatchNormFoldShape,
} from "../batch_norm_fold.ts";
import {
  conv2dInputBackwardReadable,
  conv2dReadable,
  conv2dWeightBackwardReadable,
} from "../conv2d.ts";
import {
  conv2d,
  conv2dInputBackward,
  conv2dWeightBackward,
  conv2dWeightLaunch,
  type Conv2dWeightVariant,
} from "../conv2d_select.ts";
import type { Conv2dEpilogue, Conv2dShape } from "../conv2d_shape.ts";
import { conv2dInputBackwardTiled, conv2dTiled, conv2dTileFits } from "../conv2d_tiled.ts";
import { conv2dWeightBackwardTiled, conv2dWeightTileFits } from "../conv2d_weight_tiled.ts";
import { conv2dWeightBackwardWorkgroup } from "../conv2d_weight_workgroup.ts";
import { conv2dInputBackwardWorkgroup, conv2dWorkgroup } from "../conv2d_workgroup.ts";
import type { RegisterTile } from "../register_tile.ts";
import type { WorkgroupTile } from "../workgroup_tile.ts";
import { type CatalogueEntry, each, entry, pairs, TARGETS } from "./entry.ts";

/** A convolution of `size` [B, H, W, C] with `kernel` [O, KH, KW]. */
function shapeOf(
  [batch, height, width, channels]: readonly number[],
  [outChannels, kernelHeight, kernelWidth]: readonly number[],
  stride: number,
  padding: number,
): Conv2dShape {
  return {
    batch,
    height,
    width,
    channels,
    outChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padding,
  };
}

const ODD = [shapeOf([2, 7, 5, 3], [5, 3, 3], 1, 1), shapeOf([2, 6, 9, 2], [3, 3, 2], 2, 1)];
/** Channels divisible by 4: padding on all sides, classes with and without taps, more taps than fit inside. */
const VECTORS = [
  shapeOf([2, 7, 9, 8], [12, 3, 3], 1, 1),
  shapeOf([2, 9, 8, 12], [8, 3, 3], 2, 1),
  shapeOf([1, 9, 10, 8], [8, 1, 1], 2, 0),
  shapeOf([1, 11, 13, 4], [8, 7, 7], 2, 3),
  shapeOf([2, 8, 7, 4], [4, 2, 5], 3, 2),
  shapeOf([1, 3, 3, 4], [4, 5, 5], 1, 4),
];
/**
 * More than one tile of pixels and channels, the last of each not full; channels beyond one block; and rows that do not
 * begin where tiles do, so that every pixel of a tile is at an edge now and then.
 */
const WIDE = [
  shapeOf([5, 7, 5, 72], [76, 3, 3], 1, 1),
  shapeOf([1, 19, 13, 36], [36, 3, 3], 2, 1), // as many tiles of either kind of channels
  shapeOf([1, 9, 8, 124], [124, 1, 1], 1, 0), // two tiles of 64 channels, the second nearly full
];
const MANY = [shapeOf([2 ** 10, 128, 128, 1], [1, 3, 3], 1, 1)];
const MANY_VECTORS = [shapeOf([2 ** 9, 128, 128, 4], [4, 3, 3], 1, 1)];

const EPILOGUES: Conv2dEpilogue[] = [
  {},
  { bias: "shared", activation: "relu" },
  { bias: "shared", residual: true, activation: "relu" },
  { bias: "shared", activation: "silu", keepPre: true },
];
const SUMS = [0, 1] as const;
const TILES: RegisterTile[] = [
  { tm: 4, tn: 4 },
  { tm: 8, tn: 8 },
  { tm: 1, tn: 4 },
  { tm: 16, tn: 16 },
  { tm: 8, tn: 4 },
  { tm: 16, tn: 4 },
];
const WORKGROUP_TILES: WorkgroupTile[] = [32, 64];
/** Every epilogue on one shape, none on the others. */
const calls = (shapes: Conv2dShape[]) => [
  ...pairs(shapes.slice(0, 1), EPILOGUES),
  ...pairs(shapes.slice(1), EPILOGUES.slice(0, 1)),
];
/** Every epilogue with the first tile, one with the others: large tiles take long to compile. */
const tiledCalls = <T>(shapes: Conv2dShape[], tiles: T[]) => [
  ...EPILOGUES.map((epilogue) => [shapes[0], epilogue, tiles[0]] as const),
  ...pairs(shapes, tiles).map(([shape, tile]) => [shape, EPILOGUES[1], tile] as const),
];
/** One that only a measurement chooses. */
const T16X8: RegisterTile = { tm: 16, tn: 8 };
const forwardTiles = [
  ...tiledCalls([...VECTORS, ...WIDE], TILES),
  [WIDE[1], EPILOGUES[1], T16X8] as const,
].filter(([shape, , tile]) => conv2dTileFits(shape, "forward", tile));
const inputTiles = [...pairs([...VECTORS, ...WIDE], TILES), [WIDE[1], T16X8] as const]
  .filter(([shape, tile]) => conv2dTileFits(shape, "input_backward", tile));
const weightTiles = pairs([...VECTORS, ...WIDE], TILES)
  .filter(([shape, tile]) => conv2dWeightTileFits(shape, tile));
const WEIGHT_VARIANTS: Conv2dWeightVariant[] = [
  { kind: "readable" },
  { kind: "tiled", tile: TILES[0], splits: 1 },
  { kind: "tiled", tile: TILES[1], splits: 3 },
  { kind: "workgroup", tile: 32, splits: 1 },
  { kind: "workgroup", tile: 32, splits: 3 },
];

const forwards = [
  entry("conv2d", conv2dReadable, {
    small: calls([...ODD, ...VECTORS]),
    huge: pairs(MANY, [{}]),
  }),
  entry("conv2d_tiled", conv2dTiled, {
    small: forwardTiles,
    huge: MANY_VECTORS.map((shape) => [shape, {}, TILES[0]]),
  }),
  entry("conv2d_workgroup", conv2dWorkgroup, {
    small: tiledCalls([...VECTORS, ...WIDE], WORKGROUP_TILES),
    huge: MANY_VECTORS.map((shape) => [shape, {}, 32]),
  }),
  entry("conv2d_select", conv2d, {
    small: pairs(calls([...ODD, ...VECTORS, ...WIDE]), TARGETS)
      .map(([[shape, epilogue], target]) => [shape, epilogue, target] as const),
  }),
];

const inputGradients = [
  entry("conv2d", conv2dInputBackwardReadable, {
    small: each([...ODD, ...VECTORS]),
    huge: each(MANY),
  }),
  entry("conv2d_tiled", conv2dInputBackwardTiled, {
    small: inputTiles,
    huge: pairs(MANY_VECTORS, [TILES[0]]),
  }),
  entry("conv2d_workgroup", conv2dInputBackwardWorkgroup, {
    small: pairs([...VECTORS, ...WIDE], WORKGROUP_TILES),
    huge: pairs(MANY_VECTORS, WORKGROUP_TILES),
  }),
  entry("conv2d_select", conv2dInputBackward, {
    small: pairs([...ODD, ...VECTORS, ...WIDE], TARGETS),
  }),
];

const weightGradients = [
  entry("conv2d", conv2dWeightBackwardReadable, {
    small: pairs([...ODD, ...VECTORS], SUMS),
    huge: [[shapeOf([1, 4, 4, 2 ** 12], [2 ** 12 - 1, 1, 1], 1, 0), 0]],
  }),
  entry("conv2d_weight_tiled", conv2dWeightBackwardTiled, {
    small: [
      ...weightTiles.map(([shape, tile]) => [shape, undefined, tile] as const),
      ...SUMS.map((accumulate) => [VECTORS[0], accumulate, TILES[0]] as const),
      ...pairs([2, 5], TILES.filter((tile) => conv2dWeightTileFits(WIDE[0], tile)))
        .map(([splits, tile]) => [WIDE[0], undefined, tile, splits] as const),
    ],
    huge: [[shapeOf([1, 4, 4, 2 ** 12], [2 ** 13 - 4, 1, 1], 1, 0), 0, TILES[0]]],
  }),
  entry("conv2d_weight_workgroup", conv2dWeightBackwardWorkgroup, {
    small: [
      ...pairs([...VECTORS, ...WIDE], WORKGROUP_TILES)
        .map(([shape, tile]) => [shape, undefined, tile] as const),
      ...SUMS.map((accumulate) => [VECTORS[0], accumulate, 32] as const),
      ...[2, 3].map((splits) => [WIDE[0], undefined, 64, splits] as const),
    ],
    huge: [[shapeOf([1, 4, 4, 2 ** 12], [2 ** 13 - 4, 1, 1], 1, 0), 0, 32]],
  }),
  entry("conv2d_select", conv2dWeightLaunch, {
    small: pairs(pairs([VECTORS[0]], SUMS), WEIGHT_VARIANTS)
      .map(([[shape, accumulate], variant]) => [shape, accumulate, variant] as const),
  }),
  entry("conv2d_select", conv2dWeightBackward, {
    small: pairs(pairs([...ODD, ...VECTORS, ...WIDE], SUMS), TARGETS)
      .map(([[shape, accumulate], target]) => [shape, accumulate, target] as const),
  }),
];

const FOLDS: BatchNormFoldShape[] = [
  { rows: 70, n: 9, eps: 0.1 },
  { rows: 67, n: 12, eps: 0.1 },
  { rows: 5, n: 260, eps: 0.1 },
  { rows: 3, n: 67, eps: 0.1 },
  { rows: 300, n: 4, eps: 0.1 }, // a vector a row
  { rows: 330, n: 1, eps: 0.1 },
];
const variance = (value: number, name: string) => name === "variance" ? Math.abs(value) : value;

const norms = [
  entry("batch_norm_fold", batchNormFold, {
    small: each(FOLDS),
    huge: [[{ rows: 2 ** 12, n: 2 ** 13 - 1, eps: 0 }]],
    input: variance,
  }),
  entry("batch_norm_fold", batchNormFoldBackward, {
    small: pairs(pairs(FOLDS, ["invocation", "workgroup"] as const), SUMS)
      .map(([[shape, variant], accumulate]) => [shape, variant, accumulate] as const),
    huge: [[{ rows: 2 ** 17, n: 2 ** 8 - 1, eps: 0 }, "workgroup", 0]],
    input: variance,
  }),
];

/** Convolutions, and the norms folded into them. */
export const CONVOLUTIONS: readonly CatalogueEntry[] = [
  ...forwards,
  ...inputGradients,
  ...weightGradients,
  ...norms,
];
