/**
 * Arithmetic of two tensors, or a tensor and a number, with NumPy broadcasting: shapes are aligned at their ends and a
 * length of 1 stretches. Forward: one dispatch, kernels/strided_map.ts. f16 with f32 gives f32, as in PyTorch.
 *
 *     y = a + b   da = dy        db = dy                  (each summed over the dimensions its operand was stretched
 *     y = a - b   da = dy        db = -dy                  along, since a repeated value collects the gradients of all
 *     y = a * b   da = dy b      db = dy a                 its copies)
 *     y = a / b   da = dy / b    db = -dy a / b^2
 *     max, min    dy to the one that was taken; half to each at a tie
 * @module
 */
import { type BackwardContext, record } from "../autograd.ts";
import { expectFloat, sameShape, type Tensor } from "../tensor.ts";
import { broadcastMap, broadcastShapes, expectFewDims, unbroadcast } from "./broadcast.ts";

type Operation = "add" | "sub" | "mul" | "div" | "maximum" | "minimum";
type Saved = { a?: Tensor; b?: Tensor };

/**
 * a + b, element by element, with NumPy broadcasting; b may be a number.
 *
 * Gradient: da = dy, db = dy.
 * @throws {ShapeError} when the shapes do not broadcast
 * @throws {DTypeError} when a or b holds no floats
 */
export function add(a: Tensor, b: Tensor | number): Tensor {
  return arithmetic("add", a, b);
}

/**
 * a - b, element by element, with NumPy broadcasting; b may be a number.
 *
 * Gradient: da = dy, db = -dy.
 * @throws {ShapeError} when the shapes do not broadcast
 * @throws {DTypeError} when a or b holds no floats
 */
export function sub(a: Tensor, b: Tensor | number): Tensor {
  return arithmetic("sub", a, b);
}

/**
 * a * b, element by element, with NumPy broadcasting; b may be a number.
 *
 * Gradient: da = dy b, db = dy a.
 * @throws {ShapeError} when the shapes do not broadcast
 * @throws {DTypeError} when a or b holds no floats
 */
export function mul(a: Tensor, b: Tensor | number): Tensor {
  return arithmetic("mul", a, b);
}

/**
 * a / b, element by element, with NumPy broadcasting; b may be a number.
 *
 * Gradient: da = dy / b, db = -dy a / b^2.
 * @throws {ShapeError} when the shapes do not broadcast
 * @throws {DTypeError} when a or b holds no floats
 */
export function div(a: Tensor, b: Tensor | number): Tensor {
  return arithmetic("div", a, b);
}

/**
 * The larger of a and b, element by element, with NumPy broadcasting; b may be a number.
 *
 * Gradient: da = dy where a is larger, db = dy where b is; half to each at a tie.
 * @throws {ShapeError} when the shapes do not broadcast
 * @throws {DTypeError} when a or b holds no floats
 */
export function maximum(a: Tensor, b: Tensor | number): Tensor {
  return arithmetic("maximum", a, b);
}

/**
 * The smaller of a and b, element by element, with NumPy broadcasting; b may be a number.
 *
 * Gradient: da = dy where a is smaller, db = dy where b is; half to each at a tie.
 * @throws {ShapeError} when the shapes do not broadcast
 * @throws {DTypeError} when a or b holds no floats
 */
export function minimum(a: Tensor, b: Tensor | number): Tensor {
  return arithmetic("minimum", a, b);
}

function arithmetic(name: Operation, a: Tensor, b: Tensor | number): Tensor {
  expectFloat(`${name}: a`, a);
  if (typeof b !== "number") expectFloat(`${name}: b`, b);
  const operand = typeof b === "number" ? undefined : b;
  const shape = operand ? broadcastShapes(name, a.shape, operand.shape) : a.shape;
  if (operand) expectFewDims(name, shape, [a, operand]);
  const y = broadcastMap(name, name, shape, { a, b });
  const aShape = a.shape, bShape = operand?.shape;
  const number = typeof b === "number" ? b : undefined;
  record<Saved>(name, {
    inputs: { a, b: operand },
    outputs: [y],
    saved: savedFor(name, a, operand),
    backward: (context) => {
      const passed = (input: "a" | "b", to: readonly number[] | undefined) => {
        if (!context.needs(input) || to === undefined) return undefined;
        const whole = GRADIENTS[name][input](context, number);
        // a gradient that needs no sum is returned; the engine stores it
        const target = sameShape(whole.shape, to) ? undefined : context.target(input);
        return unbroadcast(whole, to, target);
      };
      return { a: passed("a", aShape), b: passed("b", bShape) };
    },
  });
  return y;
}

/** What the gradients below read: nothing for sums, both operands for the rest (a number is no tensor). */
function savedFor(name: Operation, a: Tensor, b: Tensor | undefined): Saved {
  if (name === "add" || name === "sub") return {};
  const aNeeded = b ? name !== "mul" || b.requiresGrad : name === "maximum" || name === "minimum";
  const bNeeded = name !== "mul" || a.requiresGrad;
  return { a: aNeeded ? a : undefined, b: bNeeded ? b : undefined };
}

/** A gradient by one operand, in the shape of the output. */
type Gradient = (context: BackwardContext<Saved>, number: number | undefined) => Tensor;

const pass: Gradient = ({ dOut }) => dOut;

/** f of the gradient and the other operand. */
function times(f: "mul" | "div", other: "a" | "b"): Gradient {
  return ({ dOut, saved }, number) =>
    broadcastMap(`${f}.backward`, f, dOut.shape, { a: dOut, b: saved[other] ?? number! });
}

/** The gradient where one operand was taken. */
function taken(f: "maximum_grad" | "minimum_grad", own: "a" | "b"): Gradient {
  return ({ dOut, saved }, number) => {
    const other = own === "a" ? saved.b ?? number! : saved.a!;
    return broadcastMap(f, f, dOut.shape, { a: saved[own]!, b: other, g: dOut });
  };
}

const GRADIENTS: Record<Operation, Record<"a" | "b", Gradient>> = {
  add: { a: pass, b: pass },
  sub: {
    a: pass,
    b: ({ dOut }) => broadcastMap("sub.backward", "mul", dOut.shape, { a: dOut, b: -1 }),
  },
  mul: { a: times("mul", "b"), b: times("mul", "a") },
  div: {
    a: times("div", "b"),
    b: ({ dOut, saved }) =>
      broadcastMap("div.backward", "div_grad", dOut.shape, { a: saved.a!, b: saved.b!, g: dOut }),
  },
  maximum: { a: taken("maximum_grad", "a"), b: taken("maximum_grad", "b") },
  minimum: { a: taken("minimum_grad", "a"), b: taken("minimum_grad", "b") },
};
