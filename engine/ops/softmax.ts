/**
 * Softmax and log-softmax along any axis; maths and kernels in kernels/softmax.ts.
 * @module
 */
import { axisView } from "../../kernels/axis_view.ts";
import { softmaxBackward, softmaxForward } from "../../kernels/softmax_workgroup.ts";
import { record } from "../autograd.ts";
import { preciseDType } from "../cast.ts";
import { run } from "../dispatch.ts";
import { expectFloat, type Tensor } from "../tensor.ts";
import { resolveFilledAxis } from "./axes.ts";

/**
 * exp(x) / sum(exp(x)) along an axis, safe from overflow. Same shape.
 *
 * Gradient: dx = y (dy - sum(dy y)), the sum along the axis.
 * @param axis negative counts from the end; default the last
 * @throws {ShapeError} when x has no such axis or the axis is empty
 */
export function softmax(x: Tensor, axis = -1): Tensor {
  return alongAxis("softmax", x, axis, false);
}

/**
 * The logarithm of softmax, computed without taking the logarithm of a small number. Same shape.
 *
 * Gradient: dx = dy - exp(y) sum(dy), the sum along the axis.
 * @param axis negative counts from the end; default the last
 * @throws {ShapeError} when x has no such axis or the axis is empty
 */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return alongAxis("logSoftmax", x, axis, true);
}

function alongAxis(name: string, x: Tensor, axis: number, log: boolean): Tensor {
  expectFloat(`${name}: x`, x);
  const view = axisView(x.shape, resolveFilledAxis(name, x, axis));
  const y = x.device.empty(x.shape, preciseDType(x), name);
  if (x.size > 0) run(softmaxForward(view, x.device.target, { log }), { x, y });
  const xType = x.dtype;
  record(name, {
    inputs: { x },
    outputs: [y],
    saved: { y },
    backward: ({ saved, dOut }) => {
      const dx = dOut.device.empty(dOut.shape, xType, `${name} dx`);
      if (dx.size > 0) {
        run(softmaxBackward(view, dx.device.target, { log }), { y: saved.y, dOut, dx });
      }
      return { x: dx };
    },
  });
  return y;
}
