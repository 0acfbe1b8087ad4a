/**
 * Functions of one number, applied to every element, and their gradients.
 *
 * Math    forward    y[i] = f(x[i])
 *         backward   dx[i] = dy[i] f'(x[i])
 *         Where f' is known from y (exp' = y, sigmoid' = y (1 - y), ...), y is what the backward reads, as then x need not
 *         stay in memory. At a kink the derivative counts as 0, as in PyTorch: relu'(0) = abs'(0) = 0.
 * Shapes  x, y, dx, dy [n], f32.
 * Work    One invocation 4 neighbouring elements (a vec4) where n is divisible by 4, else one.
 * Memory  8 bytes moved an element forward, 12 backward, coalesced; each number is used once, so there is nothing to tile.
 *         Bound by memory, except the exact GELU on software adapters.
 * @module
 */
import {
  activationDerivativeReference,
  activationFunctions,
  activationReference,
  type ActivationType,
  sigmoidFunction,
} from "./activations.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

/** The name of a function, also of its op. */
export type ElementwiseName =
  | "relu"
  | "gelu"
  | "silu"
  | "sigmoid"
  | "tanh"
  | "exp"
  | "log"
  | "sqrt"
  | "square"
  | "abs";

interface ElementwiseFunction {
  /** WGSL over `v` of type `T`, f32 or vec4<f32>. */
  readonly value: string;
  /** WGSL of the derivative over `v`, which is x or y as `from` says. */
  readonly slope: string;
  readonly from: "x" | "y";
  /** WGSL functions that `value` and `slope` call. */
  readonly functions?: (type: ActivationType) => string;
  readonly loop: (x: number) => number;
  readonly slopeLoop: (v: number) => number;
}

/** One of the activations that matmuls have in their epilogue, here on its own. */
function activation(name: "relu" | "gelu" | "silu", from: "x" | "y"): ElementwiseFunction {
  return {
    value: `${name}(v)`,
    slope: `${name}_derivative(v)`,
    from,
    functions: (type) => activationFunctions(name, type),
    loop: (x) => activationReference(name, x),
    slopeLoop: (v) => from === "x" ? activationDerivativeReference(name, v) : v > 0 ? 1 : 0,
  };
}

const FUNCTIONS: Record<ElementwiseName, ElementwiseFunction> = {
  relu: activation("relu", "y"), // y > 0 exactly where x > 0
  gelu: activation("gelu", "x"),
  silu: activation("silu", "x"),
  sigmoid: {
    value: "sigmoid(v)",
    slope: "v * (1.0 - v)",
    from: "y",
    functions: sigmoidFunction,
    loop: (x) => 1 / (1 + Math.exp(-x)),
    slopeLoop: (y) => y * (1 - y),
  },
  // Clamped, because exponentials that overflow are undefined in WGSL; beyond 10 it is +-1 in f32 anyway.
  tanh: {
    value: "tanh(clamp(v, T(-10.0), T(10.0)))",
    slope: "1.0 - v * v",
    from: "y",
    loop: Math.tanh,
    slopeLoop: (y) => 1 - y * y,
  },
  exp: { value: "exp(v)", slope: "v", from: "y", loop: Math.exp, slopeLoop: (y) => y },
  log: { value: "log(v)", slope: "1.0 / v", from: "x", loop: Math.log, slopeLoop: (x) => 1 / x },
  // The smallest normal number keeps the slope at 0 large but finite.
  sqrt: {
    value: "sqrt(v)",
    slope: "0.5 / max(v, T(1.1754944e-38))",
    from: "y",
    loop: Math.sqrt,
    slopeLoop: (y) => 0.5 / Math.max(y, 2 ** -126),
  },
  square: {
    value: "v * v",
    slope: "2.0 * v",
    from: "x",
    loop: (x) => x * x,
    slopeLoop: (x) => 2 * x,
  },
  abs: { value: "abs(v)", slope: "sign(v)", from: "x", loop: Math.abs, slopeLoop: Math.sign },
};

/** Names of all functions. */
export const ELEMENTWISE: readonly ElementwiseName[] = Object.keys(FUNCTIONS) as ElementwiseName[];

interface Config {
  readonly f: ElementwiseName;
  readonly wide: boolean;
}

const forward = memoize(({ f, wide }: Config) => {
  const type = wide ? "vec4<f32>" : "f32";
  const functions = FUNCTIONS[f].functions?.(wide ? "vec4f" : "f32") ?? "";
  return defineProgram({
    name: f,
    variant: wide ? "vec4" : "readable",
    params: { count: "u32" },
    bindings: { x: `read ${type}`, y: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
alias T = ${type};
${functions}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  let v = x[i];
  y[i] = ${FUNCTIONS[f].value};
}`,
  });
});

const backward = memoize(({ f, wide }: Config) => {
  const type = wide ? "vec4<f32>" : "f32";
  const functions = FUNCTIONS[f].functions?.(wide ? "vec4f" : "f32") ?? "";
  return defineProgram({
    name: `${f}.backward`,
    variant: wide ? "vec4" : "readable",
    params: { count: "u32" },
    bindings: { saved: `read ${type}`, dOut: `read ${type}`, dx: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
alias T = ${type};
${functions}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  let v = saved[i];
  dx[i] = dOut[i] * (${FUNCTIONS[f].slope});
}`,
  });
});

/** What the backward of a function reads: its input or its output. */
export function elementwiseSaves(f: ElementwiseName): "x" | "y" {
  return FUNCTIONS[f].from;
}

/** y = f(x) over `count` elements. Bindings: x, y. */
export function elementwise(f: ElementwiseName, count: number): Kernel {
  const wide = count % 4 === 0;
  const items = wide ? count / 4 : count;
  return {
    program: forward({ f, wide }),
    params: { count: items },
    sizes: { x: count, y: count },
    workgroups: foldWorkgroups(ceilDiv(items, SIZE)),
    flops: count,
    bytes: 8 * count,
    reference: ({ x }) => elementwiseReference(f, x),
  };
}

/** dx = dOut f'. Bindings: saved (x or y, see `elementwiseSaves`), dOut, dx. */
export function elementwiseBackward(f: ElementwiseName, count: number): Kernel {
  const wide = count % 4 === 0;
  const items = wide ? count / 4 : count;
  return {
    program: backward({ f, wide }),
    params: { count: items },
    sizes: { saved: count, dOut: count, dx: count },
    workgroups: foldWorkgroups(ceilDiv(items, SIZE)),
    flops: 2 * count,
    bytes: 12 * count,
    reference: ({ saved, dOut }) => elementwiseBackwardReference(f, saved, dOut),
  };
}

/** The plain loop. */
export function elementwiseReference(
  f: ElementwiseName,
  x: ArrayLike<number>,
): { y: Float64Array } {
  return { y: Float64Array.from(x, FUNCTIONS[f].loop) };
}

/** The plain loop of the backward, from what it reads (see `elementwiseSaves`). */
export function elementwiseBackwardReference(
  f: ElementwiseName,
  saved: ArrayLike<number>,
  dOut: ArrayLike<number>,
): { dx: Float64Array } {
  return { dx: Float64Array.from(saved, (v, i) => dOut[i] * FUNCTIONS[f].slopeLoop(v)) };
}
