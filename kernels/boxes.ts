/**
 * Boxes: decoding of regressed deltas, and the two ways to write a box down; forward and backward.
 *
 * Math    Decode    A box with centre c and size s, per axis, is moved and stretched by deltas (d, e) of standard deviation
 *                   (a, b) (arXiv:1311.2524, appendix C):
 *                     c' = c + s a d,  s' = s exp(clamp(b e, -m, m)),  corners c' -+ s'/2, clamped to the image where asked
 *                   With m = ln(1000 / 16) a step changes a size by at most a factor of 62.5. With g the gradient by the
 *                   corners (0 where one was clamped), gc = g1 + g2 and gs = (g2 - g1) / 2:
 *                     dd = gc s a,  de = gs s' b (0 where clamped),  ds = gc a d + gs s'/s,  dc = gc
 *                   and the box's corners get dc/2 -+ ds. A number that lies on a bound still counts as inside, as in
 *                   PyTorch.
 *         Convert   Corners and (centre, size) are a linear map of each other, per axis:
 *                     first' = m00 first + m01 second,  second' = m10 first + m11 second,  gradient by the transposed map
 * Shapes  boxes, deltas and their gradients [N, 4]: x1, y1, x2, y2 (or cx, cy, w, h) and dx, dy, dw, dh; a box is a vec4.
 * Work    One invocation a box.
 * Memory  48 bytes a box; a model has some dozens, so that one dispatch each way is what counts.
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

/** Options of a decoding. */
export interface BoxDecodeShape {
  /** Boxes. */
  readonly count: number;
  /** Standard deviations of dx, dy, dw and dh, by which deltas are multiplied. */
  readonly stds: readonly [number, number, number, number];
  /** m above. */
  readonly maxRatio: number;
  /** Rows and columns of the image that corners are clamped to; left out: they are not. */
  readonly clip?: { readonly height: number; readonly width: number };
}

const SIZE = 64;
const DECODE_PARAMS = {
  count: "u32",
  std_x: "f32",
  std_y: "f32",
  std_w: "f32",
  std_h: "f32",
  max_ratio: "f32",
  low: "f32", // bounds of the corners
  right: "f32",
  bottom: "f32",
} as const;

/** A decoded box before its corners are clamped. */
const DECODED = wgsl`
struct Decoded {
  box: vec4f,      // corners
  moved: vec2f,    // a d
  size: vec2f,     // s
  growth: vec2f,   // exp(clamp(b e))
  ratio: vec2f,    // b e
}
fn decoded(box: vec4f, delta: vec4f) -> Decoded {
  let size = box.zw - box.xy;
  let moved = delta.xy * vec2f(params.std_x, params.std_y);
  let ratio = delta.zw * vec2f(params.std_w, params.std_h);
  let growth = exp(clamp(ratio, vec2f(-params.max_ratio), vec2f(params.max_ratio)));
  let centre = 0.5 * (box.xy + box.zw) + size * moved;
  return Decoded(vec4f(centre - 0.5 * size * growth, centre + 0.5 * size * growth), moved, size, growth, ratio);
}
fn highest() -> vec4f { return vec4f(params.right, params.bottom, params.right, params.bottom); }`;

const decode = memoize((_: Record<string, never>) =>
  defineProgram({
    name: "boxes.decode",
    params: DECODE_PARAMS,
    bindings: { boxes: "read vec4<f32>", deltas: "read vec4<f32>", y: "write vec4<f32>" },
    workgroupSize: SIZE,
    code: wgsl`
${DECODED}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  y[i] = clamp(decoded(boxes[i], deltas[i]).box, vec4f(params.low), highest());
}`,
  })
);

const decodeBackward = memoize((_: Record<string, never>) =>
  defineProgram({
    name: "boxes.decode_backward",
    params: DECODE_PARAMS,
    bindings: {
      boxes: "read vec4<f32>",
      deltas: "read vec4<f32>",
      dOut: "read vec4<f32>",
      dBoxes: "write vec4<f32>",
      dDeltas: "write vec4<f32>",
    },
    workgroupSize: SIZE,
    code: wgsl`
${DECODED}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  let b = decoded(boxes[i], deltas[i]);
  let inside = (b.box >= vec4f(params.low)) & (b.box <= highest());
  let g = select(vec4f(0.0), dOut[i], inside);
  let by_centre = g.xy + g.zw;
  let by_size = 0.5 * (g.zw - g.xy);
  let free = abs(b.ratio) <= vec2f(params.max_ratio);
  dDeltas[i] = vec4f(
    by_centre * b.size * vec2f(params.std_x, params.std_y),
    select(vec2f(0.0), by_size * b.size * b.growth * vec2f(params.std_w, params.std_h), free),
  );
  let by_own_size = by_centre * b.moved + by_size * b.growth;
  dBoxes[i] = vec4f(0.5 * by_centre - by_own_size, 0.5 * by_centre + by_own_size);
}`,
  })
);

const convert = memoize((_: Record<string, never>) =>
  defineProgram({
    name: "boxes.convert",
    params: { count: "u32", m00: "f32", m01: "f32", m10: "f32", m11: "f32" },
    bindings: { boxes: "read vec4<f32>", y: "write vec4<f32>" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  let b = boxes[i];
  y[i] = vec4f(params.m00 * b.xy + params.m01 * b.zw, params.m10 * b.xy + params.m11 * b.zw);
}`,
  })
);

function decodeParams({ count, stds, maxRatio, clip }: BoxDecodeShape) {
  const most = Number(MAX_F32);
  return {
    count,
    std_x: stds[0],
    std_y: stds[1],
    std_w: stds[2],
    std_h: stds[3],
    max_ratio: maxRatio,
    low: clip ? 0 : -most,
    right: clip?.width ?? most,
    bottom: clip?.height ?? most,
  };
}

/** Decoded boxes. Bindings: boxes, deltas, y. */
export function decodeBoxes(shape: BoxDecodeShape): Kernel {
  const { count } = shape;
  return {
    program: decode({}),
    params: decodeParams(shape),
    sizes: { boxes: 4 * count, deltas: 4 * count, y: 4 * count },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: 28 * count,
    bytes: 48 * count,
    reference: (inputs) => decodeBoxesReference(shape, inputs),
  };
}

/** Gradients of a decoding. Bindings: boxes, deltas, dOut, dBoxes, dDeltas. */
export function decodeBoxesBackward(shape: BoxDecodeShape): Kernel {
  const size = 4 * shape.count;
  return {
    program: decodeBackward({}),
    params: decodeParams(shape),
    sizes: { boxes: size, deltas: size, dOut: size, dBoxes: size, dDeltas: size },
    workgroups: foldWorkgroups(ceilDiv(shape.count, SIZE)),
    flops: 15 * size,
    bytes: 20 * size,
    reference: (inputs) => decodeBoxesBackwardReference(shape, inputs),
  };
}

/** How a box is written down: "xyxy" two corners, "cxcywh" centre and size. */
export type BoxForm = "xyxy" | "cxcywh";

/** [m00, m01, m10, m11] of the map to a form from the other one. */
const MAPS: Readonly<Record<BoxForm, readonly [number, number, number, number]>> = {
  xyxy: [1, -0.5, 1, 0.5],
  cxcywh: [0.5, 0.5, -1, 1],
};

/**
 * Boxes in another form. Bindings: boxes, y.
 * @param to the form of y; boxes has the other one
 * @param transposed the transposed map instead, which turns the gradient of y into that of boxes
 */
export function convertBoxes(count: number, to: BoxForm, transposed: boolean): Kernel {
  const [m00, a, b, m11] = MAPS[to], [m01, m10] = transposed ? [b, a] : [a, b];
  return {
    program: convert({}),
    params: { count, m00, m01, m10, m11 },
    sizes: { boxes: 4 * count, y: 4 * count },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: 12 * count,
    bytes: 32 * count,
    reference: ({ boxes }) =>
      transposed ? convertBoxesBackwardReference(boxes, to) : convertBoxesReference(boxes, to),
  };
}

/** One axis of a decoded box: what both plain loops are made of. */
function decodedAxis(
  { stds, maxRatio, clip }: BoxDecodeShape,
  { boxes, deltas }: Values,
  i: number,
  axis: number,
) {
  const at = 4 * i + axis, size = boxes[at + 2] - boxes[at], moved = stds[axis] * deltas[at];
  const ratio = stds[2 + axis] * deltas[at + 2];
  const growth = Math.exp(Math.max(-maxRatio, Math.min(maxRatio, ratio)));
  const centre = (boxes[at] + boxes[at + 2]) / 2 + size * moved;
  const limit = axis === 0 ? clip?.width : clip?.height;
  const [low, high] = limit === undefined ? [-Infinity, Infinity] : [0, limit];
  return {
    at,
    size,
    moved,
    growth,
    free: Math.abs(ratio) <= maxRatio,
    corners: [centre - size * growth / 2, centre + size * growth / 2],
    low,
    high,
  };
}

/** The plain loop of the decoding. Inputs: boxes, deltas. */
export function decodeBoxesReference(shape: BoxDecodeShape, inputs: Values): { y: Float64Array } {
  const y = new Float64Array(4 * shape.count);
  for (let i = 0; i < 2 * shape.count; i++) {
    const { at, corners, low, high } = decodedAxis(shape, inputs, Math.floor(i / 2), i % 2);
    corners.forEach((corner, k) => y[at + 2 * k] = Math.max(low, Math.min(high, corner)));
  }
  return { y };
}

/** The plain loop of its gradients. Inputs: boxes, deltas, dOut. */
export function decodeBoxesBackwardReference(
  shape: BoxDecodeShape,
  inputs: Values,
): { dBoxes: Float64Array; dDeltas: Float64Array } {
  const { count, stds } = shape, { dOut } = inputs;
  const dBoxes = new Float64Array(4 * count), dDeltas = new Float64Array(4 * count);
  for (let i = 0; i < 2 * count; i++) {
    const axis = i % 2;
    const { at, size, moved, growth, free, corners, low, high } = decodedAxis(
      shape,
      inputs,
      Math.floor(i / 2),
      axis,
    );
    const [first, second] = corners.map((corner, k) =>
      corner >= low && corner <= high ? dOut[at + 2 * k] : 0
    );
    const byCentre = first + second, bySize = (second - first) / 2;
    dDeltas[at] = byCentre * size * stds[axis];
    dDeltas[at + 2] = free ? bySize * size * growth * stds[2 + axis] : 0;
    const byOwnSize = byCentre * moved + bySize * growth;
    dBoxes[at] = byCentre / 2 - byOwnSize;
    dBoxes[at + 2] = byCentre / 2 + byOwnSize;
  }
  return { dBoxes, dDeltas };
}

/** The plain loop of the conversion. */
export function convertBoxesReference(boxes: ArrayLike<number>, to: BoxForm): { y: Float64Array } {
  const y = new Float64Array(boxes.length);
  for (let i = 0; i < boxes.length / 2; i++) {
    const at = 4 * Math.floor(i / 2) + i % 2, a = boxes[at], b = boxes[at + 2];
    [y[at], y[at + 2]] = to === "xyxy" ? [a - b / 2, a + b / 2] : [(a + b) / 2, b - a];
  }
  return { y };
}

/** The plain loop of its gradient: what each of the two numbers of an axis gives to both results. */
export function convertBoxesBackwardReference(
  dOut: ArrayLike<number>,
  to: BoxForm,
): { y: Float64Array } {
  const y = new Float64Array(dOut.length);
  for (let i = 0; i < dOut.length / 2; i++) {
    const at = 4 * Math.floor(i / 2) + i % 2, a = dOut[at], b = dOut[at + 2];
    [y[at], y[at + 2]] = to === "xyxy" ? [a + b, (b - a) / 2] : [a / 2 - b, a / 2 + b];
  }
  return { y };
}
