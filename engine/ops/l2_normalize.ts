/**
 * Rows scaled to length one; maths and kernels in kernels/l2_normalize.ts.
 * @module
 */
import {
  l2NormalizeBackward,
  l2NormalizeForward,
  l2NormalizeVariant,
} from "../../kernels/l2_normalize.ts";
import { record } from "../autograd.ts";
import { preciseDType } from "../cast.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, type Tensor } from "../tensor.ts";

/**
 * x / (|x| + eps) over the last axis. Same shape. The gradient is finite everywhere: at a zero row it is dOut / eps.
 *
 * Gradient: dx = dy / (|x| + eps) - y <y, dy> / |x| for each row; the last term is 0 at x = 0.
 * @param eps added to the norm, not under the root; 1e-6 as in MoE Jetpack
 * @throws {ShapeError} when x has no last axis or it is empty, or eps is negative
 */
export function l2Normalize(x: Tensor, eps = 1e-6): Tensor {
  expectFloat("l2Normalize: x", x);
  const n = x.rank > 0 ? x.shape[x.rank - 1] : 0;
  if (n === 0) {
    throw new ShapeError(
      `l2Normalize(): ${x.describe()} has no last axis of 1 or more to normalise over`,
    );
  }
  if (!(eps >= 0)) throw new ShapeError(`l2Normalize(): eps is ${eps}, needs 0 or more`);
  const shape = { rows: x.size / n, n, eps };
  const variant = l2NormalizeVariant(shape, x.device.target);
  const y = x.device.empty(x.shape, preciseDType(x), "l2Normalize");
  if (x.size > 0) run(l2NormalizeForward(shape, variant), { x, y });
  const xType = x.dtype;
  record("l2Normalize", {
    inputs: { x },
    outputs: [y],
    saved: { x },
    backward: ({ saved, dOut }) => {
      const dx = dOut.device.empty(dOut.shape, xType, "l2Normalize dx");
      if (dx.size > 0) run(l2NormalizeBackward(shape, variant), { x: saved.x, dOut, dx });
      return { x: dx };
    },
  });
  return y;
}
