/**
 * Convolution and its two gradients, the kernels to read first: one invocation computes one element.
 *
 * Math    y[b, q, r, o] = f(bias[o] + residual[b, q, r, o] + sum over i, j, c of x[b, s q + i - p, s r + j - p, c] w[o, i, j, c])
 *         with stride s and padding p; what lies outside x is 0. Every triple (pixel of y, tap (i, j), pixel of x) with
 *           row of x = s (row of y) + i - p                                                                       (1)
 *         multiplies once forward, and so once in each gradient. With g = dLoss/dy before bias and activation:
 *           dx[b, h, v, c] = sum over the (q, i), (r, j) that meet (h, v) in (1), and over o, of g[b, q, r, o] w[o, i, j, c]
 *           dw[o, i, j, c] = sum over b, q, r of g[b, q, r, o] x[b, s q + i - p, s r + j - p, c]
 *         Both gather: the element that is computed asks which others it meets. To scatter (for each pixel of y add to
 *         the pixels of x it came from) would need atomic additions, and give other bits from run to run.
 * Stride  For dx, (1) has a solution q only for taps with (h + p - i) divisible by s. A transposed convolution made by
 *         spreading g with zeros would multiply those zeros; here they are never met.
 * Shapes  x, dx [B, H, W, C]; w, dw [O, KH, KW, C]; y, g [B, OH, OW, O]; bias [O]; residual as y.
 * Work    One invocation an element, neighbours own neighbouring channels.
 * Memory  Two loads a multiply-add, as in matmul.ts. conv2d_tiled.ts and conv2d_weight_tiled.ts reuse what they load from
 *         registers, conv2d_workgroup.ts and conv2d_weight_workgroup.ts from workgroup memory.
 * Index   Rows and columns outside are found by one comparison: as u32, numbers below 0 are above every size.
 * @module
 */
import { activationReference } from "./activations.ts";
import {
  conv2dCost,
  type Conv2dEpilogue,
  conv2dInputCost,
  conv2dOutput,
  type Conv2dShape,
  conv2dSizes,
  conv2dWeightCost,
} from "./conv2d_shape.ts";
import {
  ceilDiv,
  defineProgram,
  foldWorkgroups,
  type Kernel,
  memoize,
  type Values,
} from "./kernel.ts";
import {
  epilogueBindings,
  type EpilogueConfig,
  epilogueConfig,
  epilogueFunction,
} from "./matmul_shape.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

const PARAMS = {
  count: "u32",
  batch: "u32",
  height: "u32",
  width: "u32",
  channels: "u32",
  out_height: "u32",
  out_width: "u32",
  out_channels: "u32",
  kernel_height: "u32",
  kernel_width: "u32",
  stride: "u32",
  padding: "u32",
  accumulate: "u32",
} as const;

function paramsOf(shape: Conv2dShape, count: number, accumulate: 0 | 1 = 0) {
  const { outHeight, outWidth } = conv2dOutput(shape);
  return {
    count,
    batch: shape.batch,
    height: shape.height,
    width: shape.width,
    channels: shape.channels,
    out_height: outHeight,
    out_width: outWidth,
    out_channels: shape.outChannels,
    kernel_height: shape.kernelHeight,
    kernel_width: shape.kernelWidth,
    stride: shape.stride,
    padding: shape.padding,
    accumulate,
  };
}

const forward = memoize((config: EpilogueConfig) =>
  defineProgram({
    name: "conv2d",
    params: PARAMS,
    bindings: { x: "read f32", weight: "read f32", ...epilogueBindings(config, "f32") },
    workgroupSize: SIZE,
    code: wgsl`
${epilogueFunction(config, "f32")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let o = own % params.out_channels;
  let pixel = own / params.out_channels;
  let column = pixel % params.out_width;
  let row = pixel / params.out_width % params.out_height;
  let image = pixel / params.out_width / params.out_height;
  var sum = 0.0;
  for (var i = 0u; i < params.kernel_height; i++) {
    let h = params.stride * row + i - params.padding;
    if (h >= params.height) { continue; }
    for (var j = 0u; j < params.kernel_width; j++) {
      let v = params.stride * column + j - params.padding;
      if (v >= params.width) { continue; }
      let x_at = ((image * params.height + h) * params.width + v) * params.channels;
      let w_at = ((o * params.kernel_height + i) * params.kernel_width + j) * params.channels;
      for (var c = 0u; c < params.channels; c++) { sum += x[x_at + c] * weight[w_at + c]; }
    }
  }
  store(own, o, sum);
}`,
  })
);

const inputBackward = memoize((_: Record<string, never>) =>
  defineProgram({
    name: "conv2d.input_backward",
    params: PARAMS,
    bindings: { dOut: "read f32", weight: "read f32", y: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let c = own % params.channels;
  let pixel = own / params.channels;
  let v = pixel % params.width;
  let h = pixel / params.width % params.height;
  let image = pixel / params.width / params.height;
  var sum = 0.0;
  for (var i = 0u; i < params.kernel_height; i++) {
    let across_rows = h + params.padding - i; // stride times the row of y that meets h at tap i
    let row = across_rows / params.stride;
    if (row >= params.out_height || across_rows % params.stride != 0u) { continue; }
    for (var j = 0u; j < params.kernel_width; j++) {
      let across_columns = v + params.padding - j;
      let column = across_columns / params.stride;
      if (column >= params.out_width || across_columns % params.stride != 0u) { continue; }
      let g_at = ((image * params.out_height + row) * params.out_width + column) * params.out_channels;
      let w_at = (i * params.kernel_width + j) * params.channels + c;
      let w_row = params.kernel_height * params.kernel_width * params.channels;
      for (var o = 0u; o < params.out_channels; o++) { sum += dOut[g_at + o] * weight[w_at + o * w_row]; }
    }
  }
  y[own] = sum;
}`,
  })
);

const weightBackward = memoize((config: EpilogueConfig) =>
  defineProgram({
    name: "conv2d.weight_backward",
    params: PARAMS,
    bindings: { x: "read f32", dOut: "read f32", ...epilogueBindings(config, "f32") },
    workgroupSize: SIZE,
    code: wgsl`
${epilogueFunction(config, "f32")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let c = own % params.channels;
  let j = own / params.channels % params.kernel_width;
  let i = own / params.channels / params.kernel_width % params.kernel_height;
  let o = own / params.channels / params.kernel_width / params.kernel_height;
  var sum = 0.0;
  for (var line = 0u; line < params.batch * params.out_height; line++) {
    let image = line / params.out_height;
    let h = params.stride * (line % params.out_height) + i - params.padding;
    if (h >= params.height) { continue; }
    for (var column = 0u; column < params.out_width; column++) {
      let v = params.stride * column + j - params.padding;
      if (v >= params.width) { continue; }
      sum += dOut[(line * params.out_width + column) * params.out_channels + o] *
        x[((image * params.height + h) * params.width + v) * params.channels + c];
    }
  }
  store(own, 0u, sum);
}`,
  })
);

/** y by the readable kernel. Bindings: x, weight, y, and bias, residual and pre where the epilogue has them. */
export function conv2dReadable(shape: Conv2dShape, epilogue: Conv2dEpilogue = {}): Kernel {
  const { sizes, ...cost } = conv2dCost(shape, epilogue);
  return {
    program: forward(epilogueConfig(epilogue)),
    params: paramsOf(shape, sizes.y, epilogue.accumulate),
    sizes,
    workgroups: foldWorkgroups(ceilDiv(sizes.y, SIZE)),
    ...cost,
    reference: (inputs) => conv2dReference(shape, epilogue, inputs),
  };
}

/** dx by the readable kernel. Bindings: dOut, weight, y. */
export function conv2dInputBackwardReadable(shape: Conv2dShape): Kernel {
  const { sizes, ...cost } = conv2dInputCost(shape);
  return {
    program: inputBackward({}),
    params: paramsOf(shape, sizes.y),
    sizes,
    workgroups: foldWorkgroups(ceilDiv(sizes.y, SIZE)),
    ...cost,
    reference: (inputs) => conv2dInputBackwardReference(shape, inputs),
  };
}

/** dw by the readable kernel. Bindings: x, dOut, y. */
export function conv2dWeightBackwardReadable(shape: Conv2dShape, accumulate: 0 | 1): Kernel {
  const { sizes, ...cost } = conv2dWeightCost(shape, accumulate);
  return {
    program: weightBackward(epilogueConfig({ accumulate })),
    params: paramsOf(shape, sizes.y, accumulate),
    sizes,
    workgroups: foldWorkgroups(ceilDiv(sizes.y, SIZE)),
    ...cost,
    reference: (inputs) => conv2dWeightBackwardReference(shape, inputs, { accumulate }),
  };
}

/** Visits every multiplication of a convolution, by the indices of the three numbers it joins. */
function forEachProduct(
  shape: Conv2dShape,
  visit: (x: number, weight: number, y: number) => void,
): void {
  const { batch, height, width, channels, outChannels, kernelHeight, kernelWidth } = shape;
  const { stride, padding } = shape, { outHeight, outWidth } = conv2dOutput(shape);
  for (let pixel = 0; pixel < batch * outHeight * outWidth; pixel++) {
    const row = Math.floor(pixel / outWidth) % outHeight, column = pixel % outWidth;
    const image = Math.floor(pixel / outWidth / outHeight);
    for (let tap = 0; tap < kernelHeight * kernelWidth; tap++) {
      const h = stride * row + Math.floor(tap / kernelWidth) - padding;
      const v = stride * column + tap % kernelWidth - padding;
      if (h < 0 || h >= height || v < 0 || v >= width) continue;
      const xAt = ((image * height + h) * width + v) * channels;
      for (let o = 0; o < outChannels; o++) {
        const wAt = (o * kernelHeight * kernelWidth + tap) * channels;
        for (let c = 0; c < channels; c++) visit(xAt + c, wAt + c, pixel * outChannels + o);
      }
    }
  }
}

/** The plain loop. Inputs: x, weight, bias and residual where the epilogue adds them, and y where it accumulates. */
export function conv2dReference(
  shape: Conv2dShape,
  epilogue: Conv2dEpilogue,
  { x, weight, bias, residual, y: before }: Values,
): { y: Float64Array; pre: Float64Array } {
  const pre = new Float64Array(conv2dSizes(shape).y);
  forEachProduct(shape, (i, w, o) => pre[o] += x[i] * weight[w]);
  const { bias: hasBias, activation } = epilogueConfig(epilogue);
  pre.forEach((_, i) => {
    if (hasBias) pre[i] += bias[i % shape.outChannels];
    if (epilogue.residual) pre[i] += residual[i];
  });
  const y = pre.map((sum, i) =>
    activationReference(activation, sum) + (epilogue.accumulate ? before[i] : 0)
  );
  return { y, pre };
}

/** The plain loop of the input gradient. */
export function conv2dInputBackwardReference(
  shape: Conv2dShape,
  { dOut, weight }: Values,
): { y: Float64Array } {
  const y = new Float64Array(conv2dSizes(shape).x);
  forEachProduct(shape, (i, w, o) => y[i] += dOut[o] * weight[w]);
  return { y };
}

/** Options of the plain loop of the weight gradient. */
export interface Conv2dWeightReferenceOptions {
  /** 1 adds to the y that is given; default 0. */
  readonly accumulate?: 0 | 1;
  /** Partial gradients, one after the other; default 1, the whole. */
  readonly splits?: number;
  /** Pixels of the output that each of them sums over; default all. */
  readonly pixels?: number;
}

/** The plain loop of the weight gradient. */
export function conv2dWeightBackwardReference(
  shape: Conv2dShape,
  { x, dOut, y: before }: Values,
  { accumulate = 0, splits = 1, pixels = Infinity }: Conv2dWeightReferenceOptions = {},
): { y: Float64Array } {
  const { weight } = conv2dSizes(shape);
  const y = new Float64Array(splits * weight);
  if (accumulate) y.set(before);
  forEachProduct(shape, (i, w, o) => {
    const part = Math.floor(Math.floor(o / shape.outChannels) / pixels);
    y[part * weight + w] += dOut[o] * x[i];
  });
  return { y };
}
