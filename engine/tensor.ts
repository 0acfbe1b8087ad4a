/**
 * Tensors: dense, row-major, on the GPU. A tensor is a shape, a dtype and a range of a buffer.
 *
 * There are no strides: a reshape is free and shares memory, everything else (transposition inside a matmul apart)
 * copies. Images and feature maps are channels last inside wgrad; NCHW exists only at the edges.
 * @module
 */
import { type BackwardNode, runBackward } from "./autograd.ts";
import { type BufferRange, nameOf, type VirtualBuffer } from "./buffers.ts";
import type { Device } from "./device.ts";
import { DTypeError, FeatureError, ScopeError, ShapeError } from "./errors.ts";
import { to } from "./ops/to.ts";

/** Element types: f16 takes 2 bytes and needs a device with `shader-f16`, the others take 4. */
export type DType = "f32" | "f16" | "i32" | "u32";

/** Host arrays by dtype. */
export type HostArray = Float32Array | Float16Array | Int32Array | Uint32Array;

/** Where a tensor lies; shared by its reshapes, replaced when a parameter moves into an arena. */
export interface Storage {
  buffer: VirtualBuffer;
  /** In bytes. */
  offset: number;
}

/** A row-major array on the GPU that knows how it was computed. */
export class Tensor {
  /** Sizes, outermost first; [] for a scalar. */
  readonly shape: readonly number[];
  /** True when `backward()` should leave a gradient here (a leaf) or pass one through (a result). */
  requiresGrad = false;
  /** d(loss)/d(this), filled by `backward()`; same shape. Null until then. */
  grad: Tensor | null = null;
  /** @internal How it was computed; null for leaves. */
  node: BackwardNode | null = null;
  /** @internal A leaf's own place for its gradient: made at its first backward, or part of an optimiser's arena. */
  gradSlot: Tensor | null = null;
  #device: Device | null;
  #storage: Storage | null;
  #dtype: DType;

  /** @internal Use `device.tensor`, `device.zeros` or an op. */
  constructor(
    device: Device | null,
    shape: readonly number[],
    dtype: DType,
    storage: Storage | null,
  ) {
    this.#device = device;
    this.shape = Object.freeze([...shape]);
    this.#dtype = dtype;
    this.#storage = storage;
  }

  /** The device it lives on. @throws {ScopeError} for a parameter that was not placed yet. */
  get device(): Device {
    if (this.#device === null) throw this.#unplaced();
    return this.#device;
  }

  /** True once it has a device and memory; parameters get both from `model.to(device)`. */
  get placed(): boolean {
    return this.#storage !== null;
  }

  /** Element type; that of a parameter changes with `model.half()`. */
  get dtype(): DType {
    return this.#dtype;
  }

  /** @internal Gives it memory, or other memory, or none. */
  place(device: Device | null, storage: Storage | null, dtype: DType = this.#dtype): void {
    this.#device = device;
    this.#storage = storage;
    this.#dtype = dtype;
  }

  /** @internal */
  get storage(): Storage {
    if (this.#storage === null) throw this.#unplaced();
    return this.#storage;
  }

  /** @internal The buffers that it lies in; none before it has memory. */
  get buffers(): readonly VirtualBuffer[] {
    return this.#storage === null ? [] : [this.#storage.buffer];
  }

  /** @internal The bytes it occupies. @throws {ScopeError} naming it when its memory was released. */
  get range(): BufferRange {
    const { buffer, offset } = this.storage;
    if (buffer.released) {
      throw new ScopeError(
        `Tensor ${this.describe()} was released by ${buffer.releasedBy}; return it from the scope ` +
          "that made it, or read it inside.",
      );
    }
    return {
      buffer,
      offset,
      bytes: bytesFor(this.size, this.dtype),
      shape: this.shape,
      dtype: this.dtype,
    };
  }

  /** Number of elements; 1 for a scalar (shape []). */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Number of dimensions. */
  get rank(): number {
    return this.shape.length;
  }

  /** `f32[2, 3] "softmax"`, for messages. */
  describe(): string {
    const label = this.#storage ? ` "${nameOf(this.#storage)}"` : "";
    return `${this.dtype}[${this.shape.join(", ")}]${label}`;
  }

  /**
   * Copies the values to the host. Waits for the GPU; ask inside a step, await outside.
   * @returns a Float32Array, Float16Array, Int32Array or Uint32Array by dtype, in row-major order
   * @throws {WgradError} when computing it failed: stale values are never returned
   */
  data(): Promise<HostArray> {
    const View = hostArrayOf(this.dtype);
    return this.device.read(this.range, (bytes) => new View(bytes, 0, this.size));
  }

  /** The value of a tensor with one element. @throws {ShapeError} when it has more. */
  item(): Promise<number> {
    if (this.size !== 1) {
      throw new ShapeError(`item(): ${this.describe()} has ${this.size} elements, needs 1`);
    }
    const View = hostArrayOf(this.dtype);
    return this.device.read(this.range, (bytes) => new View(bytes)[0]);
  }

  /**
   * Fills `grad` of every tensor with `requiresGrad` that this one was computed from; gradients add to those there.
   * @param dOut gradient of the loss by this tensor; may be left out for a tensor with one element (then 1)
   * @throws {ScopeError} when no tensor that it was computed from wants a gradient
   * @throws {ShapeError} when the gradient is missing or of another shape
   * @throws {DTypeError} when the gradient is not f32 or f16
   */
  backward(dOut?: Tensor): void {
    runBackward(this, dOut);
  }

  /** The values as f32 or f16, see the op `to`. */
  to(dtype: "f32" | "f16"): Tensor {
    return to(this, dtype);
  }

  /** The same memory without the history: no gradient flows through it. */
  detach(): Tensor {
    return new Tensor(this.device, this.shape, this.dtype, this.storage);
  }

  /** Releases the memory now. Only needed outside scopes, and even there the garbage collector does it in time. */
  dispose(): void {
    this.device.release(this.storage.buffer, "dispose()");
  }

  #unplaced(): ScopeError {
    return new ScopeError(
      `A ${this.dtype}[${
        this.shape.join(", ")
      }] parameter has no memory yet; call model.to(device) first.`,
    );
  }
}

/** Bytes of `size` elements, padded to the 4 that WebGPU copies and binds at a time. */
export function bytesFor(size: number, dtype: DType): number {
  return dtype === "f16" ? 4 * Math.ceil(size / 2) : 4 * size;
}

/** The host's array for a dtype. @throws {FeatureError} for f16 where the language has no Float16Array yet */
export function hostArrayOf(
  dtype: DType,
): new (bytes: ArrayBuffer, offset?: number, length?: number) => HostArray {
  if (dtype === "f32") return Float32Array;
  if (dtype === "i32") return Int32Array;
  if (dtype === "u32") return Uint32Array;
  if (typeof Float16Array === "function") return Float16Array;
  throw new FeatureError(
    'This runtime has no Float16Array (Chrome has it since 135, Firefox 129, Safari 18.2); read x.to("f32") instead',
  );
}

/** Product of the dimensions. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const d of shape) size *= d;
  return size;
}

/** True when two shapes are equal. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/**
 * Checks a tensor's shape against a pattern, where a number must match and a letter stands for any size (the same
 * letter for the same size). Returns the sizes.
 * @example `const [b, n] = expectShape("attention: x", x, ["B", "N", 192]);`
 * @throws {ShapeError} naming the argument, what it has and what it needs
 */
export function expectShape(
  name: string,
  tensor: Tensor,
  pattern: readonly (number | string)[],
): number[] {
  expectTensor(name, tensor);
  const letters = new Map<string, number>();
  const fits = tensor.rank === pattern.length && pattern.every((want, i) => {
    const got = tensor.shape[i];
    if (typeof want === "number") return want === got;
    const seen = letters.get(want);
    letters.set(want, seen ?? got);
    return seen === undefined || seen === got;
  });
  if (!fits) {
    throw new ShapeError(
      `${name} has shape [${tensor.shape.join(", ")}], needs [${pattern.join(", ")}]`,
    );
  }
  return [...tensor.shape];
}

/** Checks that an argument is a tensor at all. @throws {DTypeError} naming the argument. */
export function expectTensor(name: string, value: unknown): void {
  if (value instanceof Tensor) return;
  throw new DTypeError(`${name} must be a Tensor, got ${value === null ? "null" : typeof value}`);
}

/** Checks a tensor's dtype. @throws {DTypeError} naming the argument. */
export function expectDType(name: string, tensor: Tensor, ...allowed: DType[]): void {
  expectTensor(name, tensor);
  if (!allowed.includes(tensor.dtype)) {
    const wayOut = tensor.dtype === "f16"
      ? '; there is no half form of it, so cast with to("f32")'
      : "";
    throw new DTypeError(`${name} is ${tensor.dtype}, needs ${allowed.join(" or ")}${wayOut}`);
  }
}

/** Checks that a tensor holds floats, for ops that take halves too. @throws {DTypeError} naming the argument */
export function expectFloat(name: string, tensor: Tensor): void {
  expectDType(name, tensor, "f32", "f16");
}
