import { DTypeError, ShapeError } from "../../engine/mod.ts";
import { max, mean, sum } from "../../engine/ops/reduce.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

const LOOPS = {
  sum: { op: sum, loop: (group: number[]) => group.reduce((a, b) => a + b, 0) },
  mean: { op: mean, loop: (group: number[]) => group.reduce((a, b) => a + b, 0) / group.length },
  max: { op: max, loop: (group: number[]) => group.reduce((a, b) => Math.max(a, b)) },
};

/** Collects the entries of each output by their position and reduces them. */
function reduceLoop(
  x: ArrayLike<number>,
  shape: readonly number[],
  axes: readonly number[],
  f: (group: number[]) => number,
): Float64Array {
  const groups = new Map<number, number[]>();
  for (let i = 0; i < x.length; i++) {
    let rest = i, key = 0, step = 1;
    for (let k = shape.length - 1; k >= 0; k--) {
      if (!axes.includes(k)) {
        key += (rest % shape[k]) * step;
        step *= shape[k];
      }
      rest = Math.floor(rest / shape[k]);
    }
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key)!.push(x[i]);
  }
  return Float64Array.from([...groups].sort(([a], [b]) => a - b), ([, group]) => f(group));
}

const CASES: [shape: number[], axes: number[]][] = [
  [[7], [0]],
  [[1], [0]],
  [[], []],
  [[5, 8], [1]],
  [[5, 7], [1]],
  [[5, 8], [0]],
  [[5, 7], [0]],
  [[5, 8], [0, 1]],
  [[2, 3, 4], [1]],
  [[2, 3, 5], [0, 2]],
  [[3, 2, 1, 4], [0, 2]],
  [[2, 3, 2, 3, 2], [0, 2, 4]],
  [[3, 1], [1]],
];

for (const [shape, axes] of CASES) {
  gpuTest(
    `sum, mean and max of [${shape}] over axes [${axes}] equal loops, forward and backward`,
    async (device) => {
      for (const [name, { op, loop }] of Object.entries(LOOPS)) {
        await checkGradients({
          device,
          inputs: { x: { shape } },
          op: ({ x }) => op(x, axes),
          reference: ({ x }) => reduceLoop(x, shape, axes, loop),
        }).catch((error) => {
          throw new Error(`${name}: ${error.message}`, { cause: error });
        });
      }
    },
  );
}

// Long enough for several passes on every class of adapter, with and without vec4 loads.
for (
  const [shape, axes] of [[[30_011], [0]], [[40_000], [0]], [[9001, 3], [0]], [[9001, 4], [0]]]
) {
  gpuTest(
    `sum, mean and max of [${shape}] over axis 0 take several passes and equal loops`,
    async (device) => {
      const x = testValues(shape.reduce((a, b) => a * b, 1), 5);
      const xGpu = device.tensor(x, shape);
      for (const { op, loop } of Object.values(LOOPS)) {
        // rounding errors, added in short chains and a tree, stay below 1e-7 of sum |x|
        assertClose(await op(xGpu, axes).data(), reduceLoop(x, shape, axes, loop), {
          atol: 1e-7 * x.length,
        });
      }
    },
  );
}

gpuTest(
  "reductions with more outputs than 65,535 workgroups can hold are whole",
  async (device) => {
    const rows = 4_200_001;
    for (const columns of [1, 3]) {
      const x = device.full([rows, columns], 0.5);
      assertEquals(
        (await sum(x, 1).data()).every((v) => v === 0.5 * columns),
        true,
      );
    }
    assertEquals(await sum(device.full([rows * 4], 1)).item(), rows * 4);
  },
);

gpuTest("sum() is equal bit for bit from run to run", async (device) => {
  const x = device.tensor(testValues(100_003, 3));
  assertEquals(await sum(x).item(), await sum(x).item());
});

gpuTest(
  "keepDims keeps reduced axes with length 1, and negative axes count from the end",
  (device) => {
    const x = device.zeros([2, 3, 4]);
    assertEquals(sum(x, [0, -1], { keepDims: true }).shape, [1, 3, 1]);
    assertEquals(mean(x, -2).shape, [2, 4]);
    assertEquals(max(x).shape, []);
    assertEquals(sum(x, []).shape, [2, 3, 4]);
  },
);

gpuTest("max() shares its gradient evenly among equal maxima", async (device) => {
  const x = device.tensor([[1, 3, 3, 0], [2, 2, 2, 2]], undefined, { requiresGrad: true });
  max(x, 1).backward(device.tensor([6, 8]));
  assertEquals(await x.grad!.data(), Float32Array.of(0, 3, 3, 0, 2, 2, 2, 2));
});

gpuTest("max() of very negative values is their maximum", async (device) => {
  assertEquals(await max(device.tensor([-3e38, -2.5e38])).item(), Math.fround(-2.5e38));
});

gpuTest("sum() over nothing is 0; mean() and max() over nothing are refused", async (device) => {
  const x = device.tensor(new Float32Array(0), [0, 2]);
  assertEquals(await sum(x, 0).data(), Float32Array.of(0, 0));
  assertEquals(mean(x, 1).shape, [0]);
  assertThrows(() => mean(x, 0), ShapeError, "mean(): f32[0, 2]");
  assertThrows(() => max(x), ShapeError, "max(): f32[0, 2]");
});

gpuTest("reductions refuse axes that do not exist, repeated axes and integers", (device) => {
  const x = device.zeros([2, 3]);
  assertThrows(() => sum(x, 2), ShapeError, "sum(): axis 2 does not exist");
  assertThrows(() => sum(x, [0, -2]), ShapeError, "sum(): axis 0 is given twice in [0, -2]");
  assertThrows(() => mean(x, 0.5), ShapeError, "axis 0.5");
  assertThrows(() => max(device.zeros([2], "i32")), DTypeError, "max: x is i32");
});
