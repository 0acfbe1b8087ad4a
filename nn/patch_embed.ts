/**
 * Images to tokens: a convolution whose stride is its kernel's size, as a linear map of patches.
 * @module
 */
import { linear } from "../engine/ops/linear.ts";
import { patchify } from "../engine/ops/patchify.ts";
import { reshape } from "../engine/ops/reshape.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { checkCount } from "./check.ts";
import { linearBias, linearWeight } from "./init.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Images [B, C, H, W] to tokens [B, (H/p)(W/p), D], row by row. Keys `proj.weight` [D, C, p, p] and `proj.bias`. */
export class PatchEmbed extends Module {
  /** The convolution's parameters. */
  readonly proj: PatchProjection;

  /** Patches of `patchSize` x `patchSize` pixels. @throws {ShapeError} for a size that is no whole number above 0 */
  constructor(
    /** Channels of the images. */ readonly channels: number,
    /** Pixels of a patch's side. */ readonly patchSize: number,
    /** Channels of a token. */ readonly dim: number,
  ) {
    super();
    for (const [name, size] of Object.entries({ channels, patchSize, dim })) {
      checkCount("PatchEmbed", name, size);
    }
    this.proj = this.child("proj", new PatchProjection(channels, patchSize, dim));
  }

  /** Cuts and projects. @throws {ShapeError} when the images have other channels or are not divisible into patches */
  forward(images: Tensor): Tensor {
    expectShape("PatchEmbed: images", images, ["B", this.channels, "H", "W"]);
    const { weight, bias } = this.proj;
    const matrix = reshape(weight, [this.dim, -1]);
    return linear(patchify(images, this.patchSize), matrix, bias);
  }
}

/** Weight and bias of the projection, as a convolution names and shapes them; PyTorch's default start. */
export class PatchProjection extends Module {
  /** The kernel, [D, C, p, p]. */
  readonly weight: Parameter;
  /** The bias, [D]. */
  readonly bias: Parameter;

  /** For patches of `size` x `size` pixels. */
  constructor(channels: number, size: number, dim: number) {
    super();
    const shape = [dim, channels, size, size];
    this.weight = this.parameter("weight", new Parameter(shape, linearWeight));
    const bias = new Parameter([dim], linearBias(channels * size * size));
    this.bias = this.parameter("bias", bias);
  }
}
