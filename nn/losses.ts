/**
 * Losses of general use, as scalars: the mean over all elements or over the batch.
 * @module
 */
import { abs, square } from "../engine/ops/elementwise.ts";
import { sub } from "../engine/ops/arithmetic.ts";
import { mean } from "../engine/ops/reduce.ts";
import { ShapeError } from "../engine/errors.ts";
import { sameShape, type Tensor } from "../engine/tensor.ts";

export { crossEntropy, type CrossEntropyOptions } from "../engine/ops/cross_entropy.ts";

/** Mean of (prediction - target)^2. @throws {ShapeError} when the shapes differ */
export function meanSquaredError(prediction: Tensor, target: Tensor): Tensor {
  expectSame("meanSquaredError", prediction, target);
  return mean(square(sub(prediction, target)));
}

/** Mean of |prediction - target|. @throws {ShapeError} when the shapes differ */
export function meanAbsoluteError(prediction: Tensor, target: Tensor): Tensor {
  expectSame("meanAbsoluteError", prediction, target);
  return mean(abs(sub(prediction, target)));
}

/** Broadcasting would be a silent mistake here: [B, 1] against [B] would compare every pair. */
function expectSame(what: string, prediction: Tensor, target: Tensor): void {
  if (!sameShape(prediction.shape, target.shape)) {
    throw new ShapeError(
      `${what}(): prediction ${prediction.describe()} and target ${target.describe()} differ in shape`,
    );
  }
}
