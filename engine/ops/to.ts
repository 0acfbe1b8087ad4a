/**
 * Between f32 and f16 (kernels/cast.ts).
 * @module
 */
import { record } from "../autograd.ts";
import { castTo } from "../cast.ts";
import { DTypeError } from "../errors.ts";
import { expectFloat, type Tensor } from "../tensor.ts";

/**
 * The values of x as f32 or f16; x itself where it is that already. To f16, numbers are rounded to 11 bits, and beyond
 * 65,504 become infinite.
 *
 * Gradient: dx = dy.
 * @throws {DTypeError} when x holds integers, or there is no such float type
 * @throws {FeatureError} for f16 on a device without `shader-f16`
 */
export function to(x: Tensor, dtype: "f32" | "f16"): Tensor {
  expectFloat("to: x", x);
  if (dtype !== "f32" && dtype !== "f16") {
    throw new DTypeError(`to(): ${dtype} is no float type, needs f32 or f16`);
  }
  if (x.dtype === dtype) return x;
  const y = castTo(x, dtype);
  record("to", { inputs: { x }, outputs: [y], saved: {}, backward: ({ dOut }) => ({ x: dOut }) });
  return y;
}
