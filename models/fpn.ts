/**
 * Feature pyramid (Lin and others, arXiv:1612.03144): maps of all scales with the same channels, each knowing what the
 * coarser ones saw. Names are mmdet's.
 *
 *     inner_i = lateral_convs_i(map_i) + stretched(inner_i+1)      from the coarsest down
 *     level_i = fpn_convs_i(inner_i)
 * @module
 */
import { upsampleAdd } from "../engine/ops/upsample_add.ts";
import { ShapeError } from "../engine/errors.ts";
import type { Tensor } from "../engine/tensor.ts";
import { Conv2d } from "../nn/conv2d.ts";
import { xavierUniform, zeros } from "../nn/init.ts";
import { Module } from "../nn/module.ts";

/** mmdet's `ConvModule` without norm and activation: a convolution under the key `conv`. */
class ConvModule extends Module {
  readonly conv: Conv2d;

  constructor(inputs: number, outputs: number, kernel: number) {
    super();
    const start = { weightInit: xavierUniform(), biasInit: zeros };
    this.conv = this.child("conv", new Conv2d(inputs, outputs, { kernel, ...start }));
  }
}

/** As many levels as maps. Keys `lateral_convs.0.conv`, …, `fpn_convs.0.conv`, … */
export class FeaturePyramid extends Module {
  readonly #lateral: readonly ConvModule[];
  readonly #smooth: readonly ConvModule[];

  /** For maps of these channels, finest first. */
  constructor(
    /** Channels of the maps. */ readonly inputs: readonly number[],
    /** Channels of every level. */ readonly outputs: number,
  ) {
    super();
    this.#lateral = this.childList(
      "lateral_convs",
      inputs.map((channels) => new ConvModule(channels, outputs, 1)),
    );
    this.#smooth = this.childList(
      "fpn_convs",
      inputs.map(() => new ConvModule(outputs, outputs, 3)),
    );
  }

  /** Maps [B, H, W, C] to levels [B, H, W, outputs], finest first. @throws {ShapeError} for another number of maps */
  forward(maps: readonly Tensor[]): Tensor[] {
    if (maps.length !== this.inputs.length) {
      throw new ShapeError(`FeaturePyramid: ${maps.length} maps, needs ${this.inputs.length}`);
    }
    const inner = maps.map((map, i) => this.#lateral[i].conv.forward(map));
    for (let i = inner.length - 2; i >= 0; i--) inner[i] = upsampleAdd(inner[i + 1], inner[i]);
    return inner.map((map, i) => this.#smooth[i].conv.forward(map));
  }
}
