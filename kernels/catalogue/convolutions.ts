/**
 * The catalogue's calls of convolutions.
 * @module
 */
import {
  batchNormFold,
  batchNormFoldBackward,
  batchNormFoldBackwardReference,
  batchNormFoldReference,
  type BatchNormFoldShape,
} from "../batch_norm_fold.ts";
import {
  conv2dBackwardReference,
  conv2dInputBackwardReadable,
  conv2dReadable,
  conv2dReference,
  conv2dWeightBackwardReadable,
} from "../conv2d.ts";
import {
  conv2d,
  conv2dInputBackward,
  conv2dWeightBackward,
  conv2dWeightLaunch,
  type Conv2dWeightVariant,
  conv2dWeightVariant,
} from "../conv2d_select.ts";
import {
  type Conv2dEpilogue,
  conv2dOutput,
  type Conv2dShape,
  conv2dSizes,
} from "../conv2d_shape.ts";
import { conv2dInputBackwardTiled, conv2dTiled, conv2dTileFits } from "../conv2d_tiled.ts";
import { conv2dWeightBackwardTiled, conv2dWeightTileFits } from "../conv2d_weight_tiled.ts";
import { conv2dWeightBackwardWorkgroup } from "../conv2d_weight_workgroup.ts";
import { conv2dInputBackwardWorkgroup, conv2dWorkgroup } from "../conv2d_workgroup.ts";
import type { RegisterTile } from "../register_tile.ts";
import type { WorkgroupTile } from "../workgroup_tile.ts";
import { array, type CatalogueEntry, each, entry, pairs, sum, TARGETS } from "./entry.ts";
import type { Values } from "../kernel.ts";

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
const WIDE = [shapeOf([2, 9, 7, 72], [76, 3, 3], 1, 1), shapeOf([1, 19, 13, 44], [28, 3, 3], 2, 1)];
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
];
const WORKGROUP_TILES: WorkgroupTile[] = [32, 64];
/** Every epilogue on one shape, none on the others. */
const calls = (shapes: Conv2dShape[]) => [
  ...pairs(shapes.slice(0, 1), EPILOGUES),
  ...pairs(shapes.slice(1), EPILOGUES.slice(0, 1)),
];
/** Every epilogue with the first tile, none with the others: large tiles take long to compile. */
const tiledCalls = <T>(shapes: Conv2dShape[], tiles: T[]) => [
  ...EPILOGUES.map((epilogue) => [shapes[0], epilogue, tiles[0]] as const),
  ...pairs(shapes, tiles).map(([shape, tile]) => [shape, EPILOGUES[0], tile] as const),
];
const forwardTiles = tiledCalls([...VECTORS, ...WIDE], TILES)
  .filter(([shape, , tile]) => conv2dTileFits(shape, "forward", tile));
const inputTiles = pairs([...VECTORS, ...WIDE], TILES)
  .filter(([shape, tile]) => conv2dTileFits(shape, "input_backward", tile));
const WEIGHT_TILES: RegisterTile[] = [...TILES, { tm: 8, tn: 4 }, { tm: 16, tn: 4 }];
const weightTiles = pairs([...VECTORS, ...WIDE], WEIGHT_TILES)
  .filter(([shape, tile]) => conv2dWeightTileFits(shape, tile));
const WEIGHT_VARIANTS: Conv2dWeightVariant[] = [
  { kind: "readable" },
  { kind: "tiled", tile: TILES[0], splits: 1 },
  { kind: "tiled", tile: TILES[1], splits: 3 },
  { kind: "workgroup", tile: 32, splits: 1 },
  { kind: "workgroup", tile: 32, splits: 3 },
];

function forward(inputs: Values, shape: Conv2dShape, epilogue: Conv2dEpilogue = {}): Values {
  return {
    ...conv2dReference(shape, epilogue, inputs as unknown as { x: number[]; weight: number[] }),
  };
}

function inputGradient({ dOut, weight }: Values, shape: Conv2dShape): Values {
  return {
    y: conv2dBackwardReference(shape, { x: array(conv2dSizes(shape).x, () => 0), weight, dOut }).dx,
  };
}

/** The weight gradient, added to what y holds where asked. */
function weightGradient({ x, dOut, y }: Values, shape: Conv2dShape, accumulate?: 0 | 1): Values {
  const weight = array(conv2dSizes(shape).weight, () => 0);
  const { dWeight } = conv2dBackwardReference(shape, { x, weight, dOut });
  return { y: dWeight.map((value, i) => value + (accumulate ? y[i] : 0)) };
}

/** Pixels of y that one of the splits of a weight gradient has. */
function chunkOf(kind: "tiled" | "workgroup", shape: Conv2dShape, splits: number): number {
  const { outHeight, outWidth } = conv2dOutput(shape), lines = shape.batch * outHeight;
  return kind === "tiled"
    ? Math.ceil(lines / splits) * outWidth
    : Math.ceil(lines * outWidth / splits);
}

/** Partial weight gradients, one after the other. */
function partialGradients(
  inputs: Values,
  shape: Conv2dShape,
  kind: "tiled" | "workgroup",
  splits: number,
): Values {
  const { x, dOut } = inputs, { weight } = conv2dSizes(shape);
  const y = new Float64Array(splits * weight), split = chunkOf(kind, shape, splits);
  for (let s = 0; s < splits; s++) {
    const own = array(
      dOut.length,
      (i) => Math.floor(i / shape.outChannels / split) === s ? dOut[i] : 0,
    );
    y.set(weightGradient({ x, dOut: own }, shape).y as Float64Array, s * weight);
  }
  return { y };
}

/** What the product or the sum of a weight gradient's launch writes. */
function launched(
  inputs: Values,
  shape: Conv2dShape,
  accumulate: 0 | 1,
  variant: Conv2dWeightVariant,
): Values {
  if (inputs.dOut === undefined) { // the sum
    const { weight } = conv2dSizes(shape), splits = inputs.x.length / weight;
    const total = (i: number) => sum(splits, (s) => inputs.x[s * weight + i]);
    return { y: array(weight, (i) => total(i) + (accumulate ? inputs.y[i] : 0)) };
  }
  return variant.kind === "readable" || variant.splits === 1
    ? weightGradient(inputs, shape, accumulate)
    : partialGradients(inputs, shape, variant.kind, variant.splits);
}

const forwards = [
  entry("conv2d", conv2dReadable, {
    small: calls([...ODD, ...VECTORS]),
    huge: pairs(MANY, [{}]),
    reference: (inputs, [shape, epilogue]) => forward(inputs, shape, epilogue),
  }),
  entry("conv2d_tiled", conv2dTiled, {
    small: forwardTiles,
    huge: MANY_VECTORS.map((shape) => [shape, {}, TILES[0]]),
    reference: (inputs, [shape, epilogue]) => forward(inputs, shape, epilogue),
  }),
  entry("conv2d_workgroup", conv2dWorkgroup, {
    small: tiledCalls([...VECTORS, ...WIDE], WORKGROUP_TILES),
    huge: MANY_VECTORS.map((shape) => [shape, {}, 32]),
    reference: (inputs, [shape, epilogue]) => forward(inputs, shape, epilogue),
  }),
  entry("conv2d_select", conv2d, {
    small: pairs(calls([...ODD, ...VECTORS, ...WIDE]), TARGETS)
      .map(([[shape, epilogue], target]) => [shape, epilogue, target] as const),
    reference: (inputs, [shape, epilogue]) => forward(inputs, shape, epilogue),
  }),
];

const inputGradients = [
  entry("conv2d", conv2dInputBackwardReadable, {
    small: each([...ODD, ...VECTORS]),
    huge: each(MANY),
    reference: (inputs, [shape]) => inputGradient(inputs, shape),
  }),
  entry("conv2d_tiled", conv2dInputBackwardTiled, {
    small: inputTiles,
    huge: pairs(MANY_VECTORS, [TILES[0]]),
    reference: (inputs, [shape]) => inputGradient(inputs, shape),
  }),
  entry("conv2d_workgroup", conv2dInputBackwardWorkgroup, {
    small: pairs([...VECTORS, ...WIDE], WORKGROUP_TILES),
    huge: pairs(MANY_VECTORS, WORKGROUP_TILES),
    reference: (inputs, [shape]) => inputGradient(inputs, shape),
  }),
  entry("conv2d_select", conv2dInputBackward, {
    small: pairs([...ODD, ...VECTORS, ...WIDE], TARGETS),
    reference: (inputs, [shape]) => inputGradient(inputs, shape),
  }),
];

const weightGradients = [
  entry("conv2d", conv2dWeightBackwardReadable, {
    small: pairs([...ODD, ...VECTORS], SUMS),
    huge: [[shapeOf([1, 4, 4, 2 ** 12], [2 ** 12 - 1, 1, 1], 1, 0), 0]],
    reference: (inputs, [shape, accumulate]) => weightGradient(inputs, shape, accumulate),
  }),
  entry("conv2d_weight_tiled", conv2dWeightBackwardTiled, {
    small: [
      ...weightTiles.map(([shape, tile]) => [shape, undefined, tile] as const),
      ...SUMS.map((accumulate) => [VECTORS[0], accumulate, TILES[0]] as const),
      ...pairs([2, 5], WEIGHT_TILES.filter((tile) => conv2dWeightTileFits(WIDE[0], tile)))
        .map(([splits, tile]) => [WIDE[0], undefined, tile, splits] as const),
    ],
    huge: [[shapeOf([1, 4, 4, 2 ** 12], [2 ** 13 - 4, 1, 1], 1, 0), 0, TILES[0]]],
    reference: (inputs, [shape, accumulate, , splits = 1]) =>
      splits === 1
        ? weightGradient(inputs, shape, accumulate)
        : partialGradients(inputs, shape, "tiled", splits),
  }),
  entry("conv2d_weight_workgroup", conv2dWeightBackwardWorkgroup, {
    small: [
      ...pairs([...VECTORS, ...WIDE], WORKGROUP_TILES)
        .map(([shape, tile]) => [shape, undefined, tile] as const),
      ...SUMS.map((accumulate) => [VECTORS[0], accumulate, 32] as const),
      ...[2, 3].map((splits) => [WIDE[0], undefined, 64, splits] as const),
    ],
    huge: [[shapeOf([1, 4, 4, 2 ** 12], [2 ** 13 - 4, 1, 1], 1, 0), 0, 32]],
    reference: (inputs, [shape, accumulate, , splits = 1]) =>
      splits === 1
        ? weightGradient(inputs, shape, accumulate)
        : partialGradients(inputs, shape, "workgroup", splits),
  }),
  entry("conv2d_select", conv2dWeightLaunch, {
    small: pairs(pairs([VECTORS[0]], SUMS), WEIGHT_VARIANTS)
      .map(([[shape, accumulate], variant]) => [shape, accumulate, variant] as const),
    reference: (inputs, [shape, accumulate, variant]) =>
      launched(inputs, shape, accumulate, variant),
  }),
  entry("conv2d_select", conv2dWeightBackward, {
    small: pairs(pairs([...ODD, ...VECTORS, ...WIDE], SUMS), TARGETS)
      .map(([[shape, accumulate], target]) => [shape, accumulate, target] as const),
    reference: (inputs, [shape, accumulate, target]) =>
      launched(inputs, shape, accumulate, conv2dWeightVariant(shape, target)),
  }),
];

const FOLDS: BatchNormFoldShape[] = [
  { rows: 70, n: 9, eps: 0.1 },
  { rows: 67, n: 12, eps: 0.1 },
  { rows: 5, n: 260, eps: 0.1 },
  { rows: 3, n: 67, eps: 0.1 },
];
const variance = (value: number, name: string) => name === "variance" ? Math.abs(value) : value;

const norms = [
  entry("batch_norm_fold", batchNormFold, {
    small: each(FOLDS),
    huge: [[{ rows: 2 ** 12, n: 2 ** 13 - 1, eps: 0 }]],
    input: variance,
    reference: (inputs, [shape]) => ({
      ...batchNormFoldReference(shape, inputs as Parameters<typeof batchNormFoldReference>[1]),
    }),
  }),
  entry("batch_norm_fold", batchNormFoldBackward, {
    small: pairs(pairs(FOLDS, ["invocation", "workgroup"] as const), SUMS)
      .map(([[shape, variant], accumulate]) => [shape, variant, accumulate] as const),
    huge: [[{ rows: 2 ** 17, n: 2 ** 8 - 1, eps: 0 }, "workgroup", 0]],
    input: variance,
    reference: (inputs, [shape, , accumulate]) => {
      const gradients = inputs as Parameters<typeof batchNormFoldBackwardReference>[1];
      const { y, dGamma } = batchNormFoldBackwardReference(shape, gradients);
      return { y: y.map((dw, i) => dw + (accumulate ? inputs.y[i] : 0)), dGamma };
    },
  }),
];

/** Convolutions, and the norms folded into them. */
export const CONVOLUTIONS: readonly CatalogueEntry[] = [
  ...forwards,
  ...inputGradients,
  ...weightGradients,
  ...norms,
];
