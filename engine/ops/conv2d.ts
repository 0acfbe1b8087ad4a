/**
 * Convolution with bias, residual and activation in one kernel; maths in kernels/conv2d.ts.
 *
 * y = f(pre), pre = x * w + b + r. With g = dLoss/dpre = dy f'(pre):
 *   dx = the input gradient of g and w,  dw = the weight gradient of g and x,  db = sum of g over pixels,  dr = g.
 * @module
 */
import type { Activation } from "../../kernels/activations.ts";
import type { Conv2dShape } from "../../kernels/conv2d_shape.ts";
import { gradEnabled, record } from "../autograd.ts";
import {
  conv2dInputGradient,
  conv2dOutputShape,
  conv2dWeightGradient,
  runConv2d,
} from "../conv2d.ts";
import { castTo, factors, kept } from "../cast.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, sizeOf, type Tensor } from "../tensor.ts";
import { epilogueBackward } from "./linear.ts";
import { padChannels } from "./pad_channels.ts";

/** Options of `conv2d`. */
export interface Conv2dOptions {
  /** Pixels from one position of the kernel to the next, along both axes; default 1. */
  stride?: number;
  /** Rows and columns of zeros around the image, on each side; default 0. */
  padding?: number;
  /** Added before the activation; of the result's shape. */
  residual?: Tensor;
  /** Applied to the result, in the same kernel; default none. */
  activation?: Activation;
}

/**
 * Convolution of maps that have their channels last: x [B, H, W, C] -> [B, OH, OW, O] with
 * OH = floor((H + 2 padding - KH) / stride) + 1, OW likewise.
 *
 * Fast kernels load four channels at a time. Where C is no multiple of 4 (an image's 3), x and weight are copied with
 * zeros appended; where O is none, the readable kernel computes it.
 *
 * Gradient: with g = dy f'(before the activation), p a pixel of the result and t a tap of the kernel that meets pixel q of x:
 * dx[q] = the sum over such p and t of g[p] weight[t], dweight[t] = the sum over p of g[p] x[q]^T, dbias = the sum of g.
 * @param weight [O, KH, KW, C]; PyTorch's [O, C, KH, KW] with its axes permuted
 * @param bias [O]
 * @throws {ShapeError} when shapes do not fit, or the kernel is larger than the padded image
 */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options: Conv2dOptions = {},
): Tensor {
  const { stride = 1, padding = 0, residual, activation = "none" } = options;
  expectFloat("conv2d: x", x);
  expectFloat("conv2d: weight", weight);
  const [batch, height, width, channels] = expectShape("conv2d: x", x, ["B", "H", "W", "C"]);
  const kernel = expectShape("conv2d: weight", weight, ["O", "KH", "KW", channels]);
  const [outChannels, kernelHeight, kernelWidth] = kernel;
  if (sizeOf(kernel) === 0) {
    throw new ShapeError(`conv2d: weight has shape [${kernel.join(", ")}], needs sizes above 0`);
  }
  if (!Number.isInteger(stride) || stride < 1 || !Number.isInteger(padding) || padding < 0) {
    throw new ShapeError(
      `conv2d(): stride is ${stride} and padding ${padding}; they must be integers, of 1 and 0 or more`,
    );
  }
  if (channels % 4 !== 0 && outChannels % 4 === 0) {
    const multiple = 4 * Math.ceil(channels / 4);
    return conv2d(padChannels(x, multiple), padChannels(weight, multiple), bias, options);
  }
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
  const outShape = conv2dOutputShape(shape);
  if (outShape[1] < 1 || outShape[2] < 1) {
    throw new ShapeError(
      `conv2d(): a kernel of ${kernelHeight} x ${kernelWidth} does not fit into images of ` +
        `${height} x ${width} pixels with padding ${padding}`,
    );
  }
  if (bias !== undefined) {
    expectFloat("conv2d: bias", bias);
    expectShape("conv2d: bias", bias, [outChannels]);
  }
  if (residual !== undefined) {
    expectFloat("conv2d: residual", residual);
    expectShape("conv2d: residual", residual, outShape);
  }
  const inputs = { x, weight, bias, residual };
  const { device } = x, xType = x.dtype, weightType = weight.dtype;
  const read = factors("conv2d", { x, weight });
  const readType = read.x.dtype;
  const y = device.empty(outShape, readType, "conv2d");
  const wanted = gradEnabled() && Object.values(inputs).some((input) => input?.requiresGrad);
  const keepPre = wanted && (activation === "gelu" || activation === "silu");
  const pre = keepPre ? device.empty(outShape, readType, `conv2d before ${activation}`) : undefined;
  runConv2d(shape, {
    activation,
    keepPre,
    bias: bias === undefined ? "none" : "shared",
    residual: residual !== undefined,
  }, { ...read, y, ...(bias && { bias }), ...(residual && { residual }), ...(pre && { pre }) });
  record("conv2d", {
    inputs,
    outputs: [y],
    // x serves the weight's gradient alone: a frozen layer does not keep it
    saved: {
      x: weight.requiresGrad ? kept(x, read.x) : undefined,
      weight: kept(weight, read.weight),
      pre: activation === "relu" ? y : pre,
    },
    backward: (context) => {
      const { saved, needs, target } = context;
      const rows = sizeOf(outShape.slice(0, 3));
      const sums = { batch: 1, rows, columns: outChannels, biasShape: [outChannels] };
      const { g, dBias } = epilogueBackward(sums, activation, context);
      return {
        x: needs("x")
          ? conv2dInputGradient(shape, g, castTo(saved.weight, readType), xType)
          : undefined,
        weight: needs("weight")
          ? conv2dWeightGradient(
            shape,
            { x: castTo(saved.x!, readType), dOut: g },
            weightType,
            target("weight"),
          )
          : undefined,
        bias: dBias,
        residual: needs("residual") ? g : undefined,
      };
    },
  });
  return y;
}
