/**
 * Cutting tensors: some indices along an axis, and experts out of an MLP.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import type { StateEntry } from "../nn/state_dict.ts";

/** Indices to keep along an axis. */
export interface AxisCut {
  /** The axis. */
  readonly axis: number;
  /** What is kept, in order. */
  readonly indices: ArrayLike<number>;
}

/**
 * Keeps some indices of some axes.
 * @throws {ShapeError} an index does not exist
 */
export function take({ shape, data }: StateEntry, cuts: readonly AxisCut[]): StateEntry {
  let values = data, sizes = shape;
  for (const { axis, indices } of cuts) {
    const length = sizes[axis], count = indices.length;
    const product = (part: readonly number[]) => part.reduce((a, b) => a * b, 1);
    const outer = product(sizes.slice(0, axis)), inner = product(sizes.slice(axis + 1));
    const kept = new Float32Array(outer * count * inner);
    for (let k = 0; k < count; k++) {
      const index = indices[k];
      if (!(index >= 0 && index < length)) {
        throw new ShapeError(
          `take(): ${index} is not one of 0 to ${length - 1} along axis ${axis}`,
        );
      }
      for (let o = 0; o < outer; o++) {
        const from = (o * length + index) * inner, to = (o * count + k) * inner;
        if (inner === 1) kept[to] = values[from];
        else kept.set(values.subarray(from, from + inner), to);
      }
    }
    values = kept;
    sizes = sizes.map((size, i) => i === axis ? count : size);
  }
  return { shape: sizes, data: values };
}

/**
 * The same tensor cut in `count` ways, stacked along a new first axis.
 * @param cutsOf what an expert keeps
 * @throws {ShapeError} experts keep different numbers, or an index does not exist
 */
export function stack(
  source: StateEntry,
  count: number,
  cutsOf: (expert: number) => readonly AxisCut[],
): StateEntry {
  let shape: readonly number[] = [], data = new Float32Array(0);
  for (let e = 0; e < count; e++) {
    const one = take(source, cutsOf(e));
    if (e === 0) {
      shape = [count, ...one.shape];
      data = new Float32Array(count * one.data.length);
    }
    if (one.data.length * count !== data.length) {
      throw new ShapeError(
        `stack(): expert ${e} keeps [${one.shape}], the first [${shape.slice(1)}]`,
      );
    }
    data.set(one.data, e * one.data.length);
  }
  return { shape, data };
}

/** The two layers of an MLP; with a leading expert dimension when stacked. */
export interface MlpWeights {
  /** `weight` [hidden, dim], `bias` [hidden]. */
  readonly fc1: { readonly weight: StateEntry; readonly bias: StateEntry };
  /** `weight` [dim, hidden], `bias` [dim]. */
  readonly fc2: { readonly weight: StateEntry; readonly bias: StateEntry };
}

/**
 * Cuts experts out of an MLP and stacks them: fc1 [experts, subset, dim], fc2 [experts, dim, subset].
 * @param indices for each expert the hidden neurons it keeps; equally many
 * @throws {ShapeError} the numbers of neurons differ, or one does not exist
 */
export function stackExperts(mlp: MlpWeights, indices: readonly ArrayLike<number>[]): MlpWeights {
  const cut = (source: StateEntry, axis: number | null) =>
    stack(source, indices.length, (e) => axis === null ? [] : [{ axis, indices: indices[e] }]);
  return {
    fc1: { weight: cut(mlp.fc1.weight, 0), bias: cut(mlp.fc1.bias, 0) },
    fc2: { weight: cut(mlp.fc2.weight, 1), bias: cut(mlp.fc2.bias, null) },
  };
}
