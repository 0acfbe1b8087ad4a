/**
 * Sums, means and maxima over any axes.
 *
 *     sum    y = sum x      dx = dy, repeated
 *     mean   y = sum x / n  dx = dy / n, repeated
 *     max    y = max x      dx = dy / (how many entries equal the maximum) at each of those entries, 0 elsewhere
 * @module
 */
import { record } from "../autograd.ts";
import { castTo, preciseDType } from "../cast.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, sizeOf, Tensor } from "../tensor.ts";
import { resolveAxes } from "./axes.ts";
import { broadcastMap } from "./broadcast.ts";
import { reducePasses } from "./reduce_passes.ts";

/** Options of the reductions. */
export interface ReduceOptions {
  /** Keep the reduced axes with length 1; default false: they are dropped. */
  keepDims?: boolean;
}

/**
 * Sum over axes; negative ones count from the end. Without axes: over all, to a scalar.
 *
 * Gradient: dx = dy, repeated along the axes that were summed.
 * @throws {ShapeError} for an axis x does not have
 */
export function sum(x: Tensor, axes?: number | readonly number[], options?: ReduceOptions): Tensor {
  return reduction("sum", x, axes, options);
}

/**
 * Arithmetic mean over axes; negative ones count from the end. Without axes: over all, to a scalar.
 *
 * Gradient: dx = dy / n, repeated along the axes, n the number of elements that were averaged.
 * @throws {ShapeError} for an axis x does not have, or a mean over nothing
 */
export function mean(
  x: Tensor,
  axes?: number | readonly number[],
  options?: ReduceOptions,
): Tensor {
  return reduction("mean", x, axes, options);
}

/**
 * Maximum over axes; negative ones count from the end. Without axes: over all, to a scalar. Equal maxima share the
 * gradient evenly.
 *
 * Gradient: dx = dy / (number of equal maxima) where x is the maximum, 0 elsewhere.
 * @throws {ShapeError} for an axis x does not have, or a maximum over nothing
 */
export function max(x: Tensor, axes?: number | readonly number[], options?: ReduceOptions): Tensor {
  return reduction("max", x, axes, options);
}

function reduction(
  name: "sum" | "mean" | "max",
  x: Tensor,
  axes: number | readonly number[] | undefined,
  { keepDims = false }: ReduceOptions = {},
): Tensor {
  expectFloat(`${name}: x`, x);
  const over = resolveAxes(name, x, axes);
  const kept = x.shape.map((d, k) => over.includes(k) ? 1 : d);
  const shape = keepDims ? kept : x.shape.filter((_, k) => !over.includes(k));
  const n = over.reduce((product, k) => product * x.shape[k], 1);
  if (n === 0 && name !== "sum" && sizeOf(shape) > 0) {
    throw new ShapeError(`${name}(): ${x.describe()} has no elements along axes [${over}]`);
  }
  const scale = name === "mean" ? 1 / n : 1;
  const dtype = name === "max" ? x.dtype : preciseDType(x);
  const f = name === "max" ? "max" : "sum";
  const y = castTo(reducePasses(name, f, x, over, shape, { scale, dtype })!, dtype);
  const xShape = x.shape, xType = x.dtype;
  record(name, {
    inputs: { x },
    outputs: [y],
    saved: name === "max" ? { x, y } : {},
    backward: ({ saved, dOut }) => {
      const g = viewAs(dOut, kept);
      if (!saved.x || !saved.y) {
        return { x: broadcastMap(`${name}.backward`, "mul", xShape, { a: g, b: scale }, xType) };
      }
      const equal = broadcastMap("max.ties", "equal", xShape, {
        a: saved.x,
        b: viewAs(saved.y, kept),
      });
      const ties = reducePasses("max.ties", "sum", equal, over, kept, { dtype: "f32" })!;
      const inputs = { a: equal, b: ties, g };
      return { x: broadcastMap("max.backward", "share", xShape, inputs, xType) };
    },
  });
  return y;
}

function viewAs(x: Tensor, shape: readonly number[]): Tensor {
  return new Tensor(x.device, shape, x.dtype, x.storage);
}
