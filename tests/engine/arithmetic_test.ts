import { DTypeError, ShapeError } from "../../engine/mod.ts";
import { add, div, maximum, minimum, mul, sub } from "../../engine/ops/arithmetic.ts";
import { broadcastShapes } from "../../engine/ops/broadcast.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assert, assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

const OPS = {
  add: { op: add, loop: (a: number, b: number) => a + b },
  sub: { op: sub, loop: (a: number, b: number) => a - b },
  mul: { op: mul, loop: (a: number, b: number) => a * b },
  div: { op: div, loop: (a: number, b: number) => a / b },
  maximum: { op: maximum, loop: Math.max },
  minimum: { op: minimum, loop: Math.min },
};

/** Values away from 0, so that quotients and their differences are well-behaved. */
function awayFromZero(count: number, seed: number): Float32Array {
  return testValues(count, seed).map((v) => v < 0 ? v - 0.5 : v + 0.5);
}

/** f over two arrays broadcast to `shape`, by index arithmetic of its own. */
function broadcastLoop(
  shape: readonly number[],
  f: (a: number, b: number) => number,
  a: { values: ArrayLike<number>; shape: readonly number[] },
  b: { values: ArrayLike<number>; shape: readonly number[] },
): Float64Array {
  const size = shape.reduce((p, d) => p * d, 1);
  const at = (x: typeof a, i: number): number => {
    let index = 0, step = 1, rest = i;
    for (let k = 1; k <= shape.length; k++) {
      const d = shape[shape.length - k], own = x.shape[x.shape.length - k] ?? 1;
      if (own !== 1) index += (rest % d) * step;
      step *= own;
      rest = Math.floor(rest / d);
    }
    return x.values[index];
  };
  return Float64Array.from({ length: size }, (_, i) => f(at(a, i), at(b, i)));
}

const SHAPES: [string, number[], number[]][] = [
  ["same shape, 4 at a time", [3, 8], [3, 8]],
  ["same shape, a prime number", [17], [17]],
  ["one element", [1], [1]],
  ["scalars", [], []],
  ["a row", [5, 12], [12]],
  ["a row of odd length", [5, 7], [7]],
  ["a column", [5, 12], [5, 1]],
  ["a column of odd rows", [6, 7], [6, 1]],
  ["a scalar tensor", [2, 3, 4], []],
  ["the first operand stretched", [1, 4], [6, 4]],
  ["both stretched", [6, 1, 8], [5, 1]],
  ["a middle dimension", [2, 3, 4], [2, 1, 4]],
  ["four alternating dimensions", [2, 3, 4, 5], [3, 1, 5]],
  ["four alternating dimensions, 4 at a time", [2, 3, 2, 8], [2, 1, 2, 1]],
];

for (const [what, a, b] of SHAPES) {
  gpuTest(
    `arithmetic on [${a}] and [${b}] (${what}) equals loops, forward and backward`,
    async (device) => {
      const shape = broadcastShapes("test", a, b);
      const count = (dims: number[]) => dims.reduce((p, d) => p * d, 1);
      for (const [name, { op, loop }] of Object.entries(OPS)) {
        await checkGradients({
          device,
          inputs: {
            a: { shape: a, data: awayFromZero(count(a), 1) },
            b: { shape: b, data: awayFromZero(count(b), 2) },
          },
          op: ({ a, b }) => op(a, b),
          reference: (host) =>
            broadcastLoop(shape, loop, { values: host.a, shape: a }, { values: host.b, shape: b }),
        }).catch((error) => {
          throw new Error(`${name}: ${error.message}`, { cause: error });
        });
      }
    },
  );
}

for (const size of [1, 13, 64]) {
  gpuTest(
    `arithmetic with a number on ${size} elements equals loops, forward and backward`,
    async (device) => {
      for (const { op, loop } of Object.values(OPS)) {
        await checkGradients({
          device,
          inputs: { a: { shape: [size] } },
          op: ({ a }) => op(a, 0.7),
          reference: ({ a }) => a.map((v) => loop(v, 0.7)),
        });
      }
    },
  );
}

gpuTest(
  "maximum() and minimum() give half of the gradient to each of two equal operands",
  async (device) => {
    for (const op of [maximum, minimum]) {
      const a = device.tensor([1, 2, 3], undefined, { requiresGrad: true });
      const b = device.tensor([1, 5, 0], undefined, { requiresGrad: true });
      op(a, b).backward(device.tensor([4, 4, 4]));
      const larger = op === maximum;
      assertEquals(await a.grad!.data(), Float32Array.of(2, larger ? 0 : 4, larger ? 4 : 0));
      assertEquals(await b.grad!.data(), Float32Array.of(2, larger ? 4 : 0, larger ? 0 : 4));
    }
  },
);

gpuTest("a tensor used as both operands gets both gradients", async (device) => {
  const x = device.tensor([3, -2], undefined, { requiresGrad: true });
  mul(x, x).backward(device.tensor([1, 1]));
  assertEquals(await x.grad!.data(), Float32Array.of(6, -4));
});

gpuTest("gradients of stretched leaves add up over two backward passes", async (device) => {
  const x = device.tensor(testValues(12), [3, 4]);
  const bias = device.tensor([0, 0, 0, 0], [4], { requiresGrad: true });
  for (let k = 0; k < 2; k++) add(x, bias).backward(device.full([3, 4], 1));
  assertEquals(await bias.grad!.data(), Float32Array.of(6, 6, 6, 6));
});

gpuTest("add() works beyond 65,535 workgroups", async (device) => {
  for (const [rows, columns] of [[4_194_305, 5], [4_194_305, 4]]) {
    const x = device.full([rows, columns], 2),
      row = device.tensor([1, 2, 3, 4, 5].slice(0, columns));
    const y = await add(x, row).data();
    assert(y.every((v, i) => v === 3 + i % columns), `a wrong value in [${rows}, ${columns}]`);
  }
});

gpuTest("arithmetic on tensors without elements gives one without elements", async (device) => {
  const x = device.tensor(new Float32Array(0), [0, 3], { requiresGrad: true });
  const row = device.tensor([1, 2, 3], [3], { requiresGrad: true });
  const y = mul(x, row);
  assertEquals(y.shape, [0, 3]);
  y.backward(device.tensor(new Float32Array(0), [0, 3]));
  assertEquals(await row.grad!.data(), new Float32Array(3));
});

gpuTest(
  "arithmetic refuses shapes that do not broadcast, five dimensions and integers",
  (device) => {
    const x = device.zeros([2, 3]);
    assertThrows(() => add(x, device.zeros([2])), ShapeError, "add(): shapes [2, 3] and [2]");
    assertThrows(
      () => mul(device.zeros([2, 3, 2, 3, 2]), device.zeros([2, 1, 2, 1, 2])),
      ShapeError,
      "takes 5 dimensions, at most 4",
    );
    assertThrows(
      () => div(x, device.zeros([3], "i32")),
      DTypeError,
      "div: b is i32, needs f32 or f16",
    );
  },
);

test("broadcastShapes() aligns shapes at their ends", () => {
  assertEquals(broadcastShapes("x", [4, 1, 3], [5, 1]), [4, 5, 3]);
  assertEquals(broadcastShapes("x", [], [2]), [2]);
  assertEquals(broadcastShapes("x", [0, 1], [3]), [0, 3]);
});
