/**
 * What the compiler would refuse but plain JavaScript can still pass, and values that no type excludes: each call names
 * the function, what it got and what it needs, before anything runs.
 */
import {
  attention,
  broadcastTo,
  combineMerge,
  concat,
  type Device,
  DTypeError,
  l2Normalize,
  layerNorm,
  linear,
  permute,
  relu,
  requestDevice,
  reshape,
  ShapeError,
  slice,
  softmax,
} from "../../engine/mod.ts";
import { assertRejects, assertThrows, gpuTest, test } from "../harness.ts";

type Call = [string, (device: Device) => unknown];
// deno-lint-ignore no-explicit-any -- what these calls pass is wrong on purpose
const wrong = (value: unknown): any => value;

const KINDS: Call[] = [
  [
    "tensor(): needs numbers, arrays of them or a typed array, got string",
    (d) => d.tensor(wrong("1")),
  ],
  [
    "tensor(): needs numbers, arrays of them or a typed array, got null",
    (d) => d.tensor([wrong(null)]),
  ],
  [
    "needs a Float32Array, Float16Array, Int32Array or Uint32Array, got Float64Array",
    (d) => d.tensor(wrong(new Float64Array(1))),
  ],
  ["i32 has no gradient", (d) => d.tensor(Int32Array.of(1), [1], { requiresGrad: true })],
  ["there is no dtype f64", (d) => d.zeros([2], wrong("f64"))],
  ["relu: x must be a Tensor, got undefined", () => relu(wrong(undefined))],
  ["softmax: x must be a Tensor, got number", () => softmax(wrong(1))],
  ["reshape: x must be a Tensor, got null", () => reshape(wrong(null), [1])],
  ["slice: x must be a Tensor, got string", () => slice(wrong("x"), 0, 0, 1)],
  ["permute: x must be a Tensor, got object", () => permute(wrong({}), [0])],
  ["broadcastTo: x must be a Tensor, got number", () => broadcastTo(wrong(3), [3])],
  [
    "concat: tensor 1 must be a Tensor, got undefined",
    (d) => concat([d.zeros([1]), wrong(undefined)], 0),
  ],
  ["keep(): tensor must be a Tensor, got number", (d) => d.keep(wrong(3))],
  ["the gradient is i32, needs f32", (d) => {
    const x = d.tensor([1, 2], [2], { requiresGrad: true });
    relu(x).backward(d.zeros([2], "i32"));
  }],
];

const VALUES: Call[] = [
  ["item 0 has shape [] and item 1 [1]", (d) => d.tensor([1, [2]])],
  ["item 0 has shape [2] and item 2 [3]", (d) => d.tensor([[1, 2], [3, 4], [5, 6, 7]])],
  ["[1.5] is no shape", (d) => d.zeros([1.5])],
  ["[null] is no shape", (d) => d.zeros(wrong(null))],
  ["6 elements and cannot become [-2, -3]", (d) => reshape(d.zeros([2, 3]), [-2, -3])],
  [
    'softmax(): axis 0 does not exist in f32[] "full"; a scalar has none',
    (d) => softmax(d.zeros([]), 0),
  ],
  ["softmax(): axis 2 does not exist", (d) => softmax(d.zeros([1, 2]), 2)],
  ['axis -1 of f32[2, 0] "full" is empty', (d) => softmax(d.zeros([2, 0]))],
  [
    "layerNorm(): eps is -1, needs 0 or more",
    (d) => layerNorm(d.zeros([2]), undefined, undefined, -1),
  ],
  ["l2Normalize(): eps is NaN", (d) => l2Normalize(d.zeros([2]), NaN)],
  ["attention(): scale is NaN", (d) => attention(d.zeros([1, 2, 3]), 1, { scale: NaN })],
  [
    "linear: there is no activation tanh, needs none, gelu, relu, silu",
    (d) => linear(d.zeros([1, 2]), d.zeros([3, 2]), undefined, { activation: wrong("tanh") }),
  ],
  [
    "combineMerge(): kind is sparsemax, needs softmax or entmax15",
    (d) => combineMerge(d.zeros([1, 1, 1]), 1, d.zeros([1, 1, 1]), { kind: wrong("sparsemax") }),
  ],
];

gpuTest("arguments of a wrong kind are DTypeErrors that name them", (device) => {
  for (const [message, call] of KINDS) assertThrows(() => call(device), DTypeError, message);
});

gpuTest("values out of range are ShapeErrors that name them", (device) => {
  for (const [message, call] of VALUES) assertThrows(() => call(device), ShapeError, message);
});

gpuTest("a captured function wants values with their shapes", async (device) => {
  const captured = device.capture((x) => relu(x));
  await assertRejects(() => captured(wrong(new Float32Array(2))), DTypeError, "[values, shape]");
  captured.dispose();
});

test("requestDevice() refuses a seed or a memory budget that is none", async () => {
  const cases: [Parameters<typeof requestDevice>[0], string][] = [
    [{ seed: -1 }, "seed is -1, needs a whole number in [0, 2^53)"],
    [{ seed: NaN }, "seed is NaN"],
    [{ memoryBudget: 0 }, "memoryBudget is 0, needs bytes above 0"],
  ];
  for (const [options, message] of cases) {
    await assertRejects(() => requestDevice(options), ShapeError, message);
  }
});
