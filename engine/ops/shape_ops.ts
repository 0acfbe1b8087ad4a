/**
 * Ops that move values without changing them. Tensors have no strides, so all of them copy, except where nothing moves.
 *
 *     slice        y = a piece of x along an axis     dx = dy in its place, zeros around
 *     concat       y = the inputs side by side        dx_i = the piece of dy that came from x_i
 *     permute      y = x with its axes reordered      dx = dy with its axes put back
 *     broadcastTo  y = x, repeated                    dx = dy summed over the repetitions
 * @module
 */
import { concatRows, embedRows, MAX_CONCAT_INPUTS } from "../../kernels/concat.ts";
import { permute as permuteKernel } from "../../kernels/permute.ts";
import { mergeDims, stridedMap } from "../../kernels/strided_map.ts";
import { record } from "../autograd.ts";
import { run } from "../dispatch.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { expectTensor, sameShape, sizeOf, Tensor } from "../tensor.ts";
import { resolveAxis } from "./axes.ts";
import { to } from "./to.ts";
import {
  broadcastMap,
  broadcastShapes,
  denseStrides,
  expectFewDims,
  unbroadcast,
} from "./broadcast.ts";

/** The most dimensions a permutation may move after neighbours that stay together are merged. */
const MAX_PERMUTED_DIMS = 5;

/**
 * The part [start, end) of a tensor along one axis; the other axes stay whole.
 *
 * Gradient: dx = dy in its place, 0 around it.
 * @param axis negative ones count from the end
 * @throws {ShapeError} when the part does not lie within the axis
 */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  const k = resolveAxis("slice", x, axis);
  const n = x.shape[k];
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end < start || end > n) {
    throw new ShapeError(
      `slice(): [${start}, ${end}) does not lie within axis ${axis} of ${x.describe()}, which has length ${n}`,
    );
  }
  if (start === 0 && end === n) return x;
  const shape = x.shape.map((d, i) => i === k ? end - start : d);
  const y = x.device.empty(shape, x.dtype, "slice");
  const strides = denseStrides(x.shape);
  if (y.size > 0) {
    const a = { strides, size: x.size, offset: start * strides[k] };
    run(stridedMap("copy", shape, { a }), { a_in: x, y });
  }
  const xShape = x.shape;
  record("slice", {
    inputs: { x },
    outputs: [y],
    saved: {},
    backward: ({ dOut }) => {
      const dx = dOut.device.empty(xShape, dOut.dtype, "slice.backward");
      const inner = strides[k];
      const piece = { length: n * inner, begin: start * inner, piece: (end - start) * inner };
      if (dOut.size === 0) return { x: dOut.device.zeros(xShape, dOut.dtype) };
      run(embedRows({ rows: sizeOf(xShape.slice(0, k)), ...piece }), { x: dOut, y: dx });
      return { x: dx };
    },
  });
  return y;
}

/**
 * Joins tensors along one axis; in all other axes, and in dtype, they must agree, but f16 with f32 gives f32.
 *
 * Gradient: dtensors[i] = the part of dy that it became.
 * @param axis negative ones count from the end
 * @throws {ShapeError} when another axis differs, or the list is empty
 */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  if (tensors.length === 0) throw new ShapeError("concat(): needs at least one tensor, got none");
  tensors.forEach((x, i) => expectTensor(`concat: tensor ${i}`, x));
  const first = tensors[0];
  const k = resolveAxis("concat", first, axis);
  for (const [i, x] of tensors.entries()) {
    if (x.rank !== first.rank || x.shape.some((d, j) => j !== k && d !== first.shape[j])) {
      throw new ShapeError(
        `concat(): tensor ${i} is [${x.shape.join(", ")}] and tensor 0 [${
          first.shape.join(", ")
        }]; ` +
          `they may differ along axis ${axis} only`,
      );
    }
    if (x.dtype !== first.dtype && !(isFloat(x) && isFloat(first))) {
      throw new DTypeError(`concat(): tensor ${i} is ${x.dtype}, tensor 0 ${first.dtype}`);
    }
  }
  if (tensors.some(({ dtype }) => dtype !== first.dtype)) {
    return concat(tensors.map((x) => to(x, "f32")), axis);
  }
  if (tensors.length === 1) return first;
  if (tensors.length > MAX_CONCAT_INPUTS) {
    const groups = [];
    for (let i = 0; i < tensors.length; i += MAX_CONCAT_INPUTS) {
      groups.push(concat(tensors.slice(i, i + MAX_CONCAT_INPUTS), k));
    }
    return concat(groups, k);
  }
  const lengths = tensors.map((x) => x.shape[k]);
  const total = lengths.reduce((a, b) => a + b, 0);
  const y = first.device.empty(
    first.shape.map((d, j) => j === k ? total : d),
    first.dtype,
    "concat",
  );
  const rows = sizeOf(y.shape.slice(0, k)), inner = sizeOf(y.shape.slice(k + 1));
  const filled = tensors.filter((x) => x.size > 0);
  if (filled.length > 0) {
    const bound = Object.fromEntries(filled.map((x, i) => [`x${i}`, x]));
    run(concatRows(rows, filled.map((x) => x.shape[k] * inner)), { ...bound, y });
  }
  record("concat", {
    inputs: Object.fromEntries(tensors.map((x, i) => [`x${i}`, x])),
    outputs: [y],
    saved: {},
    backward: ({ dOut, needs }) => {
      const gradients: Record<string, Tensor> = {};
      let begin = 0;
      lengths.forEach((length, i) => {
        if (needs(`x${i}`)) gradients[`x${i}`] = slice(dOut, k, begin, begin + length);
        begin += length;
      });
      return gradients;
    },
  });
  return y;
}

function isFloat({ dtype }: Tensor): boolean {
  return dtype === "f32" || dtype === "f16";
}

/**
 * Reorders axes: axis k of the result is axis `order[k]` of x, so `permute(x, [0, 2, 1])` transposes matrices.
 *
 * Gradient: dx = dy with the axes put back.
 * @throws {ShapeError} when `order` does not name every axis once, or takes x apart into more than 5 dimensions
 */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  expectTensor("permute: x", x);
  const complete = order.length === x.rank &&
    x.shape.every((_, k) => order.includes(k));
  if (!complete) {
    throw new ShapeError(
      `permute(): [${order.join(", ")}] does not name each axis of ${x.describe()} once`,
    );
  }
  const shape = order.map((k) => x.shape[k]);
  const own = denseStrides(x.shape);
  const strides = order.map((k) => own[k]);
  const merged = mergeDims(shape, [strides]);
  if (merged.dims.length > MAX_PERMUTED_DIMS) {
    throw new ShapeError(
      `permute(): [${
        order.join(", ")
      }] takes ${x.describe()} apart into ${merged.dims.length} dimensions, ` +
        `at most ${MAX_PERMUTED_DIMS} are possible; permute in two steps`,
    );
  }
  const nothingMoves = merged.dims.length === 1 || x.size === 0;
  const y = nothingMoves
    ? new Tensor(x.device, shape, x.dtype, x.storage)
    : x.device.empty(shape, x.dtype, "permute");
  if (!nothingMoves) {
    run(permuteKernel(shape, strides, x.device.target), { a_in: x, y });
  }
  record("permute", {
    inputs: { x },
    outputs: [y],
    saved: {},
    backward: ({ dOut }) => ({ x: permute(dOut, order.map((_, k) => order.indexOf(k))) }),
  });
  return y;
}

/**
 * Repeats a tensor to a larger shape, by the rules of NumPy: shapes are aligned at their ends, a length of 1 stretches.
 * Arithmetic broadcasts by itself and needs no such copy.
 *
 * Gradient: dx = dy summed over the axes that were repeated.
 * @throws {ShapeError} when x does not stretch to the shape
 */
export function broadcastTo(x: Tensor, shape: readonly number[]): Tensor {
  expectTensor("broadcastTo: x", x);
  const whole = broadcastShapes("broadcastTo", x.shape, shape);
  if (!sameShape(whole, shape)) {
    throw new ShapeError(
      `broadcastTo(): ${x.describe()} does not stretch to [${shape.join(", ")}]`,
    );
  }
  if (sameShape(x.shape, shape)) return x;
  expectFewDims("broadcastTo", shape, [x]);
  const y = broadcastMap("broadcastTo", "copy", shape, { a: x });
  const xShape = x.shape;
  record("broadcastTo", {
    inputs: { x },
    outputs: [y],
    saved: {},
    backward: ({ dOut, target }) => ({ x: unbroadcast(dOut, xShape, target("x")) }),
  });
  return y;
}
