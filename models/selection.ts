/**
 * Which hidden neurons of a dense MLP an expert keeps (MoE Jetpack, arXiv:2406.04801, section 3.1, "checkpoint
 * recycling"): evenly spaced, at random, or by how strongly they respond to images. `graph.ts` adds co-activation.
 *
 * Indices are ascending, so that a kept neuron stays left of another that was left of it.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import type { Rng } from "../engine/random/host_rng.ts";
import { torchMeanOfRows, torchSum } from "./torch_sum.ts";

/** How many of `total` neurons a ratio keeps: rounded down, at least one. @throws {ShapeError} ratio not in (0, 1] */
export function subsetSize(total: number, ratio: number): number {
  if (!(ratio > 0 && ratio <= 1)) {
    throw new ShapeError(`subsetSize: ratio ${ratio} is not in (0, 1]`);
  }
  return Math.max(1, Math.trunc(total * ratio));
}

/**
 * Evenly spaced neurons, from the first to the last.
 *
 * Positions are those of `torch.linspace` in float32, with its rounding: a position a hair below an integer is
 * truncated to the one before, for about one size in ten. The authors' two tools differ in what follows.
 * @param rounding `truncate` (checkpoint_recycling_simplified.py) or `round`, half to even (gen_ViT_MoE_weight.py)
 * @throws {ShapeError} subset is not in 1..total
 */
export function uniformIndices(
  total: number,
  subset: number,
  rounding: "truncate" | "round" = "truncate",
): Int32Array {
  checkSubset("uniformIndices", total, subset);
  const positions = linspace(total - 1, subset);
  if (rounding === "truncate") return Int32Array.from(new Set(positions.map(Math.trunc))).sort();
  return Int32Array.from(positions, roundHalfToEven).sort();
}

/** A random choice without repetition. @throws {ShapeError} subset is not in 1..total */
export function randomIndices(total: number, subset: number, rng: Rng): Int32Array {
  checkSubset("randomIndices", total, subset);
  return Int32Array.from(rng.permutation(total).subarray(0, subset)).sort();
}

/**
 * One score a neuron for all layers: the mean over layers of score / (sum of the layer's scores + 1e-8), so that every
 * layer counts alike. Rounded as PyTorch does it (see torch_sum.ts): firing rates of neurons often tie but for rounding.
 * @param layers the scores of each layer, of equal length, not negative
 * @throws {ShapeError} no layers, or lengths differ
 */
export function globalScores(layers: readonly ArrayLike<number>[]): Float32Array {
  if (layers.length === 0 || layers.some((layer) => layer.length !== layers[0].length)) {
    throw new ShapeError(
      `globalScores: needs layers of one length, got lengths [${layers.map((l) => l.length)}]`,
    );
  }
  return torchMeanOfRows(layers.map((layer) => {
    const divisor = Math.fround(torchSum(layer) + Math.fround(1e-8));
    return Float32Array.from(layer, (score) => score / divisor);
  }));
}

/** The neurons with the largest scores; of equal ones the first. @throws {ShapeError} subset is not in 1..total */
export function topIndices(scores: ArrayLike<number>, subset: number): Int32Array {
  checkSubset("topIndices", scores.length, subset);
  const order = Array.from(scores, (_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);
  return Int32Array.from(order.slice(0, subset)).sort();
}

/**
 * A random choice without repetition: each draw takes one of the neurons left, with a probability in proportion to its
 * score. In the order of the draws. Sums and comparisons only, so a seed gives the same choice on every machine.
 * @throws {ShapeError} a score is negative or not finite, or fewer than `count` scores are above 0
 */
export function drawByScore(scores: ArrayLike<number>, count: number, rng: Rng): Int32Array {
  checkSubset("drawByScore", scores.length, count);
  const left = Float64Array.from(scores);
  const bad = left.findIndex((score) => !(score >= 0 && score < Infinity));
  if (bad >= 0) {
    throw new ShapeError(`drawByScore: score ${bad} is ${left[bad]}, needs a finite number >= 0`);
  }
  const possible = left.reduce((n, score) => n + (score > 0 ? 1 : 0), 0);
  if (possible < count) {
    throw new ShapeError(
      `drawByScore: only ${possible} of ${left.length} scores are above 0, needs ${count}`,
    );
  }
  const drawn = new Int32Array(count);
  for (let k = 0; k < count; k++) {
    let all = 0;
    for (let i = 0; i < left.length; i++) all += left[i];
    const target = rng.uniform() * all;
    let sum = 0, last = -1;
    for (let i = 0; i < left.length && sum <= target; i++) {
      if (left[i] === 0) continue;
      sum += left[i];
      last = i; // when rounding keeps the sum at the target, the last one left is the choice
    }
    drawn[k] = last;
    left[last] = 0;
  }
  return drawn;
}

/**
 * `torch.linspace(0, end, steps)` in float32, bit for bit as PyTorch 1.13 computes it on a CPU with AVX2 (checked on
 * 1,000 pairs of sizes): the first half counts up from 0, the second down from `end`. Values come in groups of eight,
 * while sixteen are left; a group starts with one fused multiply-add and adds rounded multiples of the step to it.
 */
function linspace(end: number, steps: number): Float32Array {
  const out = new Float32Array(steps);
  if (steps === 1) return out;
  const step = Math.fround(Math.fround(end) / (steps - 1));
  const half = Math.trunc(steps / 2);
  // A float64 holds a product of two f32 exactly, so one f32 rounding of the sum is the fused multiply-add.
  const fused = (i: number) => Math.fround(i < half ? step * i : end - step * (steps - 1 - i));
  let i = 0;
  for (; i + 16 <= steps; i += 16) {
    for (const group of [i, i + 8]) {
      const base = fused(group);
      for (let lane = 0; lane < 8; lane++) out[group + lane] = base + Math.fround(lane * step);
    }
  }
  for (; i < steps; i++) out[i] = fused(i);
  return out;
}

function roundHalfToEven(x: number): number {
  const floor = Math.floor(x), rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

function checkSubset(name: string, total: number, subset: number): void {
  if (!Number.isInteger(subset) || subset < 1 || subset > total) {
    throw new ShapeError(`${name}: cannot choose ${subset} of ${total} neurons`);
  }
}
