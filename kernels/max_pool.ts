/**
 * Max pooling of maps with their channels last, forward and backward.
 *
 * Math    y[b, q, r, c] = max over i, j of x[b, s q + i - p, s r + j - p, c], of pixels that exist
 *         The gradient of y goes to the first pixel of its window, row by row, that equals the maximum (as in PyTorch):
 *           dx[b, h, v, c] = sum of dy over the windows (q, r) that hold (h, v), where x[h, v] = y[q, r] and no pixel of
 *                            the window before (h, v) equals it too
 * Shapes  x, dx [B, H, W, C]; y, dy [B, OH, OW, C]; a window of K x K, stride s, padding p <= K / 2 so that none is empty.
 * Work    One invocation four channels of a pixel (or one, where C is no multiple of 4), of y forward, of x backward. Both
 *         gather: windows overlap, and scattering would need atomic additions.
 * Memory  Forward K^2 loads an element, nearly all from the cache. The backward does not keep the place of each maximum: y
 *         is there anyway, and x = y tells it. Only where they are equal (one pixel in nine of a window of 3 x 3) does it
 *         look at the pixels before. 12 bytes an element of x and 8 of y, where indices would add 4 to write and to read.
 * @module
 */
import {
  ceilDiv,
  defineProgram,
  foldWorkgroups,
  type Kernel,
  memoize,
  type Values,
} from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, MAX_F32 } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes of a max pooling. */
export interface MaxPoolShape {
  /** Number of images. */
  readonly batch: number;
  /** Rows of the input. */
  readonly height: number;
  /** Columns of the input. */
  readonly width: number;
  /** Channels. */
  readonly channels: number;
  /** Rows and columns of a window. */
  readonly kernel: number;
  /** Pixels from one window to the next. */
  readonly stride: number;
  /** Rows and columns around the input, on each side, that windows may reach into; at most half a window. */
  readonly padding: number;
}

/** Rows and columns of the output; 0 or less where the window does not fit. */
export function maxPoolOutput(shape: MaxPoolShape): { outHeight: number; outWidth: number } {
  const { height, width, kernel, stride, padding } = shape;
  return {
    outHeight: Math.floor((height + 2 * padding - kernel) / stride) + 1,
    outWidth: Math.floor((width + 2 * padding - kernel) / stride) + 1,
  };
}

const SIZE = 64;
const PARAMS = {
  count: "u32",
  height: "u32",
  width: "u32",
  channels: "u32",
  out_height: "u32",
  out_width: "u32",
  kernel: "u32",
  stride: "u32",
  padding: "u32",
} as const;

const typeOf = (vectors: boolean) => vectors ? "vec4<f32>" as const : "f32" as const;

const forward = memoize(({ vectors }: { vectors: boolean }) => {
  const type = typeOf(vectors);
  return defineProgram({
    name: "max_pool",
    variant: vectors ? "vec4" : "readable",
    params: PARAMS,
    bindings: { x: `read ${type}`, y: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let c = own % params.channels;
  let pixel = own / params.channels;
  let r = pixel % params.out_width;
  let q = pixel / params.out_width % params.out_height;
  let image = pixel / params.out_width / params.out_height;
  var best = ${type}(-${MAX_F32});
  for (var i = 0u; i < params.kernel; i++) {
    let h = params.stride * q + i - params.padding; // below 0 it wraps to above every size
    if (h >= params.height) { continue; }
    for (var j = 0u; j < params.kernel; j++) {
      let v = params.stride * r + j - params.padding;
      if (v >= params.width) { continue; }
      best = max(best, x[((image * params.height + h) * params.width + v) * params.channels + c]);
    }
  }
  y[own] = best;
}`,
  });
});

const backward = memoize(({ vectors }: { vectors: boolean }) => {
  const type = typeOf(vectors);
  return defineProgram({
    name: "max_pool.backward",
    variant: vectors ? "vec4" : "readable",
    params: PARAMS,
    bindings: { x: `read ${type}`, y: `read ${type}`, dOut: `read ${type}`, dx: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
alias V = ${type};
alias Mask = ${vectors ? "vec4<bool>" : "bool"};
// Which of the channels of a window's maximum were reached before row h, column v.
fn reached_before(h: u32, v: u32, top: u32, left: u32, first: u32, best: V) -> Mask {
  var reached = Mask(false);
  for (var i = 0u; i < params.kernel; i++) {
    let row = top + i;
    if (row >= params.height) { continue; }
    for (var j = 0u; j < params.kernel; j++) {
      let column = left + j;
      if (row == h && column == v) { return reached; }
      if (column >= params.width) { continue; }
      reached = reached | (x[first + (row * params.width + column) * params.channels] == best);
    }
  }
  return reached;
}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let c = own % params.channels;
  let pixel = own / params.channels;
  let v = pixel % params.width;
  let h = pixel / params.width % params.height;
  let image = pixel / params.width / params.height;
  let first = image * params.height * params.width * params.channels + c;
  let value = x[own];
  var sum = V(0.0);
  // Windows that hold (h, v): stride q <= h + padding < stride q + kernel.
  let q_begin = (max(h + params.padding + 1u, params.kernel) - params.kernel + params.stride - 1u) / params.stride;
  let r_begin = (max(v + params.padding + 1u, params.kernel) - params.kernel + params.stride - 1u) / params.stride;
  let q_end = min((h + params.padding) / params.stride + 1u, params.out_height);
  let r_end = min((v + params.padding) / params.stride + 1u, params.out_width);
  for (var q = q_begin; q < q_end; q++) {
    for (var r = r_begin; r < r_end; r++) {
      let window = ((image * params.out_height + q) * params.out_width + r) * params.channels + c;
      let best = y[window];
      let equal = value == best;
      if (any(equal)) {
        let top = params.stride * q - params.padding;
        let left = params.stride * r - params.padding;
        let before = reached_before(h, v, top, left, first, best);
        sum += select(V(0.0), dOut[window], equal & !before);
      }
    }
  }
  dx[own] = sum;
}`,
  });
});

function launch(shape: MaxPoolShape, pixels: number) {
  const { height, width, channels, kernel, stride, padding } = shape;
  const { outHeight, outWidth } = maxPoolOutput(shape);
  const vectors = channels % 4 === 0, own = vectors ? channels / 4 : channels;
  return {
    vectors,
    params: {
      count: pixels * own,
      height,
      width,
      channels: own,
      out_height: outHeight,
      out_width: outWidth,
      kernel,
      stride,
      padding,
    },
    workgroups: foldWorkgroups(ceilDiv(pixels * own, SIZE)),
  };
}

function sizesOf(shape: MaxPoolShape): { x: number; y: number } {
  const { batch, height, width, channels } = shape, { outHeight, outWidth } = maxPoolOutput(shape);
  return { x: batch * height * width * channels, y: batch * outHeight * outWidth * channels };
}

/** y of a max pooling. Bindings: x, y. */
export function maxPool(shape: MaxPoolShape): Kernel {
  const sizes = sizesOf(shape);
  const { vectors, ...rest } = launch(shape, sizes.y / shape.channels);
  return {
    program: forward({ vectors }),
    ...rest,
    sizes,
    flops: shape.kernel ** 2 * sizes.y,
    bytes: 4 * (sizes.x + sizes.y),
    reference: ({ x }) => maxPoolReference(shape, x),
  };
}

/** dx of a max pooling. Bindings: x, y, dOut, dx. */
export function maxPoolBackward(shape: MaxPoolShape): Kernel {
  const { x, y } = sizesOf(shape);
  const { vectors, ...rest } = launch(shape, x / shape.channels);
  return {
    program: backward({ vectors }),
    ...rest,
    sizes: { x, y, dOut: y, dx: x },
    flops: shape.kernel ** 2 * y,
    bytes: 8 * (x + y),
    reference: (inputs) => maxPoolBackwardReference(shape, inputs),
  };
}

/** Calls `visit` with each element of y and each of its window in x, row by row. */
function forEachPair(shape: MaxPoolShape, visit: (y: number, x: number) => void): void {
  const { batch, height, width, channels, kernel, stride, padding } = shape;
  const { outHeight, outWidth } = maxPoolOutput(shape);
  for (let at = 0; at < batch * outHeight * outWidth * channels; at++) {
    const c = at % channels, pixel = Math.floor(at / channels);
    const r = pixel % outWidth, q = Math.floor(pixel / outWidth) % outHeight;
    const image = Math.floor(pixel / outWidth / outHeight);
    for (let i = 0; i < kernel ** 2; i++) {
      const h = stride * q + Math.floor(i / kernel) - padding;
      const v = stride * r + i % kernel - padding;
      if (h < 0 || h >= height || v < 0 || v >= width) continue;
      visit(at, ((image * height + h) * width + v) * channels + c);
    }
  }
}

/** The plain loop of the forward. */
export function maxPoolReference(shape: MaxPoolShape, x: ArrayLike<number>): { y: Float64Array } {
  const y = new Float64Array(sizesOf(shape).y).fill(-Infinity);
  forEachPair(shape, (at, from) => y[at] = Math.max(y[at], x[from]));
  return { y };
}

/** The plain loop of the backward: the first pixel of a window that equals its y gets dOut. */
export function maxPoolBackwardReference(
  shape: MaxPoolShape,
  { x, y, dOut }: Values,
): { dx: Float64Array } {
  const dx = new Float64Array(x.length), given = new Uint8Array(y.length);
  forEachPair(shape, (at, from) => {
    if (given[at] || x[from] !== y[at]) return;
    given[at] = 1;
    dx[from] += dOut[at];
  });
  return { dx };
}
