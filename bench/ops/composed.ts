/**
 * The larger operations composed of the smaller ones, for whoever has nothing better.
 * @module
 */
import type { Activation, Ops } from "./ops.ts";

/** Rounds of Newton's method that entmax takes for 294 entries; see kernels/entmax.ts. */
const ENTMAX_ROUNDS = 8;

/** Base of the implementations of `Ops`. */
export abstract class ComposedOps<T> implements Ops<T> {
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
  abstract relu(x: T): T;
  abstract gelu(x: T): T;
  abstract sum(x: T, axis: number): T;
  abstract max(x: T, axis: number): T;
  abstract stopGradient(x: T): T;
  abstract softmax(x: T, axis: number): T;
  abstract logSoftmax(x: T, axis: number): T;
  abstract matmul(a: T, b: T, options?: { transposeA?: boolean; transposeB?: boolean }): T;

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
}
