import { conv2d, foldBatchNorm, reshape, ShapeError } from "../../engine/mod.ts";
import { batchNormFoldReference, batchNormFoldVariant } from "../../kernels/batch_norm_fold.ts";
import { conv2dReference } from "../../kernels/conv2d.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

/** A convolution with its norm: output channels, kernel, input channels. */
const SHAPES = [[1, 1, 1], [5, 3, 3], [8, 3, 4], [70, 1, 8]];

for (const [out, size, channels] of SHAPES) {
  gpuTest(`foldBatchNorm() of [${out}, ${size}, ${size}, ${channels}]`, async (device) => {
    const statistics = {
      mean: testValues(out, 8),
      variance: testValues(out, 9).map((v) => 0.3 + v * v),
    };
    const shape = { rows: out, n: size * size * channels, eps: 1e-3 };
    const conv = {
      batch: 1,
      height: 4,
      width: 5,
      channels,
      outChannels: out,
      kernelHeight: size,
      kernelWidth: size,
      stride: 1,
      padding: 0,
    };
    await checkGradients({
      device,
      inputs: {
        weight: { shape: [out, size, size, channels] },
        gamma: { shape: [out] },
        beta: { shape: [out] },
      },
      op: ({ weight, gamma, beta }) => {
        const folded = foldBatchNorm(weight, {
          weight: gamma,
          bias: beta,
          runningMean: device.tensor(statistics.mean),
          runningVar: device.tensor(statistics.variance),
          eps: 1e-3,
        });
        const x = device.tensor(testValues(20 * channels, 7), [1, 4, 5, channels]);
        return reshape(conv2d(x, folded.weight, folded.bias), [-1]);
      },
      reference: ({ weight, gamma, beta }) => {
        const folded = batchNormFoldReference(shape, { weight, gamma, beta, ...statistics });
        const x = testValues(20 * channels, 7);
        const inputs = { x, weight: folded.y, bias: folded.bias };
        return conv2dReference(conv, { bias: "shared" }, inputs).y;
      },
    });
  });
}

gpuTest("foldBatchNorm() where only one of the two results is used", async (device) => {
  const norm = () => ({
    weight: device.tensor(Float32Array.of(2, 3), [2], { requiresGrad: true }),
    bias: device.tensor(Float32Array.of(5, 7), [2], { requiresGrad: true }),
    runningMean: device.tensor(Float32Array.of(1, 10)),
    runningVar: device.tensor(Float32Array.of(4, 1)),
    eps: 0,
  });
  const weight = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
  const first = norm();
  foldBatchNorm(weight, first).weight.backward(device.full([2, 2], 1));
  assertEquals([...await first.weight.grad!.data()], [1.5, 7]); // the sum of a row of w, times r
  assertEquals([...await first.bias.grad!.data()], [0, 0]);
  const second = norm();
  foldBatchNorm(weight, second).bias.backward(device.full([2], 1));
  assertEquals([...await second.weight.grad!.data()], [-0.5, -10]); // -m r
  assertEquals([...await second.bias.grad!.data()], [1, 1]);
  const third = norm();
  third.weight.requiresGrad = false;
  const folded = foldBatchNorm(weight, third);
  folded.bias.backward(device.full([2], 3));
  assertEquals([...await third.bias.grad!.data()], [3, 3]);
  assertEquals(third.weight.grad, null);
});

gpuTest("foldBatchNorm() adds to a weight's gradient that is there", async (device) => {
  const ones = device.full([2], 1), weight = device.full([2, 4], 3);
  weight.requiresGrad = true;
  const norm = { weight: ones, bias: ones, runningMean: ones, runningVar: ones, eps: 3 };
  for (const wanted of [0.5, 1]) {
    foldBatchNorm(weight, norm).weight.backward(device.full([2, 4], 1));
    assertEquals([...await weight.grad!.data()], Array(8).fill(wanted)); // 1 / sqrt(1 + 3), once and twice
  }
});

test("batchNormFoldVariant(): a workgroup a row on a GPU only", () => {
  assertEquals(batchNormFoldVariant(DEFAULT_TARGET), "workgroup");
  const software = { ...DEFAULT_TARGET, adapterClass: "software" } as const;
  assertEquals(batchNormFoldVariant(software), "invocation");
});

gpuTest("foldBatchNorm() refuses a norm of other channels", (device) => {
  const at = (...shape: number[]) => device.zeros(shape);
  const norm = { weight: at(4), bias: at(4), runningMean: at(4), runningVar: at(4) };
  const weight = at(4, 1, 1, 2);
  assertThrows(
    () => foldBatchNorm(weight, { ...norm, bias: at(3) }),
    ShapeError,
    "bias of the norm",
  );
  assertThrows(() => foldBatchNorm(at(0, 3), norm), ShapeError, "needs [O, ...]");
});
