/**
 * Dynamic convolution: what a query looks for becomes the filters of its own box (Sparse R-CNN, arXiv:2011.12450;
 * mmdet's `DynamicConv`).
 *
 *     F1, F2 = the two halves of dynamic_layer(query), seen as [In, Feat] and [Feat, Out]
 *     h = relu(norm_in(X F1)),  z = relu(norm_out(h F2)),  y = relu(fc_norm(fc_layer(z as one row)))
 *
 * X [P, In] are the P positions of the box's bins: 1 x 1 convolutions with filters of their own for every box, that is a
 * batched matrix product. z is laid out [position, channel], which is how maps lie here anyway.
 * @module
 */
import { relu } from "../engine/ops/elementwise.ts";
import { matmul } from "../engine/ops/matmul.ts";
import { reshape } from "../engine/ops/reshape.ts";
import { slice } from "../engine/ops/shape_ops.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { LayerNorm } from "./layer_norm.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import type { Init } from "./parameter.ts";

/** Sizes of a `DynamicConv`. */
export interface DynamicConvConfig {
  /** Channels of queries and boxes. */
  inChannels: number;
  /** Channels between the two products. */
  featChannels: number;
  /** Channels of the result; default those of the input. */
  outChannels?: number;
  /** Positions of a box: 49 for bins of 7 x 7. */
  positions: number;
  /** First values of the two weights; default those of `Linear`. */
  weightInit?: Init;
}

/** Queries [N, In] and their boxes [N, P, In] to [N, Out]. Keys `dynamic_layer`, `norm_in`, `norm_out`, `fc_layer`, `fc_norm`. */
export class DynamicConv extends Module {
  /** In and Out of the generated filters, and what lies between. */
  readonly config: Required<Omit<DynamicConvConfig, "weightInit">>;
  /** [In] to both filters. */
  readonly dynamicLayer: Linear;
  /** Behind the first product. */
  readonly normIn: LayerNorm;
  /** Behind the second. */
  readonly normOut: LayerNorm;
  /** All positions to one row. */
  readonly fcLayer: Linear;
  /** Behind it. */
  readonly fcNorm: LayerNorm;

  /** Builds the layers. */
  constructor(config: DynamicConvConfig) {
    super();
    const { inChannels, featChannels, outChannels = inChannels, positions, weightInit } = config;
    this.config = { inChannels, featChannels, outChannels, positions };
    const filters = featChannels * (inChannels + outChannels);
    this.dynamicLayer = this.child(
      "dynamic_layer",
      new Linear(inChannels, filters, { weightInit }),
    );
    this.normIn = this.child("norm_in", new LayerNorm(featChannels));
    this.normOut = this.child("norm_out", new LayerNorm(outChannels));
    const fc = new Linear(outChannels * positions, outChannels, { weightInit });
    this.fcLayer = this.child("fc_layer", fc);
    this.fcNorm = this.child("fc_norm", new LayerNorm(outChannels));
  }

  /**
   * Queries [N, In] and what lies in their boxes, [N, P, In] -> [N, Out].
   * @throws {ShapeError} when queries and boxes do not belong together
   */
  forward(queries: Tensor, boxes: Tensor): Tensor {
    const { inChannels, featChannels, outChannels, positions } = this.config;
    const [n] = expectShape("DynamicConv: queries", queries, ["N", inChannels]);
    expectShape("DynamicConv: boxes", boxes, [n, positions, inChannels]);
    const filters = this.dynamicLayer.forward(queries), half = inChannels * featChannels;
    const first = reshape(slice(filters, 1, 0, half), [n, inChannels, featChannels]);
    const second = reshape(
      slice(filters, 1, half, half + featChannels * outChannels),
      [n, featChannels, outChannels],
    );
    const hidden = relu(this.normIn.forward(matmul(boxes, first)));
    const features = relu(this.normOut.forward(matmul(hidden, second)));
    const row = reshape(features, [n, positions * outChannels]);
    return relu(this.fcNorm.forward(this.fcLayer.forward(row)));
  }
}
