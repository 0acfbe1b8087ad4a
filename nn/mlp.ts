/**
 * The transformer's two-layer perceptron with timm's parameter names.
 * @module
 */
import type { Tensor } from "../engine/tensor.ts";
import { Dropout } from "./dropout.ts";
import { linearStart, type WeightInit } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";

/** Options of `Mlp`. */
export interface MlpConfig {
  /** Dropout after the activation and after the result; default 0. */
  drop?: number;
  /** First weights: timm's (normal, deviation 0.02, biases 0) or those of torch's Linear; default "timm". */
  weightInit?: WeightInit;
}

/**
 * y = fc2(gelu(fc1(x))), GELU with the error function. Keys `fc1` and `fc2`. Starts as timm's ViT, or as torch's
 * linear layers.
 */
export class Mlp extends Module {
  /** First layer, to the hidden neurons: weight [hiddenDim, dim]. */
  readonly fc1: Linear;
  /** Second layer, back to the channels: weight [dim, hiddenDim]. */
  readonly fc2: Linear;
  readonly #drop1: Dropout;
  readonly #drop2: Dropout;

  /** A layer of `hidden` neurons on `dim` channels. */
  constructor(
    /** Channels of input and output. */ readonly dim: number,
    /** Hidden neurons. */ readonly hiddenDim: number,
    { drop = 0, weightInit = "timm" }: MlpConfig = {},
  ) {
    super();
    const start = linearStart(weightInit);
    this.fc1 = this.child("fc1", new Linear(dim, hiddenDim, start));
    this.fc2 = this.child("fc2", new Linear(hiddenDim, dim, start));
    this.#drop1 = this.child("drop1", new Dropout(drop));
    this.#drop2 = this.child("drop2", new Dropout(drop));
  }

  /** [..., dim] to [..., dim]. */
  forward(x: Tensor): Tensor {
    return this.project(this.hidden(x));
  }

  /** The first half, [..., dim] to [..., hiddenDim]: the activations of the hidden neurons, gelu(fc1(x)). */
  hidden(x: Tensor): Tensor {
    return this.fc1.forward(x, "gelu");
  }

  /** The second half, [..., hiddenDim] to [..., dim]: the output from the activations. */
  project(hidden: Tensor): Tensor {
    return this.#drop2.forward(this.fc2.forward(this.#drop1.forward(hidden)));
  }
}
