/**
 * Initialisers: how parameters get their first values. Each function returns an `Init`.
 *
 * Fans follow PyTorch: for a shape [out, in, ...kernel], fan_in = in * kernel and fan_out = out * kernel. For stacked
 * expert weights [experts, out, in] that rule counts fan_in = out * in, which is not what a linear layer of that size
 * would get; MoE Jetpack's experts start that way.
 *
 * Random bits are integers and all later arithmetic is + - * / and square roots, which every engine rounds alike.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { sizeOf } from "../engine/tensor.ts";
import type { Rng } from "../engine/random/host_rng.ts";
import type { Init } from "./parameter.ts";

/** Activation a layer feeds into; decides the gain that keeps the variance. */
export type Nonlinearity = "linear" | "sigmoid" | "tanh" | "relu" | "leaky_relu" | "selu";

/** Options of the Kaiming initialisers. */
export interface KaimingOptions {
  /** Which fan keeps its variance; default `fan_in`. */
  mode?: "fan_in" | "fan_out";
  /** Default `leaky_relu`. */
  nonlinearity?: Nonlinearity;
  /** Negative slope of `leaky_relu`; default 0. */
  a?: number;
}

/** Inputs and outputs that each unit of a weight sees. @throws {ShapeError} for fewer than two dimensions */
export function fans(shape: readonly number[]): { fanIn: number; fanOut: number } {
  if (shape.length < 2) {
    throw new ShapeError(`fans(): [${shape.join(", ")}] has no fan, needs two or more dimensions`);
  }
  const kernel = sizeOf(shape.slice(2));
  return { fanIn: shape[1] * kernel, fanOut: shape[0] * kernel };
}

/** Factor by which weights before a nonlinearity are enlarged. */
export function gainOf(nonlinearity: Nonlinearity, a = 0): number {
  switch (nonlinearity) {
    case "tanh":
      return 5 / 3;
    case "relu":
      return Math.sqrt(2);
    case "leaky_relu":
      return Math.sqrt(2 / (1 + a * a));
    case "selu":
      return 3 / 4;
    default:
      return 1;
  }
}

/** All the same value. */
export function constant(value: number): Init {
  return (_, shape) => new Float32Array(sizeOf(shape)).fill(value);
}

/** All 0. */
export const zeros: Init = constant(0);

/** All 1. */
export const ones: Init = constant(1);

/** Uniform in [low, high). */
export function uniform(low: number, high: number): Init {
  return draw((rng) => low + (high - low) * rng.uniform());
}

/** Normal with standard deviation `std` and mean `mean`. */
export function normal(std = 1, mean = 0): Init {
  return draw((rng) => mean + std * rng.normal());
}

/**
 * Normal, drawn again outside [low, high]. As in PyTorch and timm the bounds are values, not multiples of `std`: with
 * std 0.02 the default bounds of 2 lie 100 deviations out.
 */
export function truncNormal(std = 1, mean = 0, low = -2, high = 2): Init {
  return draw((rng) => mean + std * rng.truncatedNormal((low - mean) / std, (high - mean) / std));
}

/** Uniform with variance gain^2 / fan. */
export function kaimingUniform(options: KaimingOptions = {}): Init {
  return (rng, shape) => {
    const bound = Math.sqrt(3) * kaimingStd(shape, options);
    return uniform(-bound, bound)(rng, shape);
  };
}

/** Normal with variance gain^2 / fan. */
export function kaimingNormal(options: KaimingOptions = {}): Init {
  return (rng, shape) => normal(kaimingStd(shape, options))(rng, shape);
}

/** Uniform with variance gain^2 * 2 / (fan_in + fan_out). */
export function xavierUniform(gain = 1): Init {
  return (rng, shape) => {
    const bound = Math.sqrt(3) * xavierStd(shape, gain);
    return uniform(-bound, bound)(rng, shape);
  };
}

/** Normal with variance gain^2 * 2 / (fan_in + fan_out). */
export function xavierNormal(gain = 1): Init {
  return (rng, shape) => normal(xavierStd(shape, gain))(rng, shape);
}

/** PyTorch's default for linear and convolution weights: uniform in +-1/sqrt(fan_in). */
export const linearWeight: Init = kaimingUniform({ a: Math.sqrt(5) });

/** PyTorch's default for linear and convolution biases: uniform in +-1/sqrt(fanIn), the fan of their weight. */
export function linearBias(fanIn: number): Init {
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
  return uniform(-bound, bound);
}

/**
 * Random orthonormal rows (or columns, where there are more rows than columns) of the matrix [shape[0], rest], times
 * `gain`. Made as PyTorch makes it, from normal numbers by a QR factorisation whose R has a positive diagonal.
 */
export function orthogonal(gain = 1): Init {
  return (rng, shape) => {
    if (shape.length < 2) {
      throw new ShapeError(`orthogonal(): [${shape.join(", ")}] needs two or more dimensions`);
    }
    const rows = shape[0], columns = sizeOf(shape.slice(1));
    const matrix = new Float64Array(rows * columns);
    for (let i = 0; i < matrix.length; i++) matrix[i] = rng.normal();
    const byRow = rows <= columns;
    const count = byRow ? rows : columns, length = byRow ? columns : rows;
    const vectors = Array.from({ length: count }, (_, k) =>
      Float64Array.from(
        { length },
        (_, i) => byRow ? matrix[k * columns + i] : matrix[i * columns + k],
      ));
    orthonormalize(vectors);
    const out = new Float32Array(rows * columns);
    vectors.forEach((vector, k) =>
      vector.forEach((value, i) => out[byRow ? k * columns + i : i * columns + k] = gain * value)
    );
    return out;
  };
}

/** Gram-Schmidt, each vector twice: once is not orthogonal enough when vectors are as many as their length. */
function orthonormalize(vectors: readonly Float64Array[]): void {
  vectors.forEach((v, k) => {
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < k; j++) {
        const u = vectors[j];
        const projection = dot(u, v);
        for (let i = 0; i < v.length; i++) v[i] -= projection * u[i];
      }
    }
    const norm = Math.sqrt(dot(v, v));
    for (let i = 0; i < v.length; i++) v[i] /= norm;
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function draw(next: (rng: Rng) => number): Init {
  return (rng, shape) => {
    const values = new Float32Array(sizeOf(shape));
    for (let i = 0; i < values.length; i++) values[i] = next(rng);
    return values;
  };
}

function kaimingStd(shape: readonly number[], options: KaimingOptions): number {
  const { mode = "fan_in", nonlinearity = "leaky_relu", a = 0 } = options;
  const { fanIn, fanOut } = fans(shape);
  return gainOf(nonlinearity, a) / Math.sqrt(mode === "fan_in" ? fanIn : fanOut);
}

function xavierStd(shape: readonly number[], gain: number): number {
  const { fanIn, fanOut } = fans(shape);
  return gain * Math.sqrt(2 / (fanIn + fanOut));
}

/**
 * How the linear layers of a transformer start: as timm's ViT (weights normal with deviation 0.02, biases 0; made for
 * widths of 192 and up) or as `torch.nn.Linear` (uniform, scaled to the width; a narrow model learns faster from it).
 */
export type WeightInit = "timm" | "torch";

/** The first weights and biases of a linear layer; for `LinearConfig`. */
export function linearStart(kind: WeightInit): { weightInit?: Init; biasInit?: Init } {
  return kind === "timm" ? { weightInit: truncNormal(0.02), biasInit: zeros } : {};
}
