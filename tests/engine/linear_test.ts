import { assert, assertEquals, assertThrows, gpuTest } from "../harness.ts";
import { checkGradients } from "../gradcheck.ts";
import { ShapeError } from "../../engine/errors.ts";
import { groupedLinear } from "../../engine/ops/grouped_linear.ts";
import { linear } from "../../engine/ops/linear.ts";
import { matmulReference } from "../../kernels/matmul.ts";
import type { Activation } from "../../kernels/activations.ts";

const ACTIVATIONS: Activation[] = ["none", "gelu", "relu", "silu"];

for (const activation of ACTIVATIONS) {
  gpuTest(`linear() with ${activation}: values and gradients`, async (device) => {
    for (const [m, n, k] of [[1, 1, 1], [3, 5, 7], [17, 12, 8], [6, 10, 33]]) {
      const shape = { batch: 1, m, n, k, transposeB: true };
      await checkGradients({
        device,
        inputs: { x: { shape: [m, k] }, weight: { shape: [n, k] }, bias: { shape: [n] } },
        op: ({ x, weight, bias }) => linear(x, weight, bias, { activation }),
        reference: ({ x, weight, bias }) =>
          matmulReference(shape, { bias: "shared", activation }, { a: x, b: weight, bias }).y,
        step: 1e-5,
      });
    }
  });

  gpuTest(`groupedLinear() with ${activation}: values and gradients`, async (device) => {
    for (const [batch, m, n, k] of [[1, 3, 4, 5], [3, 1, 8, 12], [5, 6, 7, 4]]) {
      const shape = { batch, m, n, k, transposeB: true };
      await checkGradients({
        device,
        inputs: {
          x: { shape: [batch, m, k] },
          weight: { shape: [batch, n, k] },
          bias: { shape: [batch, n] },
        },
        op: ({ x, weight, bias }) => groupedLinear(x, weight, bias, { activation }),
        reference: ({ x, weight, bias }) =>
          matmulReference(shape, { bias: "batched", activation }, { a: x, b: weight, bias }).y,
        step: 1e-5,
      });
    }
  });
}

gpuTest("linear() without bias, on a vector and on many axes", async (device) => {
  for (const lead of [[], [5], [2, 3, 2]]) {
    const m = lead.reduce((a, b) => a * b, 1);
    const y = await device.step(() => {
      const x = device.full([...lead, 4], 1), weight = device.full([3, 4], 0.5);
      const y = linear(x, weight);
      assertEquals([...y.shape], [...lead, 3]);
      return y.data();
    });
    assertEquals([...y], Array(3 * m).fill(2));
  }
});

gpuTest("linear(): a weight used twice gets the sum of both gradients", async (device) => {
  const { dw, db } = await device.step(() => {
    const weight = device.tensor(new Float32Array([2]), [1, 1], { requiresGrad: true });
    const bias = device.tensor(new Float32Array([1]), [1], { requiresGrad: true });
    const x = device.tensor(new Float32Array([3]), [1, 1]);
    linear(linear(x, weight, bias), weight, bias).backward();
    return { dw: weight.grad!.item(), db: bias.grad!.item() };
  });
  assertEquals(await dw, 7 + 2 * 3); // y = w (w x + b) + b
  assertEquals(await db, 2 + 1);
});

gpuTest("linear() of no rows is empty and gives zero gradients", async (device) => {
  const { dw, db } = await device.step(() => {
    const weight = device.full([2, 3], 1), bias = device.full([2], 1);
    weight.requiresGrad = bias.requiresGrad = true;
    const y = linear(device.empty([0, 3]), weight, bias, { activation: "gelu" });
    assertEquals([...y.shape], [0, 2]);
    y.backward(device.empty([0, 2]));
    return { dw: weight.grad!.data(), db: bias.grad!.data() };
  });
  assertEquals([...await dw], [0, 0, 0, 0, 0, 0]);
  assertEquals([...await db], [0, 0]);
});

gpuTest("linear() keeps nothing for a backward that nobody asked for", async (device) => {
  await device.step(() => {
    const x = device.full([4, 4], 1), weight = device.full([4, 4], 1);
    assert(linear(x, weight, undefined, { activation: "gelu" }).node === null, "no node");
  });
});

gpuTest("linear() and groupedLinear() refuse shapes that do not fit", async (device) => {
  await device.step(() => {
    const at = (...shape: number[]) => device.zeros(shape);
    assertThrows(() => linear(at(2, 3), at(4, 5)), ShapeError, "needs [..., 5] for weight [4, 5]");
    assertThrows(() => linear(at(2, 5), at(4, 5), at(5)), ShapeError, "linear: bias");
    assertThrows(() => linear(at(2, 5), at(5)), ShapeError, "linear: weight");
    assertThrows(() => groupedLinear(at(2, 3, 5), at(3, 4, 5)), ShapeError, "needs [3, M, 5]");
    assertThrows(
      () => groupedLinear(at(3, 3, 5), at(3, 4, 5), at(4)),
      ShapeError,
      "groupedLinear: bias",
    );
  });
});
