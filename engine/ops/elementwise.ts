/**
 * Functions of one number, element by element: one dispatch each way, kernels/elementwise.ts.
 * @module
 */
import {
  elementwise,
  elementwiseBackward,
  type ElementwiseName,
  elementwiseSaves,
} from "../../kernels/elementwise.ts";
import { record } from "../autograd.ts";
import { preciseDType } from "../cast.ts";
import { run } from "../dispatch.ts";
import { expectFloat, type Tensor } from "../tensor.ts";
import { mul } from "./arithmetic.ts";

/**
 * max(x, 0); the gradient at 0 is 0. x of any shape.
 *
 * Gradient: dx = dy where x > 0, else 0.
 * @throws {DTypeError} when x holds no floats
 */
export function relu(x: Tensor): Tensor {
  return apply("relu", x);
}

/**
 * x P(x), P the standard normal distribution: the exact GELU (arXiv:1606.08415), not its tanh approximation. x of any
 * shape.
 *
 * Gradient: dx = dy (P(x) + x p(x)), p the normal density.
 * @throws {DTypeError} when x holds no floats
 */
export function gelu(x: Tensor): Tensor {
  return apply("gelu", x);
}

/**
 * x sigmoid(x). x of any shape.
 *
 * Gradient: with s = sigmoid(x): dx = dy s (1 + x (1 - s)).
 * @throws {DTypeError} when x holds no floats
 */
export function silu(x: Tensor): Tensor {
  return apply("silu", x);
}

/**
 * 1 / (1 + exp(-x)). x of any shape.
 *
 * Gradient: dx = dy y (1 - y).
 * @throws {DTypeError} when x holds no floats
 */
export function sigmoid(x: Tensor): Tensor {
  return apply("sigmoid", x);
}

/**
 * Hyperbolic tangent. x of any shape.
 *
 * Gradient: dx = dy (1 - y^2).
 * @throws {DTypeError} when x holds no floats
 */
export function tanh(x: Tensor): Tensor {
  return apply("tanh", x);
}

/**
 * e to the power of x. x of any shape.
 *
 * Gradient: dx = dy y.
 * @throws {DTypeError} when x holds no floats
 */
export function exp(x: Tensor): Tensor {
  return apply("exp", x);
}

/**
 * Natural logarithm; x must be positive. x of any shape.
 *
 * Gradient: dx = dy / x.
 * @throws {DTypeError} when x holds no floats
 */
export function log(x: Tensor): Tensor {
  return apply("log", x);
}

/**
 * Square root of x >= 0. Its gradient at 0 is huge, but finite. x of any shape.
 *
 * Gradient: dx = dy / (2 y), with the smallest normal number for y = 0.
 * @throws {DTypeError} when x holds no floats
 */
export function sqrt(x: Tensor): Tensor {
  return apply("sqrt", x);
}

/**
 * x * x. x of any shape.
 *
 * Gradient: dx = 2 x dy.
 * @throws {DTypeError} when x holds no floats
 */
export function square(x: Tensor): Tensor {
  return apply("square", x);
}

/**
 * |x|; the gradient at 0 is 0. x of any shape.
 *
 * Gradient: dx = dy sign(x), 0 at x = 0.
 * @throws {DTypeError} when x holds no floats
 */
export function abs(x: Tensor): Tensor {
  return apply("abs", x);
}

/**
 * -x. x of any shape.
 *
 * Gradient: dx = -dy.
 * @throws {DTypeError} when x holds no floats
 */
export function neg(x: Tensor): Tensor {
  return mul(x, -1);
}

/** Functions whose values grow past what a half holds: within autocast they come out in f32, as PyTorch's do. */
const PRECISE: ReadonlySet<ElementwiseName> = new Set(["exp", "log", "square"]);

function apply(f: ElementwiseName, x: Tensor): Tensor {
  expectFloat(`${f}: x`, x);
  const y = x.device.empty(x.shape, PRECISE.has(f) ? preciseDType(x) : x.dtype, f);
  if (x.size > 0) run(elementwise(f, x.size), { x, y });
  const xType = x.dtype;
  record(f, {
    inputs: { x },
    outputs: [y],
    saved: { value: elementwiseSaves(f) === "x" ? x : y },
    backward: ({ saved, dOut }) => {
      const dx = dOut.device.empty(dOut.shape, xType, `${f}.backward`);
      const { size } = dx;
      if (size > 0) run(elementwiseBackward(f, size), { saved: saved.value, dOut, dx });
      return { x: dx };
    },
  });
  return y;
}
