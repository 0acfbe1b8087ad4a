/** Convolutions as modules: PyTorch's order in state dicts, another one inside; the batch norm that is folded in. */
import { ShapeError } from "../../engine/mod.ts";
import { BatchNorm2d, Conv2d, MultiheadAttention } from "../../nn/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

test("Conv2d is [O, C, KH, KW] in state dicts and draws its first values in that order", () => {
  const layer = new Conv2d(3, 2, { kernel: 2 });
  assertEquals([...layer.stateShapes()], [["weight", [2, 3, 2, 2]], ["bias", [2]]]);
  const state = layer.weight.takeInitial(7, "w"), inside = layer.weight.fromState(state);
  assertEquals(layer.weight.shape, [2, 2, 2, 3]);
  // tap (1, 0) of channel 2 of output 1
  assertEquals(state[((1 * 3 + 2) * 2 + 1) * 2 + 0], inside[((1 * 2 + 1) * 2 + 0) * 3 + 2]);
  assertEquals(layer.weight.toState(inside), state);
});

gpuTest("Conv2d gives back what was loaded, before and after it is placed", async (device) => {
  const layer = new Conv2d(2, 3, { kernel: 3, bias: false });
  const first = testValues(54, 1), second = testValues(54, 2);
  layer.loadStateDict(new Map([["weight", { shape: [3, 2, 3, 3], data: first }]]));
  await layer.to(device);
  assertEquals((await layer.stateDict()).get("weight"), { shape: [3, 2, 3, 3], data: first });
  layer.loadStateDict(new Map([["weight", { shape: [3, 2, 3, 3], data: second }]]));
  assertEquals((await layer.stateDict()).get("weight")?.data, second);
  layer.dispose();
});

gpuTest("Conv2d with a batch norm, a residual and ReLU equals plain loops", async (device) => {
  const [height, width, channels, outputs] = [5, 3, 4, 4], oh = 3, ow = 2;
  const layer = new Conv2d(channels, outputs, { kernel: 3, stride: 2, bias: false });
  const norm = new BatchNorm2d(outputs, undefined, 0.01);
  const weight = testValues(outputs * channels * 9, 1),
    x = testValues(height * width * channels, 2);
  const residual = testValues(oh * ow * outputs, 3);
  const [gamma, beta, mean] = [4, 5, 6].map((seed) => testValues(outputs, seed));
  const variance = testValues(outputs, 7).map((v) => 1 + v * v);
  layer.loadStateDict(new Map([["weight", { shape: [outputs, channels, 3, 3], data: weight }]]));
  const stats = { weight: gamma, bias: beta, running_mean: mean, running_var: variance };
  norm.loadStateDict(
    new Map(Object.entries(stats).map(([name, data]) => [name, { shape: [outputs], data }])),
  );
  assertEquals(norm.namedParameters().map(([name]) => name), ["weight", "bias"]);
  await layer.to(device);
  await norm.to(device);
  const got = await device.step(() =>
    layer.forward(device.tensor(x, [1, height, width, channels]), {
      norm,
      activation: "relu",
      residual: device.tensor(residual, [1, oh, ow, outputs]),
    }).data()
  );
  const want = Float64Array.from({ length: oh * ow * outputs }, (_, i) => {
    const o = i % outputs, px = Math.floor(i / outputs) % ow, py = Math.floor(i / outputs / ow);
    let sum = 0;
    for (let c = 0; c < channels; c++) {
      for (let k = 0; k < 9; k++) {
        const iy = 2 * py - 1 + Math.floor(k / 3), ix = 2 * px - 1 + k % 3;
        if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
        sum += weight[(o * channels + c) * 9 + k] * x[(iy * width + ix) * channels + c];
      }
    }
    const scale = gamma[o] / Math.sqrt(variance[o] + 0.01);
    return Math.max(0, (sum - mean[o]) * scale + beta[o] + residual[i]);
  });
  assertClose(got, want, { atol: 1e-5 });
  layer.dispose();
  norm.dispose();
});

test("MultiheadAttention has PyTorch's names and refuses heads that do not fit", () => {
  const layer = new MultiheadAttention(8, 2);
  assertEquals(layer.namedParameters().map(([name, { shape }]) => `${name} [${shape}]`), [
    "in_proj_weight [24,8]",
    "in_proj_bias [24]",
    "out_proj.weight [8,8]",
    "out_proj.bias [8]",
  ]);
  assertThrows(() => new MultiheadAttention(8, 3), ShapeError, "not divisible by 3 heads");
  assertThrows(() => new Conv2d(0, 1), ShapeError, "Conv2d: inputs is 0");
});
