/**
 * The activations that a matmul's epilogue and the elementwise ops share: WGSL functions and their float64 loops.
 *
 * Math    relu(x) = max(x, 0)                      relu'(x) = 1 for x > 0, else 0
 *         silu(x) = x s(x), s = 1 / (1 + e^-x)     silu'(x) = s (1 + x (1 - s))
 *         gelu(x) = x P(x)                         gelu'(x) = P(x) + x p(x)
 *         where P(x) = (1 + erf(x / sqrt 2)) / 2 is the normal distribution and p(x) = e^(-x^2/2) / sqrt(2 pi) its density:
 *         the exact GELU (arXiv:1606.08415), not its tanh approximation.
 * erf     WGSL has none. On |x| < 3.92 it is x A(x^2) / B(x^2) with polynomials of degree 5, fitted here in float64 to the
 *         smallest largest error (1.6e-8); beyond, f32 knows no difference from +-1. Evaluated in f32 it is within 5e-7
 *         everywhere, mostly from rounding. A quotient of polynomials costs 10 multiply-adds and one division; forms
 *         with e^(-x^2) need as much plus the exponential, and inherit its error, which differs between adapters.
 * @module
 */
import { wgsl } from "./wgsl.ts";

/** What may follow a linear map in the same kernel. */
export type Activation = "none" | "gelu" | "relu" | "silu";

/** All of them. */
export const ACTIVATIONS: readonly Activation[] = ["none", "gelu", "relu", "silu"];

/** Types the WGSL functions can be made for. */
export type ActivationType = "f32" | "vec4f";

/**
 * WGSL: `fn NAME(x: T) -> T` and `fn NAME_derivative(x: T) -> T` for one activation (`none` included), with what they
 * need. Include it once per shader.
 */
export function activationFunctions(activation: Activation, type: ActivationType): string {
  switch (activation) {
    case "none":
      return wgsl`
fn none(x: ${type}) -> ${type} { return x; }
fn none_derivative(x: ${type}) -> ${type} { return ${type}(1.0); }`;
    case "relu":
      return wgsl`
fn relu(x: ${type}) -> ${type} { return max(x, ${type}(0.0)); }
fn relu_derivative(x: ${type}) -> ${type} {
  return select(${type}(0.0), ${type}(1.0), x > ${type}(0.0));
}`;
    case "silu":
      return wgsl`
${sigmoidFunction(type)}
fn silu(x: ${type}) -> ${type} { return x * sigmoid(x); }
fn silu_derivative(x: ${type}) -> ${type} {
  let s = sigmoid(x);
  return s * (1.0 + x * (1.0 - s));
}`;
    case "gelu":
      return wgsl`
${erfFunction(type)}
fn gelu(x: ${type}) -> ${type} { return 0.5 * x * (1.0 + erf(x * ${Math.SQRT1_2})); }
fn gelu_derivative(x: ${type}) -> ${type} {
  let z = clamp(x, ${type}(-13.0), ${type}(13.0)); // beyond, the density is 0 in f32 and x^2 could overflow
  return 0.5 * (1.0 + erf(z * ${Math.SQRT1_2})) + z * ${
        1 / Math.sqrt(2 * Math.PI)
      } * exp(-0.5 * z * z);
}`;
  }
}

/** WGSL: `fn sigmoid(x: T) -> T`, 1 / (1 + e^-x). */
export function sigmoidFunction(type: ActivationType): string {
  // Below -87 e^-x would be infinite, and a compiler may assume that nothing is.
  return wgsl`
fn sigmoid(x: ${type}) -> ${type} { return 1.0 / (1.0 + exp(-max(x, ${type}(-87.0)))); }`;
}

const ERF_OVER = [
  1.12837902,
  0.19276465,
  0.0530605652,
  0.00386835485,
  0.000287480365,
  2.03473474e-06,
];
const ERF_UNDER = [1, 0.504164889, 0.115084869, 0.01517235, 0.00118812251, 3.80706906e-05];

/** WGSL: `fn erf(x: T) -> T`; see the header for how. */
export function erfFunction(type: ActivationType): string {
  const limit = `${type}(3.92)`;
  return wgsl`
fn erf(x: ${type}) -> ${type} {
  let z = clamp(x, -${limit}, ${limit});
  let u = z * z;
  let over = ${horner(ERF_OVER)};
  let under = ${horner(ERF_UNDER)};
  return select(z * over / under, sign(x), abs(x) >= ${limit});
}`;
}

/** c0 + u (c1 + u (c2 + …)) as WGSL. */
function horner(coefficients: readonly number[]): string {
  const digits = coefficients.map((c) => Number.isInteger(c) ? c.toFixed(1) : String(c));
  return digits.reduceRight((rest, c) => `${c} + u * (${rest})`);
}

/** erf in float64, to about 1e-15: the plain-loop side. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  // erf(z) = 2/sqrt(pi) e^(-z^2) sum of 2^n z^(2n+1) / (1 3 5 … (2n+1)): all terms positive, so nothing cancels.
  let term = z, sum = z;
  for (let n = 1; term > 1e-17 * sum; n++) sum += term *= 2 * z * z / (2 * n + 1);
  return Math.sign(x) * Math.min(1, 2 / Math.sqrt(Math.PI) * Math.exp(-z * z) * sum);
}

/** An activation of one number, in float64. */
export function activationReference(activation: Activation, x: number): number {
  switch (activation) {
    case "none":
      return x;
    case "relu":
      return Math.max(x, 0);
    case "silu":
      return x / (1 + Math.exp(-x));
    case "gelu":
      return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
  }
}

/** The derivative of an activation at one number, in float64. */
export function activationDerivativeReference(activation: Activation, x: number): number {
  switch (activation) {
    case "none":
      return 1;
    case "relu":
      return x > 0 ? 1 : 0;
    case "silu": {
      const s = 1 / (1 + Math.exp(-x));
      return s * (1 + x * (1 - s));
    }
    case "gelu":
      return 0.5 * (1 + erf(x * Math.SQRT1_2)) +
        x * Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
  }
}
