import { conv2d, DTypeError, relu, ShapeError } from "../../engine/mod.ts";
import type { Activation } from "../../kernels/activations.ts";
import { conv2dReference } from "../../kernels/conv2d.ts";
import { conv2dOutput, type Conv2dShape, conv2dSizes } from "../../kernels/conv2d_shape.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

/** [B, H, W, C] by [O, KH, KW] with stride and padding. */
const SHAPES = [
  [[1, 1, 1, 1], [1, 1, 1], 1, 0],
  [[2, 5, 7, 3], [5, 3, 3], 1, 1], // no multiples of 4
  [[1, 6, 5, 3], [8, 3, 3], 2, 1], // padded to 4 channels
  [[2, 5, 3, 8], [12, 1, 1], 1, 0], // a matrix product
  [[1, 5, 4, 4], [8, 1, 1], 2, 0], // classes without a tap
  [[2, 9, 7, 4], [8, 3, 3], 2, 1],
  [[1, 17, 9, 20], [36, 3, 3], 1, 1], // one more than a tile of pixels
  [[1, 13, 11, 4], [16, 7, 7], 2, 3],
  [[1, 7, 8, 4], [4, 2, 3], 3, 4], // rows of zeros only
] as const;

function shapeOf(
  [[batch, height, width, channels], kernel, stride, padding]: typeof SHAPES[number],
) {
  const [outChannels, kernelHeight, kernelWidth] = kernel;
  const shape: Conv2dShape = {
    batch,
    height,
    width,
    channels,
    outChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padding,
  };
  const { outHeight, outWidth } = conv2dOutput(shape);
  return {
    shape,
    x: { shape: [batch, height, width, channels] },
    weight: { shape: [outChannels, kernelHeight, kernelWidth, channels] },
    bias: { shape: [outChannels] },
    residual: { shape: [batch, outHeight, outWidth, outChannels] },
  };
}

for (const sizes of SHAPES) {
  gpuTest(`conv2d() of ${JSON.stringify(sizes)}: values and gradients`, async (device) => {
    const { shape, residual, ...inputs } = shapeOf(sizes);
    const { stride, padding } = shape;
    await checkGradients({
      device,
      inputs,
      op: ({ x, weight, bias }) => {
        const y = conv2d(x, weight, bias, { stride, padding });
        assertEquals([...y.shape], residual.shape);
        return y;
      },
      reference: ({ x, weight, bias }) =>
        conv2dReference(shape, { bias: "shared" }, { x, weight, bias }).y,
    });
  });
}

for (const activation of ["relu", "gelu", "silu"] as Activation[]) {
  gpuTest(`conv2d() with residual and ${activation}: values and gradients`, async (device) => {
    for (const sizes of [SHAPES[1], SHAPES[3], SHAPES[5]]) {
      const { shape, ...inputs } = shapeOf(sizes);
      const { stride, padding } = shape;
      await checkGradients({
        device,
        inputs,
        op: ({ x, weight, bias, residual }) =>
          conv2d(x, weight, bias, { stride, padding, residual, activation }),
        reference: ({ x, weight, bias, residual }) => {
          const epilogue = { bias: "shared", residual: true, activation } as const;
          return conv2dReference(shape, epilogue, { x, weight, bias, residual }).y;
        },
        step: 1e-5, // next to the kinks of ReLU
      });
    }
  });
}

gpuTest("conv2d() without bias, and of a frozen weight, passes the gradient on", async (device) => {
  const { shape, x, weight } = shapeOf(SHAPES[5]);
  const { stride, padding } = shape;
  await checkGradients({
    device,
    inputs: { x, weight: { ...weight, differentiable: false } },
    op: ({ x, weight }) => relu(conv2d(x, weight, undefined, { stride, padding })),
    reference: ({ x, weight }) => conv2dReference(shape, { activation: "relu" }, { x, weight }).y,
    step: 1e-5,
  });
});

gpuTest("conv2d(): a weight used twice gets the sum of both gradients", async (device) => {
  const values = testValues(conv2dSizes(shapeOf(SHAPES[5]).shape).x);
  const { x: { shape }, weight: { shape: weightShape } } = shapeOf(SHAPES[5]);
  const weight = device.tensor(testValues(288, 2), weightShape, { requiresGrad: true });
  const x = device.tensor(values, shape);
  const gradients = [];
  for (const times of [1, 2]) {
    weight.grad = null;
    const read = await device.step(() => {
      for (let k = 0; k < times; k++) {
        const y = conv2d(x, weight, undefined, { padding: 1 });
        y.backward(device.full(y.shape, 1));
      }
      return weight.grad!.data();
    });
    gradients.push(await read);
  }
  assertClose(gradients[1], gradients[0].map((v) => 2 * v), { atol: 1e-3, rtol: 1e-5 });
});

gpuTest("conv2d() of no image is empty and gives zero gradients", async (device) => {
  for (const size of [1, 3]) {
    const { dw, db } = await device.step(() => {
      const weight = device.full([4, size, size, 4], 1), bias = device.full([4], 1);
      weight.requiresGrad = bias.requiresGrad = true;
      const y = conv2d(device.empty([0, 5, 5, 4]), weight, bias, { activation: "relu" });
      y.backward(device.empty(y.shape));
      return { dw: weight.grad!.data(), db: bias.grad!.data() };
    });
    assert((await dw).every((v) => v === 0), "weight");
    assert((await db).every((v) => v === 0), "bias");
  }
});

gpuTest("conv2d() keeps its input only for a weight that learns", (device) => {
  const x = device.full([1, 4, 4, 4], 1), weight = device.full([4, 3, 3, 4], 1);
  x.requiresGrad = true;
  assert(conv2d(x, weight).node!.saved.x === undefined, "x is kept for a frozen weight");
  weight.requiresGrad = true;
  assert(conv2d(x, weight).node!.saved.x === x, "x is not kept");
  assert(conv2d(x.detach(), weight.detach()).node === null, "a node that nobody needs");
});

gpuTest("conv2d() refuses what does not fit", (device) => {
  const at = (...shape: number[]) => device.zeros(shape);
  const x = at(1, 5, 5, 4), weight = at(8, 3, 3, 4);
  assertThrows(() => conv2d(x, at(8, 3, 3, 3)), ShapeError, "needs [O, KH, KW, 4]");
  assertThrows(() => conv2d(at(5, 5, 4), weight), ShapeError, "needs [B, H, W, C]");
  assertThrows(() => conv2d(x, weight, at(4)), ShapeError, "conv2d: bias");
  assertThrows(() => conv2d(x, at(8, 0, 3, 4)), ShapeError, "needs sizes above 0");
  assertThrows(() => conv2d(x, at(8, 7, 3, 4)), ShapeError, "a kernel of 7 x 3 does not fit");
  assertThrows(() => conv2d(x, weight, undefined, { stride: 0 }), ShapeError, "stride is 0");
  assertThrows(() => conv2d(x, weight, undefined, { padding: 0.5 }), ShapeError, "padding 0.5");
  assertThrows(
    () => conv2d(x, weight, undefined, { residual: at(1, 5, 5, 8) }),
    ShapeError,
    "needs [1, 3, 3, 8]",
  );
  assertThrows(() => conv2d(device.zeros([1, 5, 5, 4], "u32"), weight), DTypeError, "conv2d: x");
});
