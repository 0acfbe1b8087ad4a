/**
 * A coarse map stretched to the size of a finer one and added to it, as the feature pyramid does (arXiv:1612.03144, fig. 3);
 * forward and backward.
 *
 * Math    y[b, h, v, c] = fine[b, h, v, c] + coarse[b, floor(h CH / H), floor(v CW / W), c]       ("nearest")
 *         The coarse pixel Q repeats in the rows h with floor(h CH / H) = Q, that is ceil(Q H / CH) <= h < ceil((Q+1) H / CH):
 *           dfine = dy,  dcoarse[Q, R] = sum of dy over the rows of Q and the columns of R
 *         Divisions are those of whole numbers, so no rounding decides which pixel is taken.
 * Shapes  fine, y, dy [B, H, W, C]; coarse, dcoarse [B, CH, CW, C]; any sizes, as a pyramid of odd sizes has.
 * Work    One invocation four channels of a pixel (or one), of y forward, of coarse backward. The backward gathers: each
 *         pixel of y belongs to one coarse pixel, so dy is read once.
 * Memory  9 bytes an element of y forward for one addition, and no stretched map is ever stored; 5 backward.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes of the two maps. */
export interface UpsampleAddShape {
  /** Number of images. */
  readonly batch: number;
  /** Rows of the fine map. */
  readonly height: number;
  /** Columns of the fine map. */
  readonly width: number;
  /** Rows of the coarse map. */
  readonly coarseHeight: number;
  /** Columns of the coarse map. */
  readonly coarseWidth: number;
  /** Channels of both. */
  readonly channels: number;
}

const SIZE = 64;
const PARAMS = {
  count: "u32",
  height: "u32",
  width: "u32",
  coarse_height: "u32",
  coarse_width: "u32",
  channels: "u32",
} as const;

const typeOf = (vectors: boolean) => vectors ? "vec4<f32>" as const : "f32" as const;

const forward = memoize(({ vectors }: { vectors: boolean }) => {
  const type = typeOf(vectors);
  return defineProgram({
    name: "upsample_add",
    variant: vectors ? "vec4" : "readable",
    params: PARAMS,
    bindings: { coarse: `read ${type}`, fine: `read ${type}`, y: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let c = own % params.channels;
  let pixel = own / params.channels;
  let column = pixel % params.width * params.coarse_width / params.width;
  let row = pixel / params.width % params.height * params.coarse_height / params.height;
  let image = pixel / params.width / params.height;
  let taken = (image * params.coarse_height + row) * params.coarse_width + column;
  y[own] = fine[own] + coarse[taken * params.channels + c];
}`,
  });
});

const backward = memoize(({ vectors }: { vectors: boolean }) => {
  const type = typeOf(vectors);
  return defineProgram({
    name: "upsample_add.backward",
    variant: vectors ? "vec4" : "readable",
    params: PARAMS,
    bindings: { dOut: `read ${type}`, dCoarse: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
// The first of "size" rows that takes coarse row q of "coarse".
fn first_of(q: u32, size: u32, coarse: u32) -> u32 { return (q * size + coarse - 1u) / coarse; }
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let c = own % params.channels;
  let pixel = own / params.channels;
  let column = pixel % params.coarse_width;
  let row = pixel / params.coarse_width % params.coarse_height;
  let image = pixel / params.coarse_width / params.coarse_height;
  let bottom = first_of(row + 1u, params.height, params.coarse_height);
  let right = first_of(column + 1u, params.width, params.coarse_width);
  var sum = ${type}(0.0);
  for (var h = first_of(row, params.height, params.coarse_height); h < bottom; h++) {
    let line = (image * params.height + h) * params.width;
    for (var v = first_of(column, params.width, params.coarse_width); v < right; v++) {
      sum += dOut[(line + v) * params.channels + c];
    }
  }
  dCoarse[own] = sum;
}`,
  });
});

function launch(shape: UpsampleAddShape, pixels: number) {
  const { height, width, coarseHeight, coarseWidth, channels } = shape;
  const vectors = channels % 4 === 0, own = vectors ? channels / 4 : channels;
  return {
    vectors,
    params: {
      count: pixels * own,
      height,
      width,
      coarse_height: coarseHeight,
      coarse_width: coarseWidth,
      channels: own,
    },
    workgroups: foldWorkgroups(ceilDiv(pixels * own, SIZE)),
  };
}

function sizesOf(shape: UpsampleAddShape): { fine: number; coarse: number } {
  const { batch, height, width, coarseHeight, coarseWidth, channels } = shape;
  return {
    fine: batch * height * width * channels,
    coarse: batch * coarseHeight * coarseWidth * channels,
  };
}

/** The sum. Bindings: coarse, fine, y. */
export function upsampleAdd(shape: UpsampleAddShape): Kernel {
  const { fine, coarse } = sizesOf(shape);
  const { vectors, ...rest } = launch(shape, fine / shape.channels);
  return {
    program: forward({ vectors }),
    ...rest,
    sizes: { coarse, fine, y: fine },
    flops: fine,
    bytes: 4 * (coarse + 2 * fine),
    reference: ({ coarse, fine }) => upsampleAddReference(shape, coarse, fine),
  };
}

/** The gradient of the coarse map. Bindings: dOut, dCoarse. */
export function upsampleAddBackward(shape: UpsampleAddShape): Kernel {
  const { fine, coarse } = sizesOf(shape);
  const { vectors, ...rest } = launch(shape, coarse / shape.channels);
  return {
    program: backward({ vectors }),
    ...rest,
    sizes: { dOut: fine, dCoarse: coarse },
    flops: fine,
    bytes: 4 * (coarse + fine),
    reference: ({ dOut }) => upsampleAddBackwardReference(shape, dOut),
  };
}

/** The coarse element that each fine one takes: the plain loop of both passes. */
function sources(shape: UpsampleAddShape): Uint32Array {
  const { height, width, coarseHeight, coarseWidth, channels } = shape;
  return Uint32Array.from({ length: sizesOf(shape).fine }, (_, at) => {
    const c = at % channels, pixel = Math.floor(at / channels);
    const column = Math.floor(pixel % width * coarseWidth / width);
    const row = Math.floor(Math.floor(pixel / width) % height * coarseHeight / height);
    const image = Math.floor(pixel / width / height);
    return ((image * coarseHeight + row) * coarseWidth + column) * channels + c;
  });
}

/** The plain loop of the forward. */
export function upsampleAddReference(
  shape: UpsampleAddShape,
  coarse: ArrayLike<number>,
  fine: ArrayLike<number>,
): { y: Float64Array } {
  return { y: Float64Array.from(sources(shape), (from, at) => fine[at] + coarse[from]) };
}

/** The plain loop of the backward. */
export function upsampleAddBackwardReference(
  shape: UpsampleAddShape,
  dOut: ArrayLike<number>,
): { dCoarse: Float64Array } {
  const dCoarse = new Float64Array(sizesOf(shape).coarse);
  sources(shape).forEach((from, at) => dCoarse[from] += dOut[at]);
  return { dCoarse };
}
