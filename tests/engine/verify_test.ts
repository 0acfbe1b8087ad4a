import { run } from "../../engine/dispatch.ts";
import { addGradients } from "../../engine/gradients.ts";
import {
  type Device,
  GpuError,
  linear,
  MismatchError,
  OutOfMemoryError,
  softmax,
  type Tensor,
} from "../../engine/mod.ts";
import { compare } from "../../engine/verify.ts";
import { addGradientsKernel } from "../../kernels/add_into.ts";
import { columnSum } from "../../kernels/column_sum.ts";
import { fill } from "../../kernels/fill.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import { layerNormPerInvocation } from "../../kernels/layer_norm.ts";
import { matmulTiled } from "../../kernels/matmul_tiled.ts";
import { VisionTransformerMoe } from "../../models/moe_vit.ts";
import { crossEntropy } from "../../nn/losses.ts";
import { AdamW } from "../../nn/optim/adamw.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertEquals, assertRejects, gpuTest, OWN_DEVICE, test } from "../harness.ts";

/** The kernel with a mistake in its shader. */
function mistaken(kernel: Kernel, from: string, to: string): Kernel {
  const code = kernel.program.code.replace(from, to);
  assert(code !== kernel.program.code, `"${from}" is not in the shader`);
  return { ...kernel, program: { ...kernel.program, code } };
}

const SHAPE = { batch: 1, m: 8, n: 8, k: 12 };

function product(device: Device, a: Tensor, b: Tensor, kernel: Kernel): Tensor {
  const y = device.empty([SHAPE.m, SHAPE.n]);
  run(kernel, { a, b, y });
  return y;
}

gpuTest("verify() names a wrong fast variant in the middle of a step", async (device) => {
  const a = device.tensor(testValues(96, 1), [8, 12]),
    b = device.tensor(testValues(96, 2), [12, 8]);
  const right = matmulTiled(SHAPE, {}, { tm: 4, tn: 4 });
  const wrong = mistaken(right, "k + 4u <= k_end", "k + 8u <= k_end"); // the last four steps are lost
  const step = (kernel: Kernel) => () => {
    const first = softmax(product(device, a, b, right));
    const second = product(device, a, b, kernel); // this line
    return addGradients(softmax(second), first);
  };
  assertEquals(await device.verify(step(right)), { verified: 5, unverified: [] });
  const { stack = "" } = new Error();
  const error = await device.verify(step(wrong)).catch((e) => e);
  assert(error instanceof MismatchError, String(error));
  const { mismatch, message } = error;
  assertEquals(mismatch.kernel, "matmul[tiled 4x4]");
  assertEquals([mismatch.output, mismatch.index], ["y", 0]);
  const at = [a, b].map((t) => t.data()), [x, w] = await Promise.all(at);
  const sum = (steps: number) =>
    Array.from({ length: steps }, (_, l) => x[l] * w[8 * l]).reduce((p, q) => p + q);
  assert(Math.abs(mismatch.got - sum(8)) < 1e-6 && Math.abs(mismatch.want - sum(12)) < 1e-6);
  // The place is in this test: in Deno the very file, in Chrome the bundle that holds it.
  const file = /(\w+)\.\w+:\d+/.exec(stack)![1];
  assert(mismatch.place.includes(file), `${mismatch.place} is not in ${file}`);
  for (const part of ["dispatch 3 of the step", "y[0, 0] is", "64 of 64", "m 8", mismatch.place]) {
    assert(message.includes(part), `${part} is not in: ${message}`);
  }
});

gpuTest("verify() finds one wrong element, and runs the step to its end", async (device) => {
  const x = device.tensor(testValues(195, 3));
  const wrong = mistaken(
    addGradientsKernel(195),
    "y[i] = a[i] + b[i];",
    `
    y[i] = a[i] + b[i] + select(0.0, 0.001, i == 130u);`,
  );
  let sum = x;
  const step = () => {
    const y = device.empty([195]);
    run(wrong, { a: x, b: x, y });
    sum = device.keep(addGradients(y, y));
  };
  const error = await device.verify(step).catch((e) => e);
  assert(error instanceof MismatchError, String(error));
  assertEquals([error.mismatch.output, error.mismatch.index], ["y", 130]);
  assert(error.message.includes("1 of 195 elements"), error.message);
  assertEquals((await sum.data())[1], 4 * (await x.data())[1]);
});

gpuTest("verify() says which kernels have no plain loop", async (device) => {
  const { reference: _, ...silent } = addGradientsKernel(3);
  const x = device.tensor([1, 2, 3]);
  const result = await device.verify(() => {
    const y = device.empty([3]);
    run(silent, { a: x, b: x, y });
    return softmax(y);
  });
  assertEquals(result, { verified: 1, unverified: ["add_gradients[readable]"] });
});

gpuTest(
  "verify() rejects with the error of a step that fails, and leaks nothing",
  async (device) => {
    const x = device.tensor([1, 2, 3]);
    const broken = mistaken(addGradientsKernel(3), "a[i] + b[i]", "a[i] + nothing");
    await device.sync();
    const { liveBuffers } = device.memory;
    await assertRejects(
      () =>
        device.verify(() => {
          const y = device.empty([3]);
          run(broken, { a: addGradients(x, x), b: x, y });
          return softmax(y).data();
        }),
      GpuError,
      "does not compile",
    );
    assertEquals(device.memory.liveBuffers, liveBuffers);
    assertEquals(await device.verify(() => softmax(x)), { verified: 1, unverified: [] });
  },
  OWN_DEVICE,
);

gpuTest(
  "verify() has nothing to say of a training step of the mixture of experts",
  async (device) => {
    const model = new VisionTransformerMoe({
      imgSize: 8,
      patchSize: 4,
      inChans: 1,
      embedDim: 16,
      depth: 2,
      numHeads: 2,
      numClasses: 10,
      dropRate: 0.1,
      dropPathRate: 0.2,
      moeLayers: [1],
      coreExperts: 2,
      univExperts: 4,
    });
    await model.to(device);
    const images = device.tensor(testValues(256, 4), [4, 1, 8, 8]);
    const labels = device.tensor(Uint32Array.of(1, 2, 3, 9));
    const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3, maxGradNorm: 1 });
    const step = () => {
      optimizer.zeroGrad();
      crossEntropy(model.forward(images), labels).backward();
      optimizer.step();
    };
    const { dispatches } = device.stats;
    for (let i = 0; i < 2; i++) {
      const { verified, unverified } = await device.verify(step);
      assert(verified > 120, `${verified} dispatches`);
      assertEquals(unverified, []);
    }
    assert(device.stats.dispatches - dispatches > 240);
  },
  { timeout: 240 },
);

gpuTest("a step over the budget is refused before any part of it runs", async (device) => {
  const x = device.tensor([1, 2, 3]);
  await device.sync();
  const { dispatches } = device.stats, { reservedBytes } = device.memory;
  const step = () => {
    for (let i = 0; i < 40; i++) softmax(x); // more than the part that runs at once
    return device.zeros([2 ** 19]);
  };
  for (const way of ["verify", "profile", "detectAnomaly"] as const) {
    await assertRejects(() => device[way](step), OutOfMemoryError, "full [524288]");
    assertEquals([device.stats.dispatches, device.memory.reservedBytes], [
      dispatches,
      reservedBytes,
    ], way);
  }
  await device.sync();
  assertEquals(await device.step(() => x.data()), Float32Array.of(1, 2, 3));
}, { device: { memoryBudget: 2 ** 20 } });

gpuTest("verify() compares what is computed from what is given", async (device) => {
  // A wrong op upstream must not make the right ones after it look wrong.
  const x = device.tensor(testValues(48, 5), [4, 12], { requiresGrad: true });
  const w = device.tensor(testValues(96, 6), [8, 12], { requiresGrad: true });
  const { verified } = await device.verify(() => {
    linear(x, w).backward(device.full([4, 8], 1));
  });
  assert(verified >= 3, `${verified}`);
});

const TOLERANCE = 1e-4;

test("compare() forgives what cancels, by the plain loop's own sensitivity", () => {
  const kernel = columnSum(4, 1);
  const x = Float32Array.of(1e6, 1, -1e6, -1); // the sum is 0, in f32 as well as it can be
  assertEquals(compare(kernel, { x }, { y: Float32Array.of(0.06) }, TOLERANCE), null);
  assertEquals(compare(kernel, { x }, { y: Float32Array.of(60) }, TOLERANCE)?.got, 60);
});

test("compare() takes NaN and infinity for wrong where they are not due", () => {
  const kernel = addGradientsKernel(2), a = Float32Array.of(1, 3e38);
  const judge = (...y: number[]) =>
    compare(kernel, { a, b: a }, { y: Float32Array.from(y) }, TOLERANCE)?.index ?? null;
  assertEquals(judge(2, Infinity), null); // beyond f32
  assertEquals(judge(NaN, Infinity), 0);
  assertEquals(judge(2, 3e38), 1);
});

test("compare() is exact with integers", () => {
  const kernel = fill(2, 7);
  assertEquals(compare(kernel, {}, { y: Uint32Array.of(7, 7) }, TOLERANCE), null);
  assertEquals(compare(kernel, {}, { y: Uint32Array.of(7, 8) }, TOLERANCE)?.index, 1);
});

test("compare() measures an update by what it changed, pairs by their own kind", () => {
  const sum = columnSum(1, 1, { accumulate: 1 }), y = [1000], x = [1e-2];
  assertEquals(compare(sum, { x, y }, { y: Float32Array.of(1000.01) }, TOLERANCE), null);
  assertEquals(compare(sum, { x, y }, { y: Float32Array.of(1000) }, TOLERANCE)?.index, 0);
  // mean and 1 / deviation of a row of large numbers, (1000, 1): the second is judged beside its like
  const norm = layerNormPerInvocation({ rows: 1, n: 2, eps: 1e-6, weight: false, bias: false });
  const row = Float32Array.of(1001, 999);
  const stats = (...s: number[]) => ({ y: Float32Array.of(1, -1), stats: Float32Array.from(s) });
  assertEquals(compare(norm, { x: row }, stats(1000, 1), TOLERANCE), null);
  assertEquals(compare(norm, { x: row }, stats(1000, 1.01), TOLERANCE)?.index, 1);
});
