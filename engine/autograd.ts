/**
 * Reverse-mode differentiation on a tape.
 *
 * Every op that may need a gradient leaves a node: its inputs, the tensors it *declares* as saved, and a function from
 * output gradients to input gradients. The function closes over no tensor, so the engine knows what is kept alive, and
 * why. `backward()` visits the nodes from the newest to the oldest; that order is a topological one, because a node is
 * always newer than the nodes its inputs came from.
 *
 *     loss = f(g(x))      d loss/d x  =  d loss/d f · d f/d g · d g/d x     (from left to right)
 * @module
 */
import { autocast } from "./cast.ts";
import { DTypeError, ScopeError, ShapeError } from "./errors.ts";
import { addGradients, storeGradient } from "./gradients.ts";
import { atPlace, here } from "./place.ts";
import { sameShape, type Tensor } from "./tensor.ts";

/** A place a parameter's gradient is written straight into. `accumulate` 0 overwrites, 1 adds to what is there. */
export interface GradTarget {
  /** Of the parameter's shape. */
  readonly tensor: Tensor;
  /** What to do with the values that are there. */
  readonly accumulate: 0 | 1;
}

/** What an op's backward gets. */
export interface BackwardContext<Saved> {
  /** What the op saved. */
  readonly saved: Saved;
  /** Gradient of the (first) output. It may be of another float type than the output; kernels read either. */
  readonly dOut: Tensor;
  /** Gradients of all outputs; null for those the loss does not depend on. */
  readonly dOuts: readonly (Tensor | null)[];
  /** Which inputs want a gradient. */
  needs(input: string): boolean;
  /**
   * The place for the gradient of a leaf (a parameter). A backward that asks must write there, with `accumulate`, and
   * return nothing for this input. Undefined for inputs that are no leaves: return a new tensor. A backward may also
   * never ask and always return a tensor; the engine then copies or adds it.
   */
  target(input: string): GradTarget | undefined;
}

/** An op's backward: gradients by input name; those written to a target or not needed are left out. */
export type BackwardFunction<Saved> = (
  context: BackwardContext<Saved>,
) => Readonly<Record<string, Tensor | undefined>>;

/** One op on the tape. */
export interface BackwardNode {
  readonly id: number;
  readonly name: string;
  readonly inputs: Readonly<Record<string, Tensor | undefined>>;
  readonly saved: Readonly<Record<string, Tensor | undefined>>;
  readonly outputs: readonly { readonly shape: readonly number[] }[];
  readonly backward: BackwardFunction<never>;
  /** Where the op was asked for. */
  readonly place: Error;
}

let nextId = 1;
let enabled = true;

/** True when ops leave nodes on the tape. */
export function gradEnabled(): boolean {
  return enabled;
}

/** Runs a synchronous function without recording anything for backward: inference, evaluation, optimiser updates. */
export function noGrad<T>(fn: () => T): T {
  const before = enabled;
  enabled = false;
  try {
    const result = fn();
    if (result instanceof Promise && fn.constructor.name === "AsyncFunction") {
      result.catch(() => {});
      throw new DTypeError("noGrad(): needs a synchronous function, got an async one");
    }
    return result;
  } finally {
    enabled = before;
  }
}

/** What an op tells the tape about itself. */
export interface TapeEntry<Saved extends Record<string, Tensor | undefined>> {
  /** Differentiable inputs by name; optional ones may be undefined. */
  inputs: Readonly<Record<string, Tensor | undefined>>;
  /** What the op computed; one output or more. */
  outputs: readonly Tensor[];
  /** Tensors by name that the backward will read; they are kept until the step ends. */
  saved: Saved;
  /** How the gradients of the inputs follow from those of the outputs; must close over no tensor. */
  backward: BackwardFunction<Saved>;
}

/** Puts an op on the tape if one of its inputs wants a gradient; otherwise does nothing. */
export function record<Saved extends Record<string, Tensor | undefined>>(
  name: string,
  entry: TapeEntry<Saved>,
): void {
  if (!enabled || !Object.values(entry.inputs).some((input) => input?.requiresGrad)) return;
  const node: BackwardNode = {
    id: nextId++,
    name,
    inputs: entry.inputs,
    saved: entry.saved,
    outputs: entry.outputs,
    backward: entry.backward as BackwardFunction<never>,
    place: here(name),
  };
  for (const tensor of Object.values(entry.saved)) {
    if (tensor) (tensor.storage.buffer.savedFor ??= new Set()).add(name);
  }
  for (const output of entry.outputs) {
    output.requiresGrad = true;
    output.node = node;
  }
}

/** The engine side of `Tensor.backward`. */
export function runBackward(root: Tensor, dOut?: Tensor): void {
  if (!root.requiresGrad) {
    throw new ScopeError(
      `backward(): ${root.describe()} depends on no tensor with requiresGrad, or was computed inside noGrad(); set ` +
        "requiresGrad on what shall learn, and compute it outside",
    );
  }
  if (dOut === undefined) {
    if (root.size !== 1) {
      throw new ShapeError(
        `backward(): ${root.describe()} has ${root.size} elements; take its sum() or mean(), or pass the gradient of ` +
          "the loss by it",
      );
    }
    dOut = root.device.full(root.shape, 1);
  } else if (dOut.dtype !== "f32" && dOut.dtype !== "f16") {
    throw new DTypeError(`backward(): the gradient is ${dOut.dtype}, needs f32`);
  } else if (!sameShape(dOut.shape, root.shape)) {
    throw new ShapeError(
      `backward(): the gradient has shape [${dOut.shape.join(", ")}], needs [${
        root.shape.join(", ")
      }]`,
    );
  }
  const gradients = new Map<Tensor, Tensor>([[root, dOut]]);
  const work = () => {
    for (const node of nodesBehind(root)) atPlace(node.place, () => visit(node, gradients));
    if (root.node === null) storeGradient(dOut!, takeTarget(root)!);
  };
  noGrad(() => autocast(work, { enabled: false }));
}

function nodesBehind(root: Tensor): BackwardNode[] {
  const seen = new Set<BackwardNode>();
  const stack = root.node ? [root.node] : [];
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of Object.values(node.inputs)) {
      if (input?.requiresGrad && input.node) stack.push(input.node);
    }
  }
  return [...seen].sort((a, b) => b.id - a.id);
}

function visit(node: BackwardNode, gradients: Map<Tensor, Tensor>): void {
  const dOuts = (node.outputs as readonly Tensor[]).map((output) => {
    const gradient = gradients.get(output) ?? null;
    gradients.delete(output);
    return gradient;
  });
  if (dOuts.every((d) => d === null)) return;
  const first = (node.outputs as readonly Tensor[])[0];
  const context: BackwardContext<never> = {
    saved: node.saved as never,
    dOut: dOuts[0] ?? first.device.zeros(first.shape),
    dOuts,
    needs: (name) => node.inputs[name]?.requiresGrad ?? false,
    target: (name) => takeTarget(node.inputs[name]),
  };
  const results = node.backward(context);
  for (const [name, gradient] of Object.entries(results)) {
    const input = node.inputs[name];
    if (!gradient || !input?.requiresGrad) continue;
    if (!sameShape(gradient.shape, input.shape)) {
      throw new ShapeError(
        `${node.name}: its backward made a gradient of shape [${gradient.shape.join(", ")}] for ` +
          `"${name}", which has [${input.shape.join(", ")}]`,
      );
    }
    if (input.node === null) storeGradient(gradient, takeTarget(input)!);
    else {
      const there = gradients.get(input);
      gradients.set(input, there ? addGradients(there, gradient) : gradient);
    }
  }
}

/** The fixed place of a leaf's gradient, made at its first need and marked as written. */
function takeTarget(input: Tensor | undefined): GradTarget | undefined {
  if (!input?.requiresGrad || input.node !== null) return undefined;
  input.gradSlot ??= input.device.keep(input.device.empty(input.shape, input.dtype, "gradient"));
  const accumulate = input.grad === null ? 0 : 1;
  input.grad = input.gradSlot;
  return { tensor: input.gradSlot, accumulate };
}
