/**
 * The larger operations composed of the smaller ones, for whoever has nothing better.
 * @module
 */
import type { HostTensor } from "../host_tensor.ts";
import type { Activation, ConvOptions, Ops, RoiOptions } from "./ops.ts";

/** Rounds of Newton's method that entmax takes for 294 entries; see kernels/entmax.ts. */
const ENTMAX_ROUNDS = 8;

/** Base of the implementations of `Ops`. */
export abstract class ComposedOps<T> implements Ops<T> {
  abstract constant(values: HostTensor): T;
  abstract shape(x: T): readonly number[];
  abstract reshape(x: T, shape: readonly number[]): T;
  abstract permute(x: T, axes: readonly number[]): T;
  abstract slice(x: T, axis: number, begin: number, end: number): T;
  abstract concat(parts: readonly T[], axis: number): T;
  abstract broadcastTo(x: T, shape: readonly number[]): T;
  abstract add(a: T, b: T): T;
  abstract sub(a: T, b: T): T;
  abstract mul(a: T, b: T): T;
  abstract div(a: T, b: T): T;
  abstract scale(x: T, factor: number): T;
  abstract shift(x: T, term: number): T;
  abstract sqrt(x: T): T;
  abstract exp(x: T): T;
  abstract relu(x: T): T;
  abstract atLeast(x: T, least: number): T;
  abstract gelu(x: T): T;
  abstract sum(x: T, axis: number): T;
  abstract max(x: T, axis: number): T;
  abstract stopGradient(x: T): T;
  abstract softmax(x: T, axis: number): T;
  abstract logSoftmax(x: T, axis: number): T;
  abstract matmul(a: T, b: T, options?: { transposeA?: boolean; transposeB?: boolean }): T;
  abstract conv2d(x: T, filter: T, bias: T, options: ConvOptions): T;
  abstract maxPool(x: T): T;

  layerNorm(x: T, weight: T, bias: T, eps: number): T {
    const shape = this.shape(x), axis = shape.length - 1;
    const mean = this.scale(this.sum(x, axis), 1 / shape[axis]);
    const centred = this.sub(x, mean);
    const variance = this.scale(this.sum(this.mul(centred, centred), axis), 1 / shape[axis]);
    const unit = this.div(centred, this.sqrt(this.shift(variance, eps)));
    return this.add(this.mul(unit, weight), bias);
  }

  linear(x: T, weight: T, bias: T, activation: Activation = "none"): T {
    const shape = this.shape(x), [out, inputs] = this.shape(weight);
    const rows = shape.slice(0, -1);
    const flat = this.reshape(x, [rows.reduce((a, b) => a * b, 1), inputs]);
    const y = this.add(this.matmul(flat, weight, { transposeB: true }), bias);
    return this.reshape(this.#activated(y, activation), [...rows, out]);
  }

  groupedLinear(x: T, weight: T, bias: T, activation: Activation = "none"): T {
    const [groups, out] = this.shape(bias);
    const y = this.add(
      this.matmul(x, weight, { transposeB: true }),
      this.reshape(bias, [groups, 1, out]),
    );
    return this.#activated(y, activation);
  }

  #activated(x: T, activation: Activation): T {
    return activation === "gelu" ? this.gelu(x) : x;
  }

  attention(qkv: T, heads: number): T {
    const [batch, tokens, width] = this.shape(qkv);
    const dim = width / 3 / heads;
    const split = this.permute(this.reshape(qkv, [batch, tokens, 3, heads, dim]), [2, 0, 3, 1, 4]);
    const [q, k, v] = [0, 1, 2].map((i) =>
      this.reshape(this.slice(split, 0, i, i + 1), [batch * heads, tokens, dim])
    );
    const scores = this.matmul(this.scale(q, 1 / Math.sqrt(dim)), k, { transposeB: true });
    const mixed = this.matmul(this.softmax(scores, 2), v);
    const apart = this.reshape(mixed, [batch, heads, tokens, dim]);
    return this.reshape(this.permute(apart, [0, 2, 1, 3]), [batch, tokens, heads * dim]);
  }

  l2Normalize(x: T, eps: number): T {
    const norm = this.sqrt(this.sum(this.mul(x, x), this.shape(x).length - 1));
    return this.div(x, this.shift(norm, eps));
  }

  /**
   * Newton's method for the threshold. Only the last round is differentiated: from the solution, one round has the
   * gradient of the solution, so no gradient has to pass through the others.
   */
  entmax15(x: T): T {
    const axis = this.shape(x).length - 1;
    const z = this.scale(this.sub(x, this.stopGradient(this.max(x, axis))), 0.5);
    const fixed = this.stopGradient(z);
    let tau = this.#newton(fixed, null, axis);
    for (let i = 2; i < ENTMAX_ROUNDS; i++) tau = this.#newton(fixed, tau, axis);
    tau = this.#newton(z, this.stopGradient(tau), axis);
    const root = this.relu(this.sub(z, tau));
    return this.mul(root, root);
  }

  /** One round: tau + (sum of s^2 - 1) / (2 sum of s) with s = max(z - tau, 0); it starts from tau = -1. */
  #newton(z: T, tau: T | null, axis: number): T {
    const s = this.relu(tau === null ? this.shift(z, 1) : this.sub(z, tau));
    const excess = this.shift(this.sum(this.mul(s, s), axis), -1);
    const step = this.div(excess, this.scale(this.sum(s, axis), 2));
    return tau === null ? this.shift(step, -1) : this.add(tau, step);
  }

  crossEntropy(logits: T, target: T, smoothing: number): T {
    const [batch, classes] = this.shape(logits);
    const smooth = smoothing === 0
      ? target
      : this.shift(this.scale(target, 1 - smoothing), smoothing / classes);
    const terms = this.mul(smooth, this.logSoftmax(logits, 1));
    const total = this.sum(this.reshape(terms, [batch * classes]), 0);
    return this.scale(this.reshape(total, []), -1 / batch);
  }

  patchify(images: T, patch: number): T {
    const [batch, channels, height, width] = this.shape(images);
    const rows = height / patch, columns = width / patch;
    const cut = this.reshape(images, [batch, channels, rows, patch, columns, patch]);
    const sorted = this.permute(cut, [0, 2, 4, 1, 3, 5]);
    return this.reshape(sorted, [batch, rows * columns, channels * patch * patch]);
  }

  stretch(x: T, factor: number): T {
    const [batch, height, width, channels] = this.shape(x);
    const apart = this.reshape(x, [batch, height, 1, width, 1, channels]);
    const repeated = this.broadcastTo(apart, [batch, height, factor, width, factor, channels]);
    return this.reshape(repeated, [batch, factor * height, factor * width, channels]);
  }

  /** Two products: samples lie on a grid, so a bin is its rows' weights times the map times its columns' weights. */
  roiAlign(maps: readonly T[], boxes: T, options: RoiOptions): T {
    const { bins } = options, [n, r] = this.shape(boxes);
    const inLevel = this.roiLevels(boxes, maps.length, options.finestScale);
    const parts = maps.map((map, l) => {
      const [, height, width, channels] = this.shape(map);
      const all = this.#binWeights(boxes, 1, height, l, options);
      const rows = inLevel === null ? all : this.mul(all, this.reshape(inLevel[l], [n, r, 1, 1]));
      const columns = this.#binWeights(boxes, 0, width, l, options);
      const mixed = this.matmul(
        this.reshape(rows, [n, r * bins, height]),
        this.reshape(map, [n, height, width * channels]),
      );
      const columnsOfRow = this.broadcastTo(
        this.reshape(columns, [n * r, 1, bins, width]),
        [n * r, bins, bins, width],
      );
      const y = this.matmul(
        this.reshape(columnsOfRow, [n * r * bins, bins, width]),
        this.reshape(mixed, [n * r * bins, width, channels]),
      );
      return this.reshape(y, [n, r, bins, bins, channels]);
    });
    return parts.reduce((a, b) => this.add(a, b));
  }

  /** For each level 1 for the boxes [B, R, 4] that are read from it, else 0, [B, R, 1]; null where there is but one. */
  protected roiLevels(boxes: T, levels: number, finestScale: number): T[] | null {
    if (levels === 1) return null;
    const [x1, y1, x2, y2] = [0, 1, 2, 3].map((k) => this.slice(boxes, 2, k, k + 1));
    const area = this.mul(this.sub(x2, x1), this.sub(y2, y1));
    // floor(log2(sqrt(area) / s + 1e-6)) >= l where area >= (s (2^l - 1e-6))^2
    const from = Array.from({ length: levels - 1 }, (_, l) => {
      return this.atLeast(area, (finestScale * (2 ** (l + 1) - 1e-6)) ** 2);
    });
    const below = this.shift(this.scale(from[0], -1), 1);
    return [below, ...from.map((own, l) => l + 1 < from.length ? this.sub(own, from[l + 1]) : own)];
  }

  /** How much each of `size` rows (columns for axis 0) of level l counts in each bin: [B, R, bins, size]. */
  #binWeights(
    boxes: T,
    axis: 0 | 1,
    size: number,
    l: number,
    { strides, bins, samples }: RoiOptions,
  ): T {
    const [n, r] = this.shape(boxes), count = bins * samples;
    const begin = this.slice(boxes, 2, axis, axis + 1);
    const length = this.sub(this.slice(boxes, 2, axis + 2, axis + 3), begin);
    const middles = this.constant(ramp(count, 1 / (count * strides[l]), 0.5));
    const along = this.add(this.scale(begin, 1 / strides[l]), this.mul(length, middles));
    const at = this.reshape(this.shift(along, -0.5), [n, r, count, 1]);
    const clamped = this.sub(this.relu(at), this.relu(this.shift(at, 1 - size)));
    const off = this.sub(clamped, this.constant(ramp(size, 1, 0)));
    const distance = this.add(this.relu(off), this.relu(this.scale(off, -1)));
    const hat = this.relu(this.shift(this.scale(distance, -1), 1));
    const inside = this.mul(this.atLeast(at, -1), this.atLeast(this.scale(at, -1), -size));
    const weights = this.reshape(this.mul(hat, inside), [n, r, bins, samples, size]);
    return this.reshape(this.scale(this.sum(weights, 3), 1 / samples), [n, r, bins, size]);
  }
}

/** (i + offset) step for i from 0. */
function ramp(count: number, step: number, offset: number): HostTensor {
  return {
    shape: [count],
    data: Float32Array.from({ length: count }, (_, i) => (i + offset) * step),
  };
}
