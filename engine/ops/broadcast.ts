/**
 * What ops with broadcasting share: shapes, strides, and the sum that undoes a broadcast. No op is defined here.
 * @module
 */
import { mergeDims, stridedMap } from "../../kernels/strided_map.ts";
import type { MapFunctionName, MapInputs, StridedInput } from "../../kernels/strided_map.ts";
import { promoted } from "../cast.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import type { DType, Tensor } from "../tensor.ts";
import { reducePasses } from "./reduce_passes.ts";
import type { GradTarget } from "../autograd.ts";

/** The most dimensions a broadcast may have after neighbours that behave alike are merged. */
export const MAX_BROADCAST_DIMS = 4;

/**
 * The shape two shapes broadcast to: aligned at the end, where a length of 1 stretches.
 * @throws {ShapeError} naming both shapes
 */
export function broadcastShapes(
  name: string,
  a: readonly number[],
  b: readonly number[],
): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, k) => {
    const da = a[k - rank + a.length] ?? 1, db = b[k - rank + b.length] ?? 1;
    if (da !== db && da !== 1 && db !== 1) {
      throw new ShapeError(
        `${name}(): shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast: ` +
          `${da} and ${db} differ and neither is 1`,
      );
    }
    return da === 1 ? db : da;
  });
}

/** Row-major strides of a dense shape. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let k = shape.length - 2; k >= 0; k--) strides[k] = strides[k + 1] * shape[k + 1];
  return strides;
}

/** How a tensor is walked when it is stretched to `shape`: stride 0 along every stretched dimension. */
export function stretched(x: Tensor, shape: readonly number[]): StridedInput {
  const own = denseStrides(x.shape), missing = shape.length - x.rank;
  const strides = shape.map((_, k) =>
    k < missing || x.shape[k - missing] === 1 ? 0 : own[k - missing]
  );
  return { strides, size: x.size };
}

/**
 * A new tensor f(inputs) of a shape that every input stretches to, by one dispatch. (The kernel takes any number of
 * dimensions; what users can ask for is limited by `expectFewDims`.)
 * @param dtype of the result; default f16 where all inputs are, else f32
 */
export function broadcastMap(
  name: string,
  f: MapFunctionName,
  shape: readonly number[],
  inputs: { a: Tensor; b?: Tensor | number; g?: Tensor },
  dtype: DType = f === "copy" ? inputs.a.dtype : promoted(inputs.a, inputs.b, inputs.g),
): Tensor {
  const { a, b, g } = inputs;
  const y = a.device.empty(shape, dtype, name);
  if (y.size === 0) return y;
  const walks: MapInputs = {
    a: stretched(a, shape),
    b: b === undefined || typeof b === "number" ? b : stretched(b, shape),
    g: g && stretched(g, shape),
  };
  const tensors: Record<string, Tensor> = { a_in: a, y };
  if (typeof b === "object") tensors.b_in = b;
  if (g) tensors.g_in = g;
  run(stridedMap(f, shape, walks), tensors);
  return y;
}

/** @throws {ShapeError} when stretching these tensors to a shape takes more than four merged dimensions */
export function expectFewDims(
  name: string,
  shape: readonly number[],
  inputs: readonly Tensor[],
): void {
  const { dims } = mergeDims(shape, inputs.map((x) => stretched(x, shape).strides));
  if (dims.length > MAX_BROADCAST_DIMS) {
    throw new ShapeError(
      `${name}(): broadcasting ${inputs.map((x) => `[${x.shape.join(", ")}]`).join(" and ")} to ` +
        `[${
          shape.join(", ")
        }] takes ${dims.length} dimensions, at most ${MAX_BROADCAST_DIMS} are possible; ` +
        "permute() first, so that stretched dimensions lie side by side",
    );
  }
}

/**
 * Sums a gradient over the dimensions along which a tensor of `shape` was stretched; the gradient itself where none was.
 * @param target a leaf's place, which is then written; the result is undefined
 */
export function unbroadcast(
  gradient: Tensor,
  shape: readonly number[],
  target?: GradTarget,
): Tensor | undefined {
  const missing = gradient.rank - shape.length;
  const axes = gradient.shape.flatMap((d, k) =>
    k < missing || (shape[k - missing] === 1 && d !== 1) ? [k] : []
  );
  return reducePasses("unbroadcast", "sum", gradient, axes, shape, { target, dtype: "f32" });
}
