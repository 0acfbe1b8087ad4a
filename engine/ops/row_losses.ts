/**
 * Losses of boxes, classes and directions, each one dispatch forward and one backward; maths in kernels/row_loss.ts,
 * kernels/focal_loss.ts, kernels/box_losses.ts and kernels/gaze_losses.ts.
 *
 * What is not annotated is a weight of 0, not a shorter tensor: shapes, and so a captured step, stay the same.
 * @module
 */
import {
  giouLoss as giouKernel,
  giouLossBackward,
  l1Loss as l1Kernel,
  l1LossBackward,
} from "../../kernels/box_losses.ts";
import {
  focalLoss as focalKernel,
  focalLossBackward,
  type FocalLossShape,
} from "../../kernels/focal_loss.ts";
import {
  angleLoss as angleKernel,
  angleLossBackward,
  changeLoss as changeKernel,
  changeLossBackward,
} from "../../kernels/gaze_losses.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type { RowLossShape } from "../../kernels/row_loss.ts";
import { record } from "../autograd.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectDType, expectFloat, expectShape, type Tensor } from "../tensor.ts";
import { boxCount } from "./boxes.ts";

/** Options of all losses here: loss = lossWeight * sum(weight * row losses) / avgFactor. */
export interface RowLossOptions {
  /** What each row counts; default 1. Constants: no gradient flows into them. */
  weight?: Tensor;
  /** What the sum is divided by: a number, or a scalar tensor such as a count of annotated rows; default the rows. */
  avgFactor?: Tensor | number;
  /** A factor; default 1. */
  lossWeight?: number;
}

/** Options of `focalLoss`. */
export interface FocalLossOptions extends RowLossOptions {
  /** The share of classes that are there; default 0.25. */
  alpha?: number;
  /** How much less easy cases count, 0 or more; default 2. */
  gamma?: number;
}

/**
 * Sigmoid focal loss of logits.
 *
 * Gradient: with p = sigmoid(logits) and w = dy weight / avgFactor: dlogits = w alpha (1 - p)^gamma (gamma p log p + p - 1)
 * where the target is 1, w (1 - alpha) p^gamma (p - gamma (1 - p) log(1 - p)) where it is 0; none for targets.
 * @param logits [N, C]
 * @param targets [N], i32 or u32: the class that is there, or C for none; or [N, C], f32: 1 for what is there, else 0
 * @param options weight is [N] or [N, C]; the default avgFactor is N C
 * @returns a scalar
 * @throws {ShapeError} when shapes do not fit, or there is no logit
 */
export function focalLoss(
  logits: Tensor,
  targets: Tensor,
  options: FocalLossOptions = {},
): Tensor {
  const { alpha = 0.25, gamma = 2 } = options;
  expectFloat("focalLoss: logits", logits);
  const [n, classes] = expectShape("focalLoss: logits", logits, ["N", "C"]);
  expectDType("focalLoss: targets", targets, "i32", "u32", "f32");
  const flags = targets.dtype === "f32";
  expectShape("focalLoss: targets", targets, flags ? [n, classes] : [n]);
  if (!(gamma >= 0)) throw new ShapeError(`focalLoss(): gamma is ${gamma}, needs 0 or more`);
  const shape: FocalLossShape = {
    ...rowsOf("focalLoss", logits, n * classes, [n], options),
    classes,
    alpha,
    gamma,
    targets: flags ? "flags" : "labels",
  };
  return rowLoss("focalLoss", logits, { targets }, options, {
    forward: focalKernel(shape),
    backward: () => focalLossBackward(shape),
  });
}

/**
 * |prediction - target|, summed over all numbers.
 *
 * Gradient: dpred = dy weight sign(pred - target) / avgFactor; none for target.
 * @param options weight has the shape of both, or the first of its axes; the default avgFactor is the number of numbers
 * @returns a scalar
 * @throws {ShapeError} when shapes differ or there is no number
 */
export function l1Loss(pred: Tensor, target: Tensor, options: RowLossOptions = {}): Tensor {
  expectFloat("l1Loss: pred", pred);
  expectDType("l1Loss: target", target, "f32");
  expectShape("l1Loss: target", target, pred.shape);
  const shape = rowsOf("l1Loss", pred, pred.size, pred.shape.slice(0, 1), options);
  return rowLoss("l1Loss", pred, { goal: target }, options, {
    forward: l1Kernel(shape),
    backward: () => l1LossBackward(shape),
  });
}

/** Options of `giouLoss`. */
export interface GiouLossOptions extends RowLossOptions {
  /** The least area that is divided by; default 1e-6. */
  eps?: number;
}

/**
 * 1 - generalised intersection over union of boxes with their targets: 0 for equal boxes, up to 2 for distant ones.
 *
 * Gradient: with intersection I, union U and enclosing area C of a pair: dpred = -dy weight / avgFactor times
 * (dI U - I dU) / U^2 + (dU C - U dC) / C^2 by its corners, where a corner counts for I and C where it bounds them;
 * none for target.
 * @param pred [N, 4] as x1, y1, x2, y2, like target
 * @param options weight is [N]; the default avgFactor is N
 * @returns a scalar
 * @throws {ShapeError} when these are no boxes, or there is none
 */
export function giouLoss(pred: Tensor, target: Tensor, options: GiouLossOptions = {}): Tensor {
  const { eps = 1e-6 } = options;
  const count = boxCount("giouLoss: pred", pred);
  expectDType("giouLoss: target", target, "f32");
  expectShape("giouLoss: target", target, pred.shape);
  const shape = { ...rowsOf("giouLoss", pred, count, [count], options), eps };
  return rowLoss("giouLoss", pred, { goal: target }, options, {
    forward: giouKernel(shape),
    backward: () => giouLossBackward(shape),
  });
}

/** Options of `angleLoss`. */
export interface AngleLossOptions extends RowLossOptions {
  /** Cosines are clamped this far from 1 and -1, and have no gradient beyond; default 1e-6. */
  clamp?: number;
}

/**
 * The angle between predicted and true directions, in radians (MCGaze's `GazeArccosLoss`). Neither needs length 1; a
 * prediction of length 0 counts as a right angle and gets no gradient.
 *
 * Gradient: with u and t the unit vectors, c = <u, t> and n = |pred|: dpred = -dy weight (t - c u) / (n sqrt(1 - c^2)) /
 * avgFactor, 0 where c is clamped; none for target.
 * @param pred [N, 3], like target, whose rows must not be 0
 * @param options weight is [N]; the default avgFactor is N. Unlike a mean over nothing, a sum of weights of 0 gives 0
 * @returns a scalar
 * @throws {ShapeError} when these are no directions, or there is none
 */
export function angleLoss(pred: Tensor, target: Tensor, options: AngleLossOptions = {}): Tensor {
  const { clamp = 1e-6 } = options;
  expectFloat("angleLoss: pred", pred);
  expectDType("angleLoss: target", target, "f32");
  const [n] = expectShape("angleLoss: pred", pred, ["N", 3]);
  expectShape("angleLoss: target", target, [n, 3]);
  if (!(clamp > 0 && clamp < 1)) {
    throw new ShapeError(`angleLoss(): clamp is ${clamp}, needs a number between 0 and 1`);
  }
  const shape = { ...rowsOf("angleLoss", pred, n, [n], options), clamp };
  return rowLoss("angleLoss", pred, { goal: target }, options, {
    forward: angleKernel(shape),
    backward: () => angleLossBackward(shape),
  });
}

/**
 * How unsteadily directions change over the frames of clips: the mean of the L1 norm of their second differences
 * (MCGaze's `GazeTempLoss`).
 *
 * Gradient: with s[t] the signs of 2 pred[t] - pred[t - 1] - pred[t + 1], where frames beyond an end are mirrored at it:
 * dpred[t] = dy lossWeight (2 s[t] - m s[t - 1] - n s[t + 1]) / their number, m and n 2 next to an end, else 1.
 * @param pred [B, T, 3], T >= 2
 * @param lossWeight a factor; default 1
 * @returns a scalar
 * @throws {ShapeError} when there are fewer than two frames, or no clip
 */
export function temporalLoss(
  pred: Tensor,
  { lossWeight = 1 }: { lossWeight?: number } = {},
): Tensor {
  expectFloat("temporalLoss: pred", pred);
  const [batch, frames] = expectShape("temporalLoss: pred", pred, ["B", "T", 3]);
  if (frames < 2) {
    throw new ShapeError(`temporalLoss(): clips of ${frames} frame, needs 2 or more`);
  }
  const { rows, divisor, factor } = rowsOf("temporalLoss", pred, batch * frames, [], {
    lossWeight,
  });
  const shape = { rows, divisor, factor, frames };
  return rowLoss("temporalLoss", pred, {}, {}, {
    forward: changeKernel(shape),
    backward: () => changeLossBackward(shape),
  });
}

/**
 * Checks weight and avgFactor, and describes the sum.
 * @param coarse the shape of the smallest weight that is possible: one for several rows in turn
 */
function rowsOf(
  name: string,
  pred: Tensor,
  rows: number,
  coarse: readonly number[],
  { weight, avgFactor = rows, lossWeight: factor = 1 }: RowLossOptions,
): RowLossShape {
  if (rows === 0) throw new ShapeError(`${name}(): ${pred.describe()} has no rows`);
  if (weight !== undefined) {
    expectDType(`${name}: weight`, weight, "f32");
    const fits = weight.shape.join() === coarse.join() ||
      (weight.size === rows && weight.shape.join() === pred.shape.join());
    if (!fits) {
      throw new ShapeError(
        `${name}: weight has shape [${weight.shape.join(", ")}], needs [${coarse.join(", ")}]` +
          (rows === pred.size ? ` or [${pred.shape.join(", ")}]` : ""),
      );
    }
  }
  if (typeof avgFactor !== "number") {
    expectDType(`${name}: avgFactor`, avgFactor, "f32");
    expectShape(`${name}: avgFactor`, avgFactor, []);
  }
  return {
    rows,
    per: weight === undefined ? 0 : rows / weight.size,
    divisor: typeof avgFactor === "number" ? avgFactor : "tensor",
    factor,
  };
}

/** Records a loss of `pred`; the kernels' other bindings are constants. */
function rowLoss(
  name: string,
  pred: Tensor,
  constants: Readonly<Record<string, Tensor>>,
  { weight, avgFactor }: RowLossOptions,
  kernels: { forward: Kernel; backward: () => Kernel },
): Tensor {
  const { device } = pred;
  const read = {
    ...constants,
    ...(weight && { weight }),
    ...(typeof avgFactor === "object" && { divisor: avgFactor }),
  };
  const loss = device.empty([], "f32", name);
  run(kernels.forward, { pred, ...read, loss });
  record<Record<string, Tensor>>(name, {
    inputs: { pred },
    outputs: [loss],
    saved: { pred, ...read },
    backward: ({ saved, dOut }) => {
      const dPred = device.empty(saved.pred.shape, saved.pred.dtype, `${name}.backward`);
      run(kernels.backward(), { ...saved, dOut, dPred });
      return { pred: dPred };
    },
  });
  return loss;
}
