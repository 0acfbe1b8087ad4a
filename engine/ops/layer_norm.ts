/**
 * Layer normalisation over the last axis; maths and kernels in kernels/layer_norm.ts.
 * @module
 */
import type { LayerNormShape } from "../../kernels/layer_norm.ts";
import { layerNormBackward, layerNormForward } from "../../kernels/layer_norm_workgroup.ts";
import { record } from "../autograd.ts";
import { autocasting } from "../cast.ts";
import { sumColumns } from "../column_sum.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, type Tensor } from "../tensor.ts";

/**
 * (x - mean) / sqrt(variance + eps) over the last axis, then times `weight` plus `bias`. Same shape as x. Within
 * autocast it comes out in half, for the matrix ops that read it; statistics are f32 always.
 *
 * Gradient: with h = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - h mean(g h)) for each row, dweight =
 * the sum of dy h over the rows, dbias = the sum of dy over the rows.
 * @param weight [n] and `bias` [n], where n is x's last dimension; each may be left out
 * @param eps added to the variance; PyTorch's default 1e-5, 1e-6 in the blocks of timm's ViT
 * @throws {ShapeError} when the last axis is missing or empty, or weight or bias do not fit it, or eps is negative
 */
export function layerNorm(x: Tensor, weight?: Tensor, bias?: Tensor, eps = 1e-5): Tensor {
  expectFloat("layerNorm: x", x);
  const n = x.rank > 0 ? x.shape[x.rank - 1] : 0;
  if (n === 0) {
    throw new ShapeError(
      `layerNorm(): ${x.describe()} has no last axis of 1 or more to normalise over`,
    );
  }
  if (!(eps >= 0)) throw new ShapeError(`layerNorm(): eps is ${eps}, needs 0 or more`);
  for (const [name, tensor] of Object.entries({ weight, bias })) {
    if (tensor === undefined) continue;
    expectFloat(`layerNorm: ${name}`, tensor);
    expectShape(`layerNorm: ${name}`, tensor, [n]);
  }
  const rows = x.size / n;
  const shape: LayerNormShape = { rows, n, eps, weight: !!weight, bias: !!bias };
  const { device } = x;
  const y = device.empty(x.shape, autocasting() ? "f16" : x.dtype, "layerNorm");
  const stats = device.empty([rows, 2], "f32", "layerNorm mean and rstd");
  if (rows > 0) {
    run(layerNormForward(shape, device.target), {
      x,
      ...(weight && { weight }),
      ...(bias && { bias }),
      y,
      stats,
    });
  }
  record("layerNorm", {
    inputs: { x, weight, bias },
    outputs: [y],
    saved: { x, stats, weight },
    backward: ({ saved, dOut, needs, target }) => {
      const dx = device.empty(dOut.shape, saved.x.dtype, "layerNorm dx");
      const partials = needs("weight") || needs("bias");
      const { kernel, strips } = layerNormBackward(shape, device.target, partials);
      const dWeight = device.empty([partials ? strips : 0, n], "f32", "layerNorm dWeight");
      const dBias = device.empty([partials ? strips : 0, n], "f32", "layerNorm dBias");
      if (rows > 0) {
        const { x, stats, weight } = saved;
        run(kernel, { x, stats, dOut, ...(weight && { weight }), dx, dWeight, dBias });
      }
      return {
        x: dx,
        weight: needs("weight") ? sumColumns(dWeight, [n], target("weight")) : undefined,
        bias: needs("bias") ? sumColumns(dBias, [n], target("bias")) : undefined,
      };
    },
  });
  return y;
}
