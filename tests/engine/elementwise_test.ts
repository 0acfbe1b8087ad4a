import { DTypeError } from "../../engine/mod.ts";
import {
  abs,
  exp,
  gelu,
  log,
  neg,
  relu,
  sigmoid,
  silu,
  sqrt,
  square,
  tanh,
} from "../../engine/ops/elementwise.ts";
import { elementwiseReference } from "../../kernels/elementwise.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

const OPS = { relu, gelu, silu, sigmoid, tanh, exp, log, sqrt, square, abs };

for (const [name, op] of Object.entries(OPS)) {
  gpuTest(`${name}() equals a loop, forward and backward`, async (device) => {
    const positive = name === "log" || name === "sqrt";
    for (const size of [1, 31, 64]) {
      const data = testValues(size, size).map((v) => positive ? Math.abs(v) + 0.1 : 2 * v);
      await checkGradients({
        device,
        inputs: { x: { shape: [size], data } },
        op: ({ x }) => op(x),
        reference: ({ x }) => elementwiseReference(name as keyof typeof OPS, x).y,
      });
    }
  });
}

gpuTest("neg() changes signs, forward and backward", async (device) => {
  await checkGradients({
    device,
    inputs: { x: { shape: [7] } },
    op: ({ x }) => neg(x),
    reference: ({ x }) => x.map((v) => -v),
  });
});

gpuTest("sigmoid() and tanh() saturate for values whose exponentials overflow", async (device) => {
  const x = device.tensor([-1e30, -200, 200, 1e30]);
  assertClose(await sigmoid(x).data(), [0, 0, 1, 1], { atol: 1e-37 });
  assertClose(await tanh(x).data(), [-1, -1, 1, 1], { atol: 1e-7 });
});

gpuTest("gelu() is exact over its whole range, and finite far outside", async (device) => {
  const x = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) / 200); // -10 to 10
  const want = elementwiseReference("gelu", x).y;
  assertClose(await gelu(device.tensor(x)).data(), want, { atol: 6e-7, rtol: 3e-7 });
  assertEquals(await gelu(device.tensor([-1e30, 1e30])).data(), Float32Array.of(-0, 1e30));
});

gpuTest("relu() and abs() have gradient 0 at 0, and sqrt() a finite one", async (device) => {
  const x = device.tensor([0, 0, -1], undefined, { requiresGrad: true });
  abs(x).backward(device.tensor([1, 1, 1]));
  assertEquals(await x.grad!.data(), Float32Array.of(0, 0, -1));
  const w = device.tensor([0, 2, -1], undefined, { requiresGrad: true });
  relu(w).backward(device.tensor([1, 1, 1]));
  assertEquals(await w.grad!.data(), Float32Array.of(0, 1, 0));
  const z = device.tensor([0], undefined, { requiresGrad: true });
  sqrt(z).backward(device.tensor([0]));
  assertEquals(await z.grad!.item(), 0);
});

gpuTest("square() works beyond 65,535 workgroups", async (device) => {
  for (const size of [65_536 * 64 + 1, 65_536 * 256 + 4]) {
    const x = device.full([size], 3);
    x.requiresGrad = true;
    const y = square(x);
    y.backward(device.full([size], 0.5));
    assert((await y.data()).every((v) => v === 9), "a wrong value");
    assert((await x.grad!.data()).every((v) => v === 3), "a wrong gradient");
  }
});

gpuTest("elementwise ops keep shapes, also without elements, and refuse integers", (device) => {
  assertEquals(exp(device.zeros([2, 3])).shape, [2, 3]);
  assertEquals(tanh(device.zeros([])).shape, []);
  assertEquals(tanh(device.tensor(new Float32Array(0), [0, 4])).shape, [0, 4]);
  assertThrows(() => exp(device.zeros([2], "i32")), DTypeError, "exp: x is i32, needs f32 or f16");
});
