/**
 * Experts: one small two-layer perceptron each, computed together.
 * @module
 */
import { add, mul } from "../engine/ops/arithmetic.ts";
import { groupedLinear } from "../engine/ops/grouped_linear.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkCount } from "./check.ts";
import { Dropout } from "./dropout.ts";
import { linearWeight, ones, zeros } from "./init.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Options of `Experts`. */
export interface ExpertsConfig {
  /** Dropout of the result; default 0. */
  drop?: number;
  /** Dropout after the activation; default as `drop`. */
  dropAct?: number;
  /** Learned scale and offset of channels before and after; default false. */
  layerScale?: boolean;
}

/**
 * fc2(gelu(fc1(x))) for each of E experts: x [E, M, D] to [E, M, D]. Keys as MoE Jetpack's: `vit_fc1.weight`
 * [E, hidden, D], `vit_fc1.bias` [E, hidden], `vit_fc2.weight` [E, D, hidden], `vit_fc2.bias` [E, D].
 */
export class Experts extends Module {
  /** First layers, to the hidden neurons: weight [E, hidden, D]. */
  readonly fc1: ExpertLinear;
  /** Second layers, back to the channels: weight [E, D, hidden]. */
  readonly fc2: ExpertLinear;
  readonly #scaleIn: OffsetScale | null;
  readonly #scaleOut: OffsetScale | null;
  readonly #drop1: Dropout;
  readonly #drop2: Dropout;

  /**
   * `count` experts of `hidden` neurons on `dim` channels.
   * @throws {ShapeError} for one of them that is no whole number above 0
   */
  constructor(
    /** Experts, E. */ readonly count: number,
    dim: number,
    hidden: number,
    { drop = 0, dropAct = drop, layerScale = false }: ExpertsConfig = {},
  ) {
    super();
    for (const [name, size] of Object.entries({ count, dim, hidden })) {
      checkCount("Experts", name, size);
    }
    this.fc1 = this.child("vit_fc1", new ExpertLinear(count, dim, hidden));
    this.fc2 = this.child("vit_fc2", new ExpertLinear(count, hidden, dim));
    this.#scaleIn = layerScale ? this.child("scale_in", new OffsetScale(dim)) : null;
    this.#scaleOut = layerScale ? this.child("scale_out", new OffsetScale(dim)) : null;
    this.#drop1 = this.child("drop_1", new Dropout(dropAct));
    this.#drop2 = this.child("drop_2", new Dropout(drop));
  }

  /** Rows of each expert [E, M, D] to [E, M, D]. */
  forward(x: Tensor): Tensor {
    const scaled = this.#scaleIn?.forward(x) ?? x;
    const hidden = this.#drop1.forward(this.fc1.forward(scaled, "gelu"));
    const y = this.#drop2.forward(this.fc2.forward(hidden));
    return this.#scaleOut?.forward(y) ?? y;
  }
}

/**
 * A linear map for each expert. Starts as the authors': PyTorch's rule for a weight [E, out, in] counts out * in
 * inputs, so experts begin sqrt(out) times smaller than linear layers of their size; biases 0.
 */
export class ExpertLinear extends Module {
  /** A matrix for each expert, [E, out, in]; in several `parts` where it is larger than a binding. */
  readonly weight: Parameter;
  /** A bias for each expert, [E, out]. */
  readonly bias: Parameter;

  /** `count` maps from `inputs` to `outputs` features. @throws {ShapeError} for one that is no whole number above 0 */
  constructor(count: number, inputs: number, outputs: number) {
    super();
    this.weight = this.parameter(
      "weight",
      new Parameter([count, outputs, inputs], linearWeight, { divisible: true }),
    );
    this.bias = this.parameter("bias", new Parameter([count, outputs], zeros));
  }

  /** x [E, M, in] to [E, M, out], the activation in the same kernel. */
  forward(x: Tensor, activation: "none" | "gelu" = "none"): Tensor {
    return groupedLinear(x, this.weight.parts, this.bias, { activation });
  }
}

/** x gamma + beta for each channel of the last axis. Keys `gamma` and `beta`; starts as the identity. */
export class OffsetScale extends Module {
  /** Scale [D]. */
  readonly gamma: Parameter;
  /** Offset [D]. */
  readonly beta: Parameter;

  /** Over `dim` channels. */
  constructor(dim: number) {
    super();
    this.gamma = this.parameter("gamma", new Parameter([dim], ones));
    this.beta = this.parameter("beta", new Parameter([dim], zeros));
  }

  /** [..., D] to the same. */
  forward(x: Tensor): Tensor {
    return add(mul(x, this.gamma), this.beta);
  }
}
