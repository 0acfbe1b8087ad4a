/**
 * Reductions over any set of axes as passes over [outer, n, inner]; no op is defined here.
 * @module
 */
import { planReduce, reduce, type ReduceFunction } from "../../kernels/reduce.ts";
import type { GradTarget } from "../autograd.ts";
import { run } from "../dispatch.ts";
import { storeGradient } from "../gradients.ts";
import { type DType, Tensor } from "../tensor.ts";

/**
 * Reduces a tensor over axes; neighbouring axes go together, separate ones one after the other, the last first.
 * @param axes rising, in [0, rank)
 * @param shape of the result; it has as many elements as what the axes leave
 * @param options scale: factor of the result; target: a leaf's place to write instead of a new tensor; dtype: of the new
 *   tensor, default that of x. What lies between two passes is f32
 * @returns the new tensor, or undefined with a target. When only axes of length 1 are reduced, x's own
 *   memory under the new shape
 */
export function reducePasses(
  name: string,
  f: ReduceFunction,
  x: Tensor,
  axes: readonly number[],
  shape: readonly number[],
  options: { scale?: number; target?: GradTarget; dtype?: DType } = {},
): Tensor | undefined {
  const { scale, target, dtype = x.dtype } = options;
  const passes = x.size === 0 ? [] : passesOver(x, axes);
  if (passes.length === 0) {
    const y = x.size === 0
      ? x.device.zeros(shape, dtype) // the sum over nothing
      : new Tensor(x.device, shape, x.dtype, x.storage);
    if (target) storeGradient(y, target);
    return target ? undefined : y;
  }
  let from = x;
  for (const [k, pass] of passes.entries()) {
    const { outer, inner } = pass.view;
    if (k < passes.length - 1) {
      const partial = x.device.empty([outer, pass.splits, inner], "f32", name);
      run(reduce(f, pass), { x: from, y: partial });
      from = partial;
    } else if (target) {
      run(reduce(f, pass, { scale, accumulate: target.accumulate }), { x: from, y: target.tensor });
    } else {
      const y = x.device.empty(shape, dtype, name);
      run(reduce(f, pass, { scale }), { x: from, y });
      return y;
    }
  }
}

function passesOver(x: Tensor, axes: readonly number[]) {
  const runs: { reduced: boolean; size: number }[] = [];
  x.shape.forEach((d, k) => {
    if (d === 1) return;
    const reduced = axes.includes(k);
    const last = runs.at(-1);
    if (last?.reduced === reduced) last.size *= d;
    else runs.push({ reduced, size: d });
  });
  const product = (from: number, to: number) =>
    runs.slice(from, to).reduce((p, { size }) => p * size, 1);
  const passes = [];
  for (let k = runs.length - 1; k >= 0; k--) {
    if (!runs[k].reduced) continue;
    const view = { outer: product(0, k), n: runs[k].size, inner: product(k + 1, runs.length) };
    passes.push(...planReduce(view, x.device.target));
    runs[k].size = 1;
  }
  return passes;
}
