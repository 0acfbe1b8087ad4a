/**
 * The catalogue's calls of kernels that work element by element.
 * @module
 */
import { addGradientsKernel, addInto } from "../add_into.ts";
import { cast } from "../cast.ts";
import { concatRows, embedRows } from "../concat.ts";
import {
  ELEMENTWISE,
  elementwise,
  elementwiseBackward,
  type ElementwiseName,
} from "../elementwise.ts";
import { fill } from "../fill.ts";
import { fmaLoop } from "../fma_loop.ts";
import { nonFinite } from "../non_finite.ts";
import { patchify, type PatchShape, unpatchify } from "../patchify.ts";
import { type MatrixShape, permute, transposeTiled } from "../permute.ts";
import { dropout, dropoutMask, normalNoise, randomWords } from "../random.ts";
import { selfTestKernel } from "../self_test.ts";
import { type MapFunctionName, type MapInputs, stridedMap } from "../strided_map.ts";
import { type CatalogueEntry, coarse, entry, HUGE, pairs, TARGETS } from "./entry.ts";

/** Counts with at least five workgroups, of scalars and of vectors. */
const COUNTS = [259, 1028];
const positive = (f: ElementwiseName) => f === "log" || f === "sqrt";

const functions = [
  entry("elementwise", elementwise, {
    small: pairs(ELEMENTWISE, COUNTS),
    huge: [["relu", HUGE - 1]],
    input: (value, _name, _i, [f]) => positive(f) ? 0.1 + Math.abs(value) : 3 * value,
  }),
  entry("elementwise", elementwiseBackward, {
    small: pairs(ELEMENTWISE, COUNTS),
    huge: [["gelu", HUGE - 1]],
    input: (value, name, _i, [f]) =>
      name === "saved" && positive(f) ? 0.1 + Math.abs(value) : 3 * value,
  }),
];

type MapCall = [MapFunctionName, number[], MapInputs];
const walk = (size: number, ...strides: number[]) => ({ strides, size });
const copies: MapCall[] = [
  ["copy", [1200], { a: walk(1200, 1) }],
  ["copy", [299], { a: { ...walk(300, 1), offset: 1 } }], // scalar
  ["copy", [1000], { a: { ...walk(1001, 1), offset: 1 } }], // gather
  ["copy", [16, 20, 4], { a: walk(1280, 4, 64, 1) }], // rows moved
  ["copy", [4, 30, 5], { a: walk(600, 1, 20, 4) }],
  ["copy", [2, 50, 3, 2], { a: walk(600, 300, 2, 100, 1) }],
];
const binary: MapCall[] = pairs(
  ["add", "sub", "mul", "div", "maximum", "minimum", "equal"] as const,
  [
    [[1200], { a: walk(1200, 1), b: walk(1200, 1) }],
    [[1200], { a: walk(1200, 1), b: 0.5 }],
    [[100, 6], { a: walk(600, 6, 1), b: walk(6, 0, 1) }],
    [[300, 4], { a: walk(1200, 4, 1), b: walk(300, 1, 0) }],
  ] as [number[], MapInputs][],
).map(([f, [dims, inputs]]) => [f, dims, inputs]);
const gradients: MapCall[] = pairs(
  ["div_grad", "maximum_grad", "minimum_grad", "share"] as const,
  [
    [[1200], { a: walk(1200, 1), b: walk(1200, 1), g: walk(1200, 1) }],
    [[100, 6], { a: walk(600, 6, 1), b: walk(6, 0, 1), g: walk(600, 6, 1) }],
  ] as [number[], MapInputs][],
).map(([f, [dims, inputs]]) => [f, dims, inputs]);
const hugeMap: MapCall = ["add", [2 ** 12, 2 ** 13 - 1], {
  a: walk(HUGE - 2 ** 12, 2 ** 13 - 1, 1),
  b: walk(2 ** 12, 1, 0),
}];

const patches: [PatchShape][] = [[3, 4], [1, 2]].map(([channels, patch]) => [
  { batch: 4, channels, height: 16, width: 24, patch },
]);
const matrices: [MatrixShape][] = [
  [{ outer: 2, rows: 33, columns: 9 }],
  [{ outer: 2, rows: 32, columns: 64 }],
];

const moves = [
  entry("strided_map", stridedMap, {
    small: [...copies, ...binary, ...gradients],
    huge: [hugeMap],
    input: (value, name, _i, [f]) => {
      if (f === "copy") return value;
      if (name === "b_in" && /div|share/.test(f)) return 0.5 + Math.abs(value);
      return /imum|equal/.test(f) && name !== "g_in" ? coarse(value) : value;
    },
  }),
  entry("permute", transposeTiled, {
    small: matrices,
    huge: [[{ outer: 2 ** 18, rows: 8, columns: 16 }]],
  }),
  entry("permute", permute, {
    small: TARGETS.flatMap((target) => [
      [[64, 33], [1, 64], target],
      [[3, 5, 4], [4, 12, 1], target],
    ]),
  }),
  entry("patchify", patchify, {
    small: patches,
  }),
  entry("patchify", unpatchify, {
    small: patches,
  }),
  entry("concat", concatRows, {
    small: [
      [65, [1, 2]],
      [65, [4, 8]],
      [1, [195]],
      [193, [4]],
      [40, [1, 2, 3]],
      [33, [4, 4, 8, 4, 4, 8, 4]],
    ],
    huge: [[2 ** 12, [2 ** 13 - 3, 3]]],
  }),
  entry("concat", embedRows, {
    small: [
      [{ rows: 33, length: 7, begin: 2, piece: 3 }],
      [{ rows: 33, length: 32, begin: 4, piece: 8 }],
    ],
    huge: [[{ rows: 2 ** 12, length: 2 ** 13 - 1, begin: 1, piece: 5 }]],
  }),
];

const engine = [
  entry("cast", cast, {
    small: [[325], [1300]], // six workgroups, of which the last has little to do
    huge: [[HUGE - 1]],
  }),
  entry("fill", fill, {
    small: [[195, 0x7fc00001]],
    huge: [[HUGE, 0]],
  }),
  entry("fma_loop", fmaLoop, {
    small: [
      [195, 1],
      [195, 3],
      [17, 2, { vectors: false, chains: 3, steps: 5, size: 8 }],
      [65, 1, { vectors: true, chains: 1, steps: 2, size: 32 }],
    ],
    huge: [[HUGE, 1]],
  }),
  entry("non_finite", nonFinite, {
    small: [[195, 1, 3], [195, 0, 3], [65, 2, 3]],
    huge: [[HUGE, 0, 1]],
    // slot 1 meets an infinity at the very end, slot 2 a NaN
    input: (value, name, i, [count, slot]) =>
      name === "x" && slot > 0 && i === count - 1 ? 0x7f800000 + slot - 1 : value,
  }),
  entry("add_into", addGradientsKernel, {
    small: [[195]],
    huge: [[HUGE]],
  }),
  entry("add_into", addInto, {
    small: [[195, 0], [195, 1]],
    huge: [[HUGE, 1]],
  }),
  entry("self_test", selfTestKernel, {
    small: [[]],
  }),
];

const random = [
  entry("random", randomWords, { small: [[771, 1]], huge: [[HUGE - 1, 0]] }),
  entry("random", dropout, {
    small: [[771, 2, 0.5], [772, 2, 0.5]],
    huge: [[HUGE - 1, 0, 0.5]],
  }),
  entry("random", dropoutMask, {
    small: [[771, 3, 0.5], [772, 3, 0.5]],
    huge: [[HUGE - 1, 0, 0.5]],
  }),
  entry("random", normalNoise, {
    small: [[771, 4, 1], [772, 4, 1]],
    huge: [[HUGE - 1, 0, 1]],
    // knots fall, by steps below 2^16
    input: (value, name, i) => name === "knots" ? 2 ** 23 - 4096 * i - value % 4096 : value,
  }),
];

/** Kernels that work element by element. */
export const ELEMENTS: readonly CatalogueEntry[] = [...functions, ...moves, ...engine, ...random];
