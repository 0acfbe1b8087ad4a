import { assert, assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { testValues } from "../gradcheck.ts";
import { runKernel } from "./run_kernel.ts";
import {
  conv2dInputBackwardReadable,
  conv2dInputBackwardReference,
  conv2dReadable,
  conv2dReference,
} from "../../kernels/conv2d.ts";
import {
  conv2d,
  conv2dInputBackward,
  conv2dVariant,
  conv2dWeightBackward,
  conv2dWeightVariant,
} from "../../kernels/conv2d_select.ts";
import { type Conv2dShape, conv2dSizes } from "../../kernels/conv2d_shape.ts";
import { conv2dInputBackwardTiled, conv2dTiled } from "../../kernels/conv2d_tiled.ts";
import { conv2dInputBackwardWorkgroup, conv2dWorkgroup } from "../../kernels/conv2d_workgroup.ts";
import { DEFAULT_TARGET, type Target } from "../../kernels/target.ts";

const SOFTWARE: Target = { ...DEFAULT_TARGET, adapterClass: "software" };
/** The 3 x 3 convolution of ResNet-50's first stage, for a clip of 7 frames. */
const STAGE: Conv2dShape = {
  batch: 7,
  height: 56,
  width: 56,
  channels: 64,
  outChannels: 64,
  kernelHeight: 3,
  kernelWidth: 3,
  stride: 1,
  padding: 1,
};

test("conv2dVariant(): tiles by the adapter, smaller ones for little work, no vectors no tile", () => {
  const kind = (shape: Partial<Conv2dShape>, target: Target, input = false) => {
    const gathered = input ? "input_backward" : "forward";
    const variant = conv2dVariant({ ...STAGE, ...shape }, gathered, target);
    if (variant.kind === "tiled") return `${variant.tile.tm}x${variant.tile.tn}`;
    return variant.kind === "workgroup" ? `${variant.tile}` : variant.kind;
  };
  const stem = { height: 224, width: 224, channels: 4, kernelHeight: 7, kernelWidth: 7, stride: 2 };
  const last = { height: 7, width: 7, channels: 512, outChannels: 512 };
  assertEquals(kind({}, SOFTWARE), "16x16");
  assertEquals(kind({ stride: 2 }, SOFTWARE, true), "16x16");
  assertEquals(kind(stem, SOFTWARE), "16x16");
  assertEquals(kind(stem, SOFTWARE, true), "16x4");
  assertEquals(kind(last, SOFTWARE), "16x16");
  assertEquals(kind({ batch: 1, height: 14, width: 14, channels: 8 }, SOFTWARE), "8x8");
  assertEquals(kind({ batch: 1, height: 3, width: 3, outChannels: 8 }, SOFTWARE), "1x4");
  assertEquals(kind({ channels: 3 }, SOFTWARE), "readable");
  assertEquals(kind({}, DEFAULT_TARGET), "64");
  assertEquals(kind(last, DEFAULT_TARGET), "32");
  assertEquals(kind({ outChannels: 6 }, DEFAULT_TARGET), "readable");
});

test("conv2dWeightVariant(): few tiles share the pixels", () => {
  const kind = (shape: Partial<Conv2dShape>, target: Target) => {
    const variant = conv2dWeightVariant({ ...STAGE, ...shape }, target);
    if (variant.kind === "readable") return variant.kind;
    const { tile, splits } = variant;
    return `${typeof tile === "number" ? tile : `${tile.tm}x${tile.tn}`}/${splits}`;
  };
  assertEquals(kind({}, SOFTWARE), "16x16/1");
  assertEquals(kind({ channels: 16, outChannels: 16 }, SOFTWARE), "16x16/2");
  assertEquals(kind({ channels: 4 }, SOFTWARE), "16x4/1");
  assertEquals(kind({ outChannels: 30 }, SOFTWARE), "readable");
  assertEquals(kind({}, DEFAULT_TARGET), "32/4");
  assertEquals(kind({ channels: 512, outChannels: 512 }, DEFAULT_TARGET), "64/1");
  assertEquals(
    kind({ channels: 512, outChannels: 512, height: 7, width: 7 }, DEFAULT_TARGET),
    "64/1",
  );
});

test("every small convolution gets kernels that fit it, on software and on GPUs", () => {
  for (const target of [SOFTWARE, DEFAULT_TARGET]) {
    for (let channels = 1; channels <= 20; channels++) {
      for (const size of [1, 2, 3, 8]) {
        for (const [kernel, stride] of [[1, 2], [3, 1], [3, 2], [2, 3]]) {
          const shape: Conv2dShape = {
            batch: 2,
            height: size,
            width: size + 1,
            channels,
            outChannels: 24 - channels,
            kernelHeight: kernel,
            kernelWidth: kernel,
            stride,
            padding: 1,
          };
          const { product, sum } = conv2dWeightBackward(shape, 0, target);
          const kernels = [
            conv2d(shape, {}, target),
            conv2dInputBackward(shape, target),
            product,
          ];
          for (const { params, program } of [...kernels, ...(sum ? [sum] : [])]) {
            for (const [name, value] of Object.entries(params)) {
              assert(value >= 0 && value < 2 ** 32, `${program.name}: ${name} is ${value}`);
            }
          }
        }
      }
    }
  }
});

gpuTest("conv2d: more than 65,535 workgroups", async (device) => {
  const shape: Conv2dShape = {
    batch: 1,
    height: 520,
    width: 2040,
    channels: 4,
    outChannels: 4,
    kernelHeight: 1,
    kernelWidth: 1,
    stride: 1,
    padding: 0,
  };
  const { x: count } = conv2dSizes(shape);
  const values = testValues(count, 1), weight = testValues(16, 2);
  const want = conv2dReference(shape, {}, { x: values, weight }).y;
  const wantDx = conv2dInputBackwardReference(shape, { weight, dOut: values }).y;
  const tile = { tm: 1, tn: 4 };
  for (const kernel of [conv2dReadable(shape), conv2dTiled(shape, {}, tile)]) {
    assert(kernel.workgroups[1] > 1, kernel.program.variant);
    assertClose((await runKernel(device, kernel, { x: values, weight })).y, want, { atol: 1e-5 });
  }
  const inputs = [conv2dInputBackwardReadable(shape), conv2dInputBackwardTiled(shape, tile)];
  for (const kernel of inputs) {
    const { y } = await runKernel(device, kernel, { dOut: values, weight });
    assertClose(y, wantDx, { atol: 1e-5 });
  }
});

gpuTest("conv2d: classes of unequal size, of which some have no pixel", async (device) => {
  for (const [height, width] of [[1, 1], [1, 5], [5, 4]]) {
    const shape: Conv2dShape = {
      batch: 3,
      height,
      width,
      channels: 4,
      outChannels: 8,
      kernelHeight: 3,
      kernelWidth: 3,
      stride: 3,
      padding: 1,
    };
    const sizes = conv2dSizes(shape);
    const x = testValues(sizes.x, 1), weight = testValues(sizes.weight, 2);
    const dOut = testValues(sizes.y, 3);
    const want = conv2dInputBackwardReference(shape, { weight, dOut }).y;
    const tolerance = { atol: 1e-5, name: `${height} x ${width}` };
    for (const tile of [32, 64] as const) {
      const kernel = conv2dInputBackwardWorkgroup(shape, tile);
      assertClose((await runKernel(device, kernel, { dOut, weight })).y, want, tolerance);
    }
    const kernel = conv2dWorkgroup(shape, {}, 32);
    const { y } = await runKernel(device, kernel, { x, weight });
    assertClose(y, conv2dReference(shape, {}, { x, weight }).y, tolerance);
  }
});
