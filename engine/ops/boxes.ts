/**
 * Boxes as tensors [..., 4]; maths and kernels in kernels/boxes.ts.
 * @module
 */
import {
  type BoxDecodeShape,
  type BoxForm,
  convertBoxes,
  decodeBoxes as decodeBoxesKernel,
  decodeBoxesBackward,
} from "../../kernels/boxes.ts";
import { record } from "../autograd.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectDType, expectShape, type Tensor } from "../tensor.ts";

/** Options of `decodeBoxes`; the defaults are MCGaze's. */
export interface DecodeBoxesOptions {
  /** Deltas dx, dy, dw, dh are multiplied by these; default 0.5, 0.5, 1, 1. */
  stds?: readonly [number, number, number, number];
  /** A side changes by this factor at most, and by its inverse at least; in (0, 1), default 16 / 1000. */
  whRatioClip?: number;
  /** Clamps corners to an image of these sizes; default: they are left where they are. */
  clip?: { height: number; width: number };
}

/**
 * Moves and stretches boxes by regressed deltas (mmdet's `delta2bbox`), differentiable in both.
 *
 * Gradient: per axis, with a box of centre c and size s, s' the new size, d and e its scaled deltas, stds (a, b) and g the
 * gradient by the result's corners (0 where one was clamped), gc = g1 + g2, gs = (g2 - g1) / 2: ddeltas = (gc s a, gs s' b),
 * the second 0 where e was clamped; dboxes = gc / 2 -+ (gc d + gs s' / s) for the two corners.
 * @param boxes [..., 4] as x1, y1, x2, y2
 * @param deltas of the same shape, as dx, dy, dw, dh: centres move by dx and dy of a box's own size, sides change by the
 *   factors exp(dw) and exp(dh)
 * @throws {ShapeError} when the shapes differ or do not end in 4, or an option is out of its range
 */
export function decodeBoxes(
  boxes: Tensor,
  deltas: Tensor,
  options: DecodeBoxesOptions = {},
): Tensor {
  const { stds = [0.5, 0.5, 1, 1], whRatioClip = 16 / 1000, clip } = options;
  const count = boxCount("decodeBoxes: boxes", boxes);
  expectDType("decodeBoxes: deltas", deltas, "f32");
  expectShape("decodeBoxes: deltas", deltas, boxes.shape);
  if (!(whRatioClip > 0 && whRatioClip < 1) || stds.length !== 4) {
    throw new ShapeError(
      `decodeBoxes(): whRatioClip is ${whRatioClip} and there are ${stds.length} stds; ` +
        "needs a number between 0 and 1, and 4",
    );
  }
  const shape: BoxDecodeShape = { count, stds, maxRatio: -Math.log(whRatioClip), clip };
  const { device } = boxes;
  const y = device.empty(boxes.shape, "f32", "decodeBoxes");
  if (count > 0) run(decodeBoxesKernel(shape), { boxes, deltas, y });
  record("decodeBoxes", {
    inputs: { boxes, deltas },
    outputs: [y],
    saved: { boxes, deltas },
    backward: ({ saved, dOut }) => {
      const dBoxes = device.empty(dOut.shape, "f32", "decodeBoxes dBoxes");
      const dDeltas = device.empty(dOut.shape, "f32", "decodeBoxes dDeltas");
      if (count > 0) run(decodeBoxesBackward(shape), { ...saved, dOut, dBoxes, dDeltas });
      return { boxes: dBoxes, deltas: dDeltas };
    },
  });
  return y;
}

/**
 * Boxes [..., 4] given by centre and size as two corners: cx, cy, w, h -> x1, y1, x2, y2.
 *
 * Gradient: dboxes = (dx1 + dx2, dy1 + dy2, (dx2 - dx1) / 2, (dy2 - dy1) / 2).
 */
export function cxcywhToXyxy(boxes: Tensor): Tensor {
  return converted("cxcywhToXyxy", boxes, "xyxy");
}

/**
 * Boxes [..., 4] given by two corners as centre and size: x1, y1, x2, y2 -> cx, cy, w, h.
 *
 * Gradient: dboxes = (dcx / 2 - dw, dcy / 2 - dh, dcx / 2 + dw, dcy / 2 + dh).
 */
export function xyxyToCxcywh(boxes: Tensor): Tensor {
  return converted("xyxyToCxcywh", boxes, "cxcywh");
}

function converted(name: string, boxes: Tensor, to: BoxForm): Tensor {
  const count = boxCount(`${name}: boxes`, boxes);
  const y = boxes.device.empty(boxes.shape, "f32", name);
  if (count > 0) run(convertBoxes(count, to, false), { boxes, y });
  record(name, {
    inputs: { boxes },
    outputs: [y],
    saved: {},
    backward: ({ dOut }) => {
      const dBoxes = dOut.device.empty(dOut.shape, "f32", `${name}.backward`);
      if (count > 0) run(convertBoxes(count, to, true), { boxes: dOut, y: dBoxes });
      return { boxes: dBoxes };
    },
  });
  return y;
}

/** Checks that a tensor holds boxes; returns how many. */
export function boxCount(name: string, boxes: Tensor): number {
  expectDType(name, boxes, "f32");
  if (boxes.rank === 0 || boxes.shape[boxes.rank - 1] !== 4) {
    throw new ShapeError(`${name} has shape [${boxes.shape.join(", ")}], needs [..., 4]`);
  }
  return boxes.size / 4;
}
