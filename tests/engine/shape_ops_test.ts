import { DTypeError, ShapeError, type Tensor } from "../../engine/mod.ts";
import { broadcastTo, concat, permute, slice } from "../../engine/ops/shape_ops.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assert, assertEquals, assertThrows, gpuTest } from "../harness.ts";

/** Values are only moved: what may differ is the rounding of the differences in float64. */
const MOVED = { atol: 1e-9, rtol: 0 };

/** Calls `visit` with every position of a shape, in row-major order. */
function positions(shape: readonly number[], visit: (position: number[]) => void): void {
  const size = shape.reduce((a, b) => a * b, 1);
  for (let i = 0; i < size; i++) {
    let rest = i;
    const position = shape.map(() => 0);
    for (let k = shape.length - 1; k >= 0; k--) {
      position[k] = rest % shape[k];
      rest = Math.floor(rest / shape[k]);
    }
    visit(position);
  }
}

function indexOf(shape: readonly number[], position: readonly number[]): number {
  return position.reduce((index, j, k) => index * shape[k] + j, 0);
}

/** Builds an array of `shape` whose entry at a position is x at `from(position)`. */
function gathered(
  shape: readonly number[],
  x: ArrayLike<number>,
  xShape: readonly number[],
  from: (position: number[]) => number[],
): Float64Array {
  const y: number[] = [];
  positions(shape, (position) => y.push(x[indexOf(xShape, from(position))]));
  return Float64Array.from(y);
}

const SLICES: [number[], number, number, number][] = [
  [[7], 0, 2, 5],
  [[5, 8], 1, 4, 8],
  [[5, 8], 1, 3, 4],
  [[5, 8], 0, 1, 3],
  [[2, 5, 4], 1, 0, 1],
  [[2, 5, 3], -2, 1, 5],
  [[1, 1], 0, 0, 1],
  [[3, 4], 1, 2, 2],
];

for (const [shape, axis, start, end] of SLICES) {
  gpuTest(
    `slice() of [${shape}], axis ${axis}, [${start}, ${end}) equals a loop, both ways`,
    async (device) => {
      const k = axis < 0 ? axis + shape.length : axis;
      const cut = shape.map((d, i) => i === k ? end - start : d);
      await checkGradients({
        device,
        inputs: { x: { shape } },
        op: ({ x }) => slice(x, axis, start, end),
        reference: ({ x }) =>
          gathered(cut, x, shape, (at) => at.map((j, i) => i === k ? j + start : j)),
        ...MOVED,
      });
    },
  );
}

const CONCATS: [number[][], number][] = [
  [[[3], [5]], 0],
  [[[2, 1, 8], [2, 3, 8]], 1],
  [[[2, 1, 3], [2, 4, 3]], 1],
  [[[2, 4], [2, 8], [2, 12]], -1],
  [[[2, 4], [2, 3]], 1],
  [[[1, 4], [0, 4], [2, 4]], 0],
  [[[3, 2]], 0],
  [Array.from({ length: 9 }, (_, i) => [2, i + 1]), 1],
];

for (const [shapes, axis] of CONCATS) {
  gpuTest(
    `concat() of ${JSON.stringify(shapes)} along ${axis} equals a loop, both ways`,
    async (device) => {
      const k = axis < 0 ? axis + shapes[0].length : axis;
      const total = shapes.reduce((sum, s) => sum + s[k], 0);
      const whole = shapes[0].map((d, i) => i === k ? total : d);
      await checkGradients({
        device,
        inputs: Object.fromEntries(shapes.map((shape, i) => [`x${i}`, { shape }])),
        op: (inputs) => concat(shapes.map((_, i) => inputs[`x${i}`]), axis),
        reference: (host) => {
          const y = new Float64Array(whole.reduce((a, b) => a * b, 1));
          let begin = 0;
          shapes.forEach((shape, i) => {
            positions(shape, (at) => {
              const to = at.map((j, d) => d === k ? j + begin : j);
              y[indexOf(whole, to)] = host[`x${i}`][indexOf(shape, at)];
            });
            begin += shape[k];
          });
          return y;
        },
        ...MOVED,
      });
    },
  );
}

const PERMUTATIONS: [number[], number[]][] = [
  [[5, 7], [1, 0]],
  [[4, 8], [1, 0]],
  [[33, 65], [1, 0]],
  [[2, 3, 4], [0, 2, 1]],
  [[2, 3, 4], [2, 0, 1]],
  [[2, 3, 8], [1, 0, 2]],
  [[1, 3, 1, 2], [2, 3, 0, 1]],
  [[3, 1, 4], [1, 0, 2]],
  [[2, 3, 2, 3, 4], [4, 3, 2, 1, 0]],
  [[2, 3, 2, 3, 2, 2], [4, 5, 3, 2, 1, 0]],
  [[6], [0]],
  [[], []],
];

for (const [shape, order] of PERMUTATIONS) {
  gpuTest(`permute() of [${shape}] by [${order}] equals a loop, both ways`, async (device) => {
    await checkGradients({
      device,
      inputs: { x: { shape } },
      op: ({ x }) => permute(x, order),
      reference: ({ x }) =>
        gathered(order.map((k) => shape[k]), x, shape, (at) => {
          const from: number[] = [];
          order.forEach((k, i) => from[k] = at[i]);
          return from;
        }),
      ...MOVED,
    });
  });
}

const STRETCHES: [number[], number[]][] = [
  [[1, 1, 8], [3, 1, 8]],
  [[5], [2, 3, 5]],
  [[3, 1], [2, 3, 4]],
  [[], [7]],
  [[2, 1, 3, 1], [2, 2, 3, 5]],
];

for (const [from, to] of STRETCHES) {
  gpuTest(`broadcastTo() from [${from}] to [${to}] equals a loop, both ways`, async (device) => {
    const missing = to.length - from.length;
    await checkGradients({
      device,
      inputs: { x: { shape: from } },
      op: ({ x }) => broadcastTo(x, to),
      reference: ({ x }) =>
        gathered(to, x, from, (at) => from.map((d, k) => d === 1 ? 0 : at[k + missing])),
    });
  });
}

gpuTest("slice, concat, permute and broadcastTo keep integers bit for bit", async (device) => {
  const x = device.tensor(Uint32Array.of(1, 0x7fc00001, 3, 0xffffffff, 5, 6), [2, 3]);
  const slices = await slice(x, 1, 0, 2).data();
  assertEquals(slices, Uint32Array.of(1, 0x7fc00001, 0xffffffff, 5));
  assertEquals(await permute(x, [1, 0]).data(), Uint32Array.of(1, 0xffffffff, 0x7fc00001, 5, 3, 6));
  const joined = await concat([x, x], 1).data();
  assertEquals(joined[1], 0x7fc00001);
  assertEquals(
    await broadcastTo(device.tensor(Int32Array.of(-7)), [3]).data(),
    Int32Array.of(-7, -7, -7),
  );
});

gpuTest("shape ops work beyond 65,535 workgroups", async (device) => {
  const n = 65_536 * 64 + 3;
  const values = new Float32Array(2 * n).map((_, i) => i % 8191);
  const holds = async (y: Tensor, want: (i: number) => number) => {
    assert((await y.data()).every((v, i) => v === want(i)), "a wrong value");
  };
  const x = device.tensor(values, [2, n]);
  await holds(slice(x, 1, 1, n), (i) => values[i < n - 1 ? i + 1 : i + 2]);
  await holds(permute(x, [1, 0]), (i) => values[i % 2 * n + (i >> 1)]);
  await holds(concat([x, device.tensor([-1, -2], [2, 1])], 1), (i) => {
    const row = i <= n ? 0 : 1, j = i - row * (n + 1);
    return j === n ? -1 - row : values[row * n + j];
  });
});

gpuTest("slices that overlap add up in the gradient", async (device) => {
  const x = device.tensor(testValues(4), [4], { requiresGrad: true });
  concat([slice(x, 0, 0, 3), slice(x, 0, 1, 4)], 0).backward(device.full([6], 1));
  assertEquals(await x.grad!.data(), Float32Array.of(1, 2, 2, 1));
});

gpuTest("shape ops name what does not fit", (device) => {
  const x = device.zeros([2, 3]);
  assertThrows(() => slice(x, 1, 2, 4), ShapeError, "slice(): [2, 4) does not lie within axis 1");
  assertThrows(() => slice(x, 2, 0, 1), ShapeError, "slice(): axis 2 does not exist");
  assertThrows(() => concat([], 0), ShapeError, "concat(): needs at least one tensor");
  assertThrows(
    () => concat([x, device.zeros([3, 3])], 1),
    ShapeError,
    "concat(): tensor 1 is [3, 3]",
  );
  assertThrows(() => concat([x, device.zeros([2, 3], "i32")], 1), DTypeError, "tensor 1 is i32");
  assertThrows(() => permute(x, [0, 0]), ShapeError, "permute(): [0, 0] does not name each axis");
  assertThrows(
    () => permute(device.zeros([2, 2, 2, 2, 2, 2]), [5, 4, 3, 2, 1, 0]),
    ShapeError,
    "into 6 dimensions, at most 5",
  );
  assertThrows(() => broadcastTo(x, [3, 3]), ShapeError, "broadcastTo(): shapes [2, 3] and [3, 3]");
  assertThrows(() => broadcastTo(x, [1, 3]), ShapeError, "does not stretch to [1, 3]");
});
