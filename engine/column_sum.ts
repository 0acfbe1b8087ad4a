/**
 * Column sums for the backward of ops: one launch, or two for tall matrices, into a parameter's gradient or a new tensor.
 * @module
 */
import { columnSum, columnSumStrip } from "../kernels/column_sum.ts";
import type { GradTarget } from "./autograd.ts";
import { run } from "./dispatch.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Sums x, seen as [rows, cols] with rows = x.size / cols, over its rows.
 * @param shape of the result; its size is `cols`
 * @param into where to write or add; then nothing is returned
 */
export function sumColumns(
  x: Tensor,
  shape: readonly number[],
  into?: GradTarget,
): Tensor | undefined {
  const { device } = x;
  const y = into?.tensor ?? device.empty(shape, "f32", "column sum");
  const cols = y.size;
  if (x.size === 0) {
    if (cols > 0 && !into?.accumulate) device.clear(y);
    return into ? undefined : y;
  }
  let rows = x.size / cols, source = x;
  const strip = columnSumStrip(rows, cols, device.target);
  if (strip < rows) {
    const kernel = columnSum(rows, cols, { strip });
    rows = kernel.sizes.y / cols;
    source = device.empty([rows, cols], "f32", "partial column sums");
    run(kernel, { x, y: source });
  }
  run(columnSum(rows, cols, { accumulate: into?.accumulate }), { x: source, y });
  return into ? undefined : y;
}
