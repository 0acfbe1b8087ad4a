/**
 * Which class wins, and how many times rightly. No gradient flows through either.
 * @module
 */
import { argmax as argmaxKernel, argmaxHits } from "../../kernels/argmax.ts";
import { axisView } from "../../kernels/axis_view.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectDType, expectFloat, expectShape, type Tensor } from "../tensor.ts";
import { resolveFilledAxis } from "./axes.ts";
import { reducePasses } from "./reduce_passes.ts";

/**
 * Index of the maximum along an axis, which is dropped; of equal maxima the first.
 *
 * Gradient: none for x, whose small changes change no index.
 * @param axis negative ones count from the end; default the last
 * @returns u32
 * @throws {ShapeError} when x has no such axis, or the axis is empty
 */
export function argmax(x: Tensor, axis = -1): Tensor {
  expectFloat("argmax: x", x);
  const k = resolveFilledAxis("argmax", x, axis);
  const y = x.device.empty(x.shape.filter((_, i) => i !== k), "u32", "argmax");
  if (y.size > 0) run(argmaxKernel(axisView(x.shape, k)), { x, y });
  return y;
}

/**
 * How many rows of the logits [B, C] have their maximum at the label [B] (i32 or u32); of equal maxima the first counts.
 *
 * Gradient: none for logits, whose small changes change no count, and none for labels.
 * @returns a scalar, f32: divide it by B for the accuracy
 * @throws {ShapeError} when shapes do not fit or there is no class
 */
export function accuracy(logits: Tensor, labels: Tensor): Tensor {
  expectFloat("accuracy: logits", logits);
  expectDType("accuracy: labels", labels, "i32", "u32");
  const [batch, classes] = expectShape("accuracy: logits", logits, ["B", "C"]);
  expectShape("accuracy: labels", labels, [batch]);
  if (classes === 0) throw new ShapeError(`accuracy(): ${logits.describe()} has no classes`);
  const hits = logits.device.empty([batch], "f32", "accuracy.hits");
  if (batch > 0) run(argmaxHits(batch, classes), { x: logits, labels, y: hits });
  return reducePasses("accuracy", "sum", hits, [0], [])!;
}
