/**
 * Axes as users write them: negative ones count from the end. No op is defined here.
 * @module
 */
import { ShapeError } from "../errors.ts";
import { expectTensor, type Tensor } from "../tensor.ts";

/** An axis as a number in [0, rank). @throws {ShapeError} when x has no such axis */
export function resolveAxis(name: string, x: Tensor, axis: number): number {
  expectTensor(`${name}: x`, x);
  const k = axis < 0 ? axis + x.rank : axis;
  if (!Number.isInteger(axis) || k < 0 || k >= x.rank) {
    const range = x.rank === 0
      ? "a scalar has none"
      : `it must be an integer from ${-x.rank} to ${x.rank - 1}`;
    throw new ShapeError(`${name}(): axis ${axis} does not exist in ${x.describe()}; ${range}`);
  }
  return k;
}

/**
 * The same for ops that need something along the axis.
 * @throws {ShapeError} when x has no such axis, or rows along it that are empty
 */
export function resolveFilledAxis(name: string, x: Tensor, axis: number): number {
  const k = resolveAxis(name, x, axis);
  const rows = x.shape.some((d, i) => i !== k && d === 0) ? 0 : 1;
  if (x.shape[k] === 0 && rows > 0) {
    throw new ShapeError(`${name}(): axis ${axis} of ${x.describe()} is empty, needs 1 or more`);
  }
  return k;
}

/**
 * Axes as rising numbers in [0, rank); all of them when none are given.
 * @throws {ShapeError} naming the axis that x does not have, or has twice
 */
export function resolveAxes(
  name: string,
  x: Tensor,
  axes: number | readonly number[] | undefined,
): number[] {
  if (axes === undefined) return x.shape.map((_, k) => k);
  const given = typeof axes === "number" ? [axes] : axes;
  const resolved = given.map((axis) => resolveAxis(name, x, axis)).sort((a, b) => a - b);
  resolved.forEach((axis, k) => {
    if (axis === resolved[k - 1]) {
      throw new ShapeError(`${name}(): axis ${axis} is given twice in [${given.join(", ")}]`);
    }
  });
  return resolved;
}
