/**
 * A linear map for each of E experts, in one launch; forward and backward are those of linear.ts, batched.
 *
 * Weights that are larger than a binding may be come in several tensors, each some of the experts: then it is a launch
 * for each, on its rows of x, and the results are joined.
 * @module
 */
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, type Tensor } from "../tensor.ts";
import { biasedProduct, type LinearOptions } from "./linear.ts";
import { concat, slice } from "./shape_ops.ts";

/**
 * f(x[e] W[e]^T + b[e]) for every expert e: x [E, M, In] -> [E, M, Out].
 *
 * Gradient: those of `linear` for each expert, with g = dy f': dx[e] = g[e] W[e], dweight[e] = g[e]^T x[e], dbias[e] =
 * the sum of the rows of g[e].
 * @param weight [E, Out, In], or in order tensors [E_i, Out, In] whose E_i add up to E
 * @param bias [E, Out]
 * @throws {ShapeError} when the shapes do not fit
 */
export function groupedLinear(
  x: Tensor,
  weight: Tensor | readonly Tensor[],
  bias?: Tensor,
  options: LinearOptions = {},
): Tensor {
  if (isList(weight)) {
    if (weight.length !== 1) return inRanges(x, weight, bias, options);
    weight = weight[0];
  }
  expectFloat("groupedLinear: x", x);
  expectFloat("groupedLinear: weight", weight);
  const [batch, n, k] = expectShape("groupedLinear: weight", weight, ["E", "Out", "In"]);
  const [, m] = expectShape("groupedLinear: x", x, [batch, "M", k]);
  if (bias !== undefined) {
    expectFloat("groupedLinear: bias", bias);
    expectShape("groupedLinear: bias", bias, [batch, n]);
  }
  const shape = { batch, m, n, k, transposeB: true };
  return biasedProduct("groupedLinear", shape, { x, weight, bias }, [batch, m, n], options);
}

function isList(weight: Tensor | readonly Tensor[]): weight is readonly Tensor[] {
  return Array.isArray(weight);
}

/** The same for weights in several tensors. */
function inRanges(
  x: Tensor,
  weights: readonly Tensor[],
  bias: Tensor | undefined,
  options: LinearOptions,
): Tensor {
  const experts = weights.reduce((sum, { shape }) => sum + shape[0], 0);
  if (x.shape[0] !== experts) {
    throw new ShapeError(
      `groupedLinear: x has shape [${x.shape.join(", ")}], needs [${experts}, M, In]: the ` +
        `${weights.length} tensors of weights hold ${experts} experts`,
    );
  }
  let first = 0;
  return concat(
    weights.map((weight) => {
      const end = first + weight.shape[0];
      const [rows, offsets] = [x, bias].map((whole) => whole && slice(whole, 0, first, end));
      first = end;
      return groupedLinear(rows!, weight, offsets, options);
    }),
    0,
  );
}
