/** An op made from outside, with the public API alone: it is checked as the library's own ops are. */
import {
  DTypeError,
  expectDType,
  type Kernel,
  recordOp,
  runKernel,
  ShapeError,
  type Tensor,
} from "../../mod.ts";
import {
  ceilDiv,
  defineProgram,
  FOLDED_GROUP,
  foldWorkgroups,
  GROUP_ARGUMENTS,
  memoize,
  wgsl,
} from "../../kernels/mod.ts";
import { checkGradients } from "../gradcheck.ts";
import { assertEquals, assertThrows, gpuTest } from "../harness.ts";

const SIZE = 64;

/** y = x w, with one w for every column; or, backward, dx = g w. */
const program = memoize((_: null) =>
  defineProgram({
    name: "scale_columns",
    params: { size: "u32", n: "u32" },
    bindings: { x: "read f32", w: "read f32", y: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i < params.size) { y[i] = x[i] * w[i % params.n]; }
}`,
  })
);

/** dw = the sum of g x over the rows; with `accumulate` it is added to what is there. */
const weightProgram = memoize((_: null) =>
  defineProgram({
    name: "scale_columns.weight",
    params: { rows: "u32", n: "u32", accumulate: "u32" },
    bindings: { x: "read f32", dOut: "read f32", dw: "update f32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let column = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (column >= params.n) { return; }
  var total = 0.0;
  for (var row = 0u; row < params.rows; row++) {
    total += x[row * params.n + column] * dOut[row * params.n + column];
  }
  if (params.accumulate == 1u) { total += dw[column]; }
  dw[column] = total;
}`,
  })
);

function scale(rows: number, n: number): Kernel {
  const size = rows * n;
  return {
    program: program(null),
    params: { size, n },
    sizes: { x: size, w: n, y: size },
    workgroups: foldWorkgroups(ceilDiv(size, SIZE)),
    flops: size,
    bytes: 8 * size,
    reference: ({ x, w }) => ({
      y: Float64Array.from({ length: size }, (_, i) => x[i] * w[i % n]),
    }),
  };
}

function scaleWeight(rows: number, n: number, accumulate: 0 | 1): Kernel {
  const size = rows * n;
  return {
    program: weightProgram(null),
    params: { rows, n, accumulate },
    sizes: { x: size, dOut: size, dw: n },
    workgroups: foldWorkgroups(ceilDiv(n, SIZE)),
    flops: 2 * size,
    bytes: 8 * size,
    reference: ({ x, dOut, dw: before }) => {
      const dw = Float64Array.from({ length: n }, (_, i) => accumulate === 1 ? before[i] : 0);
      for (let i = 0; i < size; i++) dw[i % n] += x[i] * dOut[i];
      return { dw };
    },
  };
}

function scaleColumns(x: Tensor, w: Tensor): Tensor {
  expectDType("scaleColumns: x", x, "f32");
  const n = w.size, rows = x.size / n;
  const y = x.device.empty(x.shape, "f32", "scaleColumns");
  runKernel(scale(rows, n), { x, w, y });
  recordOp("scaleColumns", {
    inputs: { x, w },
    outputs: [y],
    saved: { x, w },
    backward: ({ saved, dOut, needs, target }) => {
      const { x, w } = saved;
      let dx: Tensor | undefined, dw: Tensor | undefined;
      if (needs("x")) {
        dx = dOut.device.empty(dOut.shape, "f32", "scaleColumns dx");
        runKernel(scale(rows, n), { x: dOut, w, y: dx });
      }
      if (needs("w")) {
        const place = target("w");
        if (place === undefined) dw = dOut.device.empty(w.shape, "f32", "scaleColumns dw");
        const kernel = scaleWeight(rows, n, place?.accumulate ?? 0);
        runKernel(kernel, { x, dOut, dw: place?.tensor ?? dw! });
      }
      return { x: dx, w: dw };
    },
  });
  return y;
}

gpuTest("an op of a user's own passes the gradient check of the library's ops", async (device) => {
  for (const [rows, n] of [[1, 1], [3, 7], [5, 65]]) {
    await checkGradients({
      device,
      inputs: { x: { shape: [rows, n] }, w: { shape: [n] } },
      op: ({ x, w }) => scaleColumns(x, w),
      reference: ({ x, w }) => x.map((value, i) => value * w[i % n]),
    });
  }
});

gpuTest("an op of a user's own adds to a gradient, is captured and verified", async (device) => {
  const w = device.tensor(Float32Array.of(1, 2), [2], { requiresGrad: true });
  const x = device.tensor([[1, 2], [3, 4]]);
  const both = () => {
    w.grad = null;
    for (let k = 0; k < 2; k++) scaleColumns(x, w).backward(device.full([2, 2], 1));
  };
  const { verified, unverified } = await device.verify(both);
  assertEquals([verified > 0, unverified], [true, []]);
  const step = device.capture(() => both());
  await step();
  await step();
  assertEquals(Array.from(await w.grad!.data()), [8, 12]); // twice the sums of the columns
  step.dispose();
});

gpuTest("an op of a user's own refuses what the library's ops refuse", (device) => {
  const w = device.zeros([2]);
  assertThrows(() => scaleColumns(device.zeros([2], "i32"), w), DTypeError, "scaleColumns: x");
  const y = device.zeros([4]);
  const wrong = () => runKernel(scale(2, 2), { x: device.zeros([3]), w, y });
  assertThrows(wrong, ShapeError, "scale_columns: x");
  const missing = () => runKernel(scale(2, 2), { x: y, w });
  assertThrows(missing, ShapeError, "binding y got no tensor");
});
