/**
 * A linear map for each of E experts, in one launch; forward and backward are those of linear.ts, batched.
 * @module
 */
import { expectDType, expectShape, type Tensor } from "../tensor.ts";
import { biasedProduct, type LinearOptions } from "./linear.ts";

/**
 * f(x[e] W[e]^T + b[e]) for every expert e: x [E, M, In] -> [E, M, Out].
 *
 * Gradient: those of `linear` for each expert, with g = dy f': dx[e] = g[e] W[e], dweight[e] = g[e]^T x[e], dbias[e] =
 * the sum of the rows of g[e].
 * @param weight [E, Out, In]
 * @param bias [E, Out]
 * @throws {ShapeError} when the shapes do not fit
 */
export function groupedLinear(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options: LinearOptions = {},
): Tensor {
  expectDType("groupedLinear: x", x, "f32");
  expectDType("groupedLinear: weight", weight, "f32");
  const [batch, n, k] = expectShape("groupedLinear: weight", weight, ["E", "Out", "In"]);
  const [, m] = expectShape("groupedLinear: x", x, [batch, "M", k]);
  if (bias !== undefined) {
    expectDType("groupedLinear: bias", bias, "f32");
    expectShape("groupedLinear: bias", bias, [batch, n]);
  }
  const shape = { batch, m, n, k, transposeB: true };
  return biasedProduct("groupedLinear", shape, { x, weight, bias }, [batch, m, n], options);
}
