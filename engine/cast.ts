/**
 * Casts off the tape, and autocast: the scope in which matrix ops read half copies of their inputs.
 *
 * As `torch.autocast` does it: products, attention and convolutions run on half inputs and store half outputs; what is
 * summed or exponentiated on its way into a loss (softmax, entmax, sums, means, losses) comes out in f32; parameters,
 * their gradients and all accumulators are f32. One difference: a gradient passes the half copy of a parameter without
 * being rounded to half, since the kernels write it in f32.
 * @module
 */
import { cast } from "../kernels/cast.ts";
import { nameOf } from "./buffers.ts";
import { run } from "./dispatch.ts";
import { DTypeError } from "./errors.ts";
import { type DType, Tensor } from "./tensor.ts";

/** The half copies of a scope, or null outside of one. */
let copies: Map<Tensor, Tensor> | null = null;

/** True within `autocast`. */
export function autocasting(): boolean {
  return copies !== null;
}

/** Options of `autocast`. */
export interface AutocastOptions {
  /** False: leave it off, also within an outer scope. Default true. */
  readonly enabled?: boolean;
}

/**
 * Runs a synchronous function in mixed precision: its matrix ops store halves, see docs/design.md. Each input is copied
 * to half once a scope, so keep optimiser steps and other writes to parameters outside. Losses that come out small need
 * a `GradScaler`, or their gradients vanish below 6e-8.
 * @example
 * ```ts ignore
 * const loss = crossEntropy(autocast(() => model.forward(images)), labels);
 * scaler.scale(loss).backward();
 * ```
 * @throws {FeatureError} from the first op when the device has no `shader-f16`
 * @throws {DTypeError} for an async function
 */
export function autocast<T>(fn: () => T, { enabled = true }: AutocastOptions = {}): T {
  const outer = copies;
  copies = enabled ? outer ?? new Map() : null;
  try {
    const result = fn();
    if (result instanceof Promise && fn.constructor.name === "AsyncFunction") {
      result.catch(() => {});
      throw new DTypeError("autocast(): needs a synchronous function, got an async one");
    }
    return result;
  } finally {
    copies = outer;
  }
}

/** A tensor's values in another float type; itself where it has it. Leaves nothing on the tape. */
export function castTo(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  const y = x.device.empty(x.shape, dtype, `${nameOf(x.storage)} as ${dtype}`);
  if (x.size > 0) run(cast(x.size), { x, y });
  return y;
}

/** Stores a tensor that has memory of its own in another float type: its values are converted, that memory is freed. */
export function storeAs(x: Tensor, dtype: "f32" | "f16", label: string): void {
  if (x.dtype === dtype) return;
  const { device } = x, { buffer } = x.storage;
  const storage = { buffer: device.persistent(x.size, label, dtype), offset: 0 };
  run(cast(x.size), { x, y: new Tensor(device, x.shape, dtype, storage) });
  if (buffer.bytes <= Math.max(16, x.range.bytes)) device.release(buffer, `a cast to ${dtype}`);
  x.place(device, storage, dtype);
}

/** What a matrix op reads of an input: within autocast a half copy, made once a scope; else the input itself. */
export function autocastCopy(x: Tensor): Tensor {
  if (copies === null || x.dtype !== "f32") return x;
  const made = copies.get(x);
  if (made !== undefined && !made.storage.buffer.released) return made;
  const copy = castTo(x, "f16");
  copies.set(x, copy);
  return copy;
}

/**
 * What the backward keeps of an input whose half copy the forward read. A parameter lives on anyway: it is kept itself
 * and copied again (`castTo`), as copies of all weights at once would take more memory than half activations save.
 */
export function kept(input: Tensor, read: Tensor): Tensor {
  return input.requiresGrad && input.node === null ? input : read;
}

/** The element type of a result: f16 where all floats are. Numbers do not count. */
export function promoted(
  ...inputs: readonly (Tensor | number | null | undefined)[]
): "f32" | "f16" {
  return inputs.every((x) => !(x instanceof Tensor) || x.dtype === "f16") ? "f16" : "f32";
}

/** The element type of a result that others sum up or exponentiate: f32 within autocast, else that of x. */
export function preciseDType(x: Tensor): DType {
  return autocasting() ? "f32" : x.dtype;
}

/**
 * The factors of a matrix op as it reads them.
 * @throws {DTypeError} when one is f16, another f32, outside of `autocast`
 */
export function factors<N extends string>(
  name: string,
  inputs: Readonly<Record<N, Tensor>>,
): Record<N, Tensor> {
  const entries = (Object.entries(inputs) as [N, Tensor][])
    .map(([key, x]): [N, Tensor] => [key, autocastCopy(x)]);
  const [[firstName, first]] = entries;
  for (const [key, x] of entries) {
    if (x.dtype !== first.dtype) {
      throw new DTypeError(
        `${name}(): ${firstName} is ${first.dtype} and ${key} ${x.dtype}; cast one with to("${first.dtype}"), or ` +
          "compute it within autocast()",
      );
    }
  }
  return Object.fromEntries(entries) as Record<N, Tensor>;
}
