/**
 * Entmax-1.5 along any axis; maths and kernels in kernels/entmax.ts.
 * @module
 */
import { axisView } from "../../kernels/axis_view.ts";
import { entmaxBackward, entmaxForward } from "../../kernels/entmax_workgroup.ts";
import { record } from "../autograd.ts";
import { preciseDType } from "../cast.ts";
import { run } from "../dispatch.ts";
import { expectFloat, type Tensor } from "../tensor.ts";
import { resolveFilledAxis } from "./axes.ts";

/**
 * The sparse softmax max((x - max x) / 2 - t, 0)^2 with the t that makes it sum to 1 (arXiv:1905.05702). Same shape.
 *
 * Gradient: with s = sqrt(y): dx = s (dy - sum(s dy) / sum(s)), the sums along the axis.
 * @param axis negative counts from the end; default the last
 * @throws {ShapeError} when x has no such axis or the axis is empty
 */
export function entmax15(x: Tensor, axis = -1): Tensor {
  expectFloat("entmax15: x", x);
  const view = axisView(x.shape, resolveFilledAxis("entmax15", x, axis));
  const y = x.device.empty(x.shape, preciseDType(x), "entmax15");
  if (x.size > 0) run(entmaxForward(view, x.device.target), { x, y });
  const xType = x.dtype;
  record("entmax15", {
    inputs: { x },
    outputs: [y],
    saved: { y },
    backward: ({ saved, dOut }) => {
      const dx = dOut.device.empty(dOut.shape, xType, "entmax15 dx");
      if (dx.size > 0) run(entmaxBackward(view, dx.device.target), { y: saved.y, dOut, dx });
      return { x: dx };
    },
  });
  return y;
}
