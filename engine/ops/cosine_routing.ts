/**
 * Cosine routing of MoE Jetpack's SpheroMoE layer: queries on the unit sphere and the scores of tokens against them;
 * maths and kernels in kernels/cosine_routing.ts.
 * @module
 */
import {
  asMerge,
  cosineScoresForward,
  plainScoresForward,
  queryStrips,
} from "../../kernels/cosine_routing.ts";
import { l2NormalizeBackward, l2NormalizeVariant } from "../../kernels/l2_normalize.ts";
import { toSlots, toTokens } from "../../kernels/soft_merge_tiled.ts";
import { record } from "../autograd.ts";
import { sumColumns } from "../column_sum.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, type Tensor } from "../tensor.ts";
import { l2Normalize } from "./l2_normalize.ts";
import { layerNorm } from "./layer_norm.ts";
import { reshape } from "./reshape.ts";

/**
 * Slot queries on the unit sphere: l2(layerNorm(phi)) over the last axis, or l2(phi) without a norm weight. Same shape.
 *
 * Gradient: dphi, dnormWeight and dnormBias are those of `l2Normalize` followed by those of `layerNorm`.
 * @param phi [..., D]: slot embeddings, usually [E, s, D]
 * @param normWeight weight [D] of the slot layer norm; left out, there is no layer norm
 * @param normBias bias [D] of the slot layer norm
 * @param eps of the layer norm; 1e-5 in the authors' code
 */
export function sphereQueries(
  phi: Tensor,
  normWeight?: Tensor,
  normBias?: Tensor,
  eps = 1e-5,
): Tensor {
  return l2Normalize(normWeight ? layerNorm(phi, normWeight, normBias, eps) : phi);
}

/** Options of `cosineScores`. */
export interface CosineScoresOptions {
  /** Divide by |x| + eps (cosine scores); false gives plain dot products. Default true. */
  readonly normalizeKeys?: boolean;
  /** Added to the norm of a token; 1e-6 as in MoE Jetpack. */
  readonly eps?: number;
}

/**
 * Scores of tokens against slot queries: c[b, n, s] = <x[b, n], q[s]> / (|x[b, n]| + eps).
 *
 * Gradient: with k = x / (|x| + eps) and p = dc q: dx = p / (|x| + eps) - k <k, p> / |x|, dqueries = dc^T k. Without
 * normalised keys: dx = dc q, dqueries = dc^T x.
 * @param x tokens [B, N, D]
 * @param queries [S, D], or [E, s, D] with S = E s; normalised by the caller (`sphereQueries`)
 * @returns [B, N, S], f32 always: what is routed where should not hang on the rounding of halves
 * @throws {ShapeError} when the channels differ or something is empty
 */
export function cosineScores(
  x: Tensor,
  queries: Tensor,
  { normalizeKeys = true, eps = 1e-6 }: CosineScoresOptions = {},
): Tensor {
  expectFloat("cosineScores: x", x);
  expectFloat("cosineScores: queries", queries);
  const [batch, tokens, dim] = expectShape("cosineScores: x", x, ["B", "N", "D"]);
  if (queries.rank < 2 || queries.shape[queries.rank - 1] !== dim) {
    throw new ShapeError(
      `cosineScores: queries has shape [${queries.shape.join(", ")}], needs [S, ${dim}]`,
    );
  }
  if (x.size === 0 || queries.size === 0) {
    throw new ShapeError(
      `cosineScores(): ${x.describe()} and queries ${queries.describe()} must not be empty`,
    );
  }
  return scores(x, reshape(queries, [-1, dim]), [batch, tokens], normalizeKeys ? eps : null);
}

function scores(x: Tensor, queries: Tensor, lead: number[], eps: number | null): Tensor {
  const [slots, dim] = queries.shape;
  const shape = { tokens: x.size / dim, slots, dim };
  const { device } = x;
  const c = device.empty([...lead, slots], "f32", "cosineScores");
  const scale = eps === null
    ? undefined
    : device.empty([shape.tokens], "f32", "cosineScores 1/|x|");
  if (eps === null) run(plainScoresForward(shape, device.target), { x, v: queries, g: c });
  else run(cosineScoresForward(shape, eps, device.target), { x, v: queries, g: c, scale: scale! });
  record("cosineScores", {
    inputs: { x, queries },
    outputs: [c],
    saved: { x, queries, scale },
    backward: ({ saved: { x, queries, scale }, dOut, needs, target }) => {
      let dx: Tensor | undefined, dQueries: Tensor | undefined;
      if (needs("x")) {
        dx = device.empty(x.shape, x.dtype, "cosineScores dx");
        const pulled = eps === null ? dx : device.empty(x.shape, x.dtype, "cosineScores dC q");
        run(toTokens(asMerge(shape), device.target), { weights: dOut, v: queries, o: pulled });
        if (eps !== null) {
          const rows = { rows: shape.tokens, n: dim, eps };
          const variant = l2NormalizeVariant(rows, device.target);
          run(l2NormalizeBackward(rows, variant), { x, dOut: pulled, dx });
        }
      }
      if (needs("queries")) {
        const { strips, tokens } = queryStrips(shape, device.target);
        const partials = device.empty([strips, slots, dim], "f32", "cosineScores dq");
        const strip = { batch: strips, tokens, slots, perExpert: slots, dim };
        const options = { scaled: eps !== null, totalTokens: shape.tokens };
        const tensors = { weights: dOut, x, u: partials, ...(scale && { scale }) };
        run(toSlots(strip, device.target, options), tensors);
        dQueries = sumColumns(partials, queries.shape, target("queries"));
      }
      return { x: dx, queries: dQueries };
    },
  });
  return c;
}
