/**
 * The catalogue's calls of matrix products and of what follows them.
 * @module
 */
import type { Activation } from "../activations.ts";
import { biasActivationBackward, type BiasActivationShape } from "../bias_activation.ts";
import { groupedMatmul } from "../grouped_matmul.ts";
import { matmulReadable } from "../matmul.ts";
import { matmulLaunch, matmulPlan, type MatmulVariant } from "../matmul_select.ts";
import type { MatmulEpilogue, MatmulShape } from "../matmul_shape.ts";
import { matmulTiled } from "../matmul_tiled.ts";
import { matmulWorkgroup } from "../matmul_workgroup.ts";
import type { RegisterTile } from "../register_tile.ts";
import type { WorkgroupTile } from "../workgroup_tile.ts";
import { BOTH, type CatalogueEntry, each, entry, pairs, TARGETS } from "./entry.ts";

const EPILOGUES: MatmulEpilogue[] = [
  {},
  { bias: "shared", activation: "gelu", keepPre: true },
  { bias: "batched", activation: "silu" },
  { bias: "shared", activation: "relu" },
  { bias: "shared", residual: true, activation: "relu" },
  { accumulate: 0 },
  { accumulate: 1 },
];
const products = (batch: number, m: number, n: number, k: number): MatmulShape[] =>
  pairs(BOTH, BOTH).map(([transposeA, transposeB]) => ({ batch, m, n, k, transposeA, transposeB }));
const ODD = products(3, 11, 13, 7), EVEN = products(2, 28, 20, 8);
/** Every epilogue on two products, none and an addition on all others. */
const CALLS: [MatmulShape, MatmulEpilogue][] = [
  ...pairs([ODD[1], EVEN[0]], EPILOGUES),
  ...pairs([...ODD, ...products(1, 35, 20, 6)], [{}]),
  ...pairs(EVEN, [{ accumulate: 1 }]),
  [{ batch: 3, m: 9, n: 8, k: 4, sharedA: true }, {}],
  [{ batch: 3, m: 9, n: 8, k: 4, sharedB: true }, {}],
];
const MANY: MatmulShape = { batch: 1, m: 2 ** 16, n: 2 ** 9 - 1, k: 64 };
const TILES: RegisterTile[] = [{ tm: 4, tn: 4 }, { tm: 8, tn: 8 }];
const MORE_TILES: RegisterTile[] = [{ tm: 16, tn: 16 }, { tm: 16, tn: 8 }, { tm: 8, tn: 4 }];
const WORKGROUP_TILES: WorkgroupTile[] = [32, 64];
/** Few rows, with fewer and with more steps than the invocations that share them. */
const FEW_ROWS: [MatmulShape, MatmulEpilogue][] = [
  ...pairs(
    [1, 2, 3, 8].map((m) => ({ batch: 2, m, n: 8, k: 12, transposeB: true })),
    EPILOGUES,
  ),
  [{ batch: 1, m: 5, n: 12, k: 300, transposeB: true }, {}],
  [{ batch: 3, m: 4, n: 8, k: 4, transposeB: true, sharedA: true }, {}],
  [{ batch: 3, m: 4, n: 8, k: 4, transposeB: true, sharedB: true }, {}],
];
const LONG: MatmulShape = { batch: 1, m: 9, n: 8, k: 37, transposeA: true };
const VARIANTS: MatmulVariant[] = [
  { kind: "readable" },
  { kind: "tiled", tile: TILES[0], splits: 1 },
  { kind: "tiled", tile: TILES[1], splits: 3 },
  { kind: "workgroup", tile: 32, splits: 1 },
  { kind: "workgroup", tile: 32, splits: 3 },
];
const planned = (calls: [MatmulShape, MatmulEpilogue][]) =>
  pairs(calls, TARGETS).map(([[shape, epilogue], target]) => [shape, epilogue, target] as const);

const matmul = [
  entry("matmul", matmulReadable, {
    small: CALLS,
    huge: [[MANY, {}]],
  }),
  entry("matmul_tiled", matmulTiled, {
    small: [
      ...pairs(CALLS, TILES)
        .filter(([[{ m, n }], { tm, tn }]) => m >= tm && n >= tn)
        .map(([[shape, epilogue], tile]) => [shape, epilogue, tile] as const),
      // those that only a measurement chooses
      ...MORE_TILES.map((tile) => [{ batch: 1, m: 35, n: 20, k: 6 }, {}, tile] as const),
      [{ batch: 2, m: 9, n: 8, k: 37 }, {}, TILES[1], 3],
      [{ batch: 2, m: 9, n: 8, k: 36, transposeB: true }, {}, TILES[0], 4],
    ],
    huge: [[MANY, {}, TILES[0]]],
  }),
  entry("matmul_workgroup", matmulWorkgroup, {
    small: [
      ...pairs(CALLS, WORKGROUP_TILES).map(([[shape, epilogue], tile]) =>
        [shape, epilogue, tile] as const
      ),
      // more than one block each way, and a last block of one line
      ...products(2, 65, 33, 18).map((shape) => [shape, {}, 32] as const),
      [LONG, {}, 32, 3],
      [{ batch: 2, m: 9, n: 8, k: 36, transposeB: true }, {}, 64, 4],
    ],
    huge: [[MANY, {}, 32]],
  }),
  entry("grouped_matmul", groupedMatmul, {
    small: FEW_ROWS,
    huge: [[{ batch: 2 ** 12, m: 8, n: 2 ** 9, k: 16, transposeB: true }, {}]],
  }),
  entry("matmul_select", matmulLaunch, {
    small: [
      ...pairs([0, 1] as const, VARIANTS).map(([accumulate, variant]) =>
        [LONG, { accumulate }, variant] as const
      ),
      [FEW_ROWS[0][0], FEW_ROWS[0][1], { kind: "streamed" }],
    ],
  }),
  entry("matmul_select", matmulPlan, {
    small: planned(CALLS),
    huge: planned([[MANY, {}]]),
  }),
];

const shapes: BiasActivationShape[] = pairs(
  pairs(["none", "gelu", "relu", "silu"] as Activation[], [5, 8]),
  [0, 1] as const,
).map(([[activation, cols], accumulate]) => ({
  rows: 201,
  cols,
  activation,
  strip: 3,
  accumulate,
}));

const epilogues = [
  entry("bias_activation", biasActivationBackward, {
    small: each(shapes),
    huge: [[{ rows: 2 ** 16, cols: 127, activation: "gelu", strip: 1, accumulate: 0 }]],
    input: (value) => 2 * value,
  }),
];

/** Matrix products. */
export const PRODUCTS: readonly CatalogueEntry[] = [...matmul, ...epilogues];
