/**
 * Reshape: the same values under another shape. Free: no kernel runs, memory is shared.
 * @module
 */
import { record } from "../autograd.ts";
import { ShapeError } from "../errors.ts";
import { expectTensor, sizeOf, Tensor } from "../tensor.ts";

/**
 * Views a tensor under another shape with as many elements. One dimension may be -1: it is computed.
 *
 * Gradient: dx = dy under the shape of x; no kernel runs.
 * @throws {ShapeError} when the sizes differ
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  expectTensor("reshape: x", x);
  const known = sizeOf(shape.filter((d) => d !== -1));
  const dims = shape.map((d) => d === -1 ? x.size / known : d);
  const fits = dims.every((d) => Number.isInteger(d) && d >= 0) && sizeOf(dims) === x.size;
  if (shape.filter((d) => d === -1).length > 1 || !fits) {
    throw new ShapeError(
      `reshape(): ${x.describe()} has ${x.size} elements and cannot become [${
        shape.join(", ")
      }]; ` +
        `its sizes must multiply to ${x.size}`,
    );
  }
  const y = new Tensor(x.device, dims, x.dtype, x.storage);
  record("reshape", {
    inputs: { x },
    outputs: [y],
    saved: {},
    backward: ({ dOut }) => ({ x: reshape(dOut, x.shape) }),
  });
  return y;
}
