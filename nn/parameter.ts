/**
 * Parameters: the tensors that a model learns, and how they get their first values.
 *
 * A parameter is made without a device, so a model can be built, counted and loaded on a machine without a GPU. Its
 * first values are drawn on the host when the model is placed, from a stream named after the parameter: they do not
 * depend on the order in which modules are built, and are the same bits in every runtime.
 *
 * A parameter of experts may be larger than what a device binds to a kernel. It is then divided: it has one name and one
 * shape as ever, but its values, gradients and moments lie in several tensors, its `parts`, each some of the experts.
 * @module
 */
import type { VirtualBuffer } from "../engine/buffers.ts";
import { storeAs } from "../engine/cast.ts";
import type { Device } from "../engine/device.ts";
import { CheckpointError, DTypeError, LimitError, ShapeError } from "../engine/errors.ts";
import { Rng } from "../engine/random/host_rng.ts";
import { readTogether } from "../engine/read_together.ts";
import { bytesFor, type Storage, Tensor } from "../engine/tensor.ts";

/** Draws the first values of a parameter: row-major, as many as the shape holds. */
export type Init = (rng: Rng, shape: readonly number[]) => Float32Array<ArrayBuffer>;

/** Options of a `Parameter`. */
export interface ParameterOptions {
  /** False for values that are kept but not learned, such as running statistics. Default true. */
  requiresGrad?: boolean;
  /** Whether it may be divided along its first axis, as its users read it by `parts`. Default false. */
  divisible?: boolean;
}

/** @internal Where a parameter lies and what belongs to that; to put it back as it was. */
export interface Placement {
  readonly device: Device | null;
  readonly storage: Storage | null;
  readonly parts: readonly Tensor[] | null;
  readonly gradients: readonly Pick<Tensor, "grad" | "gradSlot">[];
}

/** A tensor that belongs to a module, is named in its state dict, and lives as long as the model. */
export class Parameter extends Tensor {
  readonly #init: Init;
  readonly #divisible: boolean;
  #loaded: Float32Array | null = null;
  /** Set while it is divided; it has no memory of its own then. */
  #parts: readonly Tensor[] | null = null;

  /**
   * A parameter without memory; `model.to(device)` gives it some.
   * @param shape [] makes a learnable scalar
   * @param init draws its first values, unless a state dict is loaded before
   * @throws {ShapeError} a size is no whole number above 0
   */
  constructor(
    shape: readonly number[],
    init: Init,
    options: ParameterOptions = {},
  ) {
    if (shape.some((size) => !Number.isSafeInteger(size) || size < 1)) {
      throw new ShapeError(
        `Parameter: [${shape.join(", ")}] is no shape, needs sizes of 1 or more`,
      );
    }
    super(null, shape, "f32", null);
    this.#init = init;
    this.requiresGrad = options.requiresGrad ?? true;
    this.#divisible = options.divisible ?? false;
  }

  /**
   * The tensors that hold its values and gradients: the parameter itself, or where it is larger than its device binds,
   * ranges of its first axis, in order. The gradient of a divided parameter is in its parts alone.
   */
  get parts(): readonly Tensor[] {
    for (const part of this.#parts ?? []) part.requiresGrad = this.requiresGrad;
    return this.#parts ?? [this];
  }

  /** True once it has a device and memory. */
  override get placed(): boolean {
    return this.#parts !== null || super.placed;
  }

  /** @internal @throws {LimitError} it is divided: only its parts have memory that a kernel can be given */
  override get storage(): Storage {
    if (this.#parts === null) return super.storage;
    const [{ storage: { buffer } }] = this.#parts;
    throw new LimitError(
      `Parameter "${buffer.label}" [${
        this.shape.join(", ")
      }] lies in ${this.#parts.length} tensors, as it is ` +
        `larger than the ${this.device.target.maxBindingBytes} bytes that this device binds; use its parts`,
    );
  }

  /** @internal */
  override get buffers(): readonly VirtualBuffer[] {
    return this.#parts?.flatMap(({ buffers }) => buffers) ?? super.buffers;
  }

  /**
   * @internal Gives it memory on a device, which is filled by `load`; what it had is left to the caller.
   * @throws {LimitError} one expert alone is larger than the device binds
   */
  allocate(device: Device, name: string): void {
    const most = device.target.maxBindingBytes;
    const bytes = bytesFor(this.size, this.dtype);
    this.#parts = null;
    this.grad = this.gradSlot = null;
    if (!this.#divisible || bytes <= most) {
      const buffer = device.persistent(this.size, name, this.dtype);
      return this.place(device, { buffer, offset: 0 });
    }
    const [count, ...rest] = this.shape;
    const rowsThatFit = Math.floor(most / (bytes / count));
    if (rowsThatFit === 0) {
      throw new LimitError(
        `"${name}" [${this.shape.join(", ")}]: one of its ${count} takes ${bytes / count} bytes, ` +
          `this device binds at most ${most}; use smaller experts`,
      );
    }
    const rows = Math.ceil(count / Math.ceil(count / rowsThatFit)); // of about equal size
    const parts: Tensor[] = [];
    for (let first = 0; first < count; first += rows) {
      const shape = [Math.min(rows, count - first), ...rest];
      const part = new Tensor(device, shape, this.dtype, null);
      const buffer = device.persistent(part.size, name, this.dtype);
      part.place(device, { buffer, offset: 0 });
      parts.push(part);
    }
    this.place(device, null);
    this.#parts = parts;
  }

  /** @internal Stores its values in another float type, in new memory. */
  convert(dtype: "f32" | "f16", name: string): void {
    for (const part of this.parts) storeAs(part, dtype, name);
    if (this.#parts !== null) this.place(this.device, null, dtype);
  }

  /** @internal Where it lies now. */
  get placement(): Placement {
    return {
      device: this.placed ? this.device : null,
      storage: super.placed ? this.storage : null,
      parts: this.#parts,
      gradients: this.parts.map(({ grad, gradSlot }) => ({ grad, gradSlot })),
    };
  }

  /** @internal Puts it back where it was. */
  restore({ device, storage, parts, gradients }: Placement): void {
    this.place(device, storage);
    this.#parts = parts;
    this.parts.forEach((part, i) => Object.assign(part, gradients[i]));
  }

  /** Copies the values to the host as f32, those of all parts as one array. */
  override data(): Promise<Float32Array> {
    if (this.#parts === null && this.dtype === "f32") return super.data() as Promise<Float32Array>;
    const read = this.#parts === null
      ? super.data().then((values) => Float32Array.from(values))
      : readTogether(this.#parts).then(joined);
    read.catch(() => {}); // as with every read: one that nobody awaits must not end the program
    return read;
  }

  /** Releases its memory now. */
  override dispose(): void {
    if (this.#parts === null) super.dispose();
    else for (const part of this.#parts) part.dispose();
  }

  /** The sizes under which state dicts hold it: those of the tensor, unless its values lie in another order here. */
  get stateShape(): readonly number[] {
    return this.shape;
  }

  /** @internal Values of this tensor in the order of state dicts. */
  toState(values: Float32Array): Float32Array {
    return values;
  }

  /** @internal Values in the order of state dicts in that of this tensor. */
  fromState(values: Float32Array): Float32Array {
    return values;
  }

  /**
   * Sets the values, in the order of state dicts: on the GPU when it is placed, otherwise kept (not copied) until it is.
   * @throws {CheckpointError} when the number of values is not that of the shape
   * @throws {DTypeError} when they are not a Float32Array
   */
  load(values: Float32Array): void {
    if (!(values instanceof Float32Array)) {
      throw new DTypeError("Parameter.load(): needs a Float32Array");
    }
    if (values.length !== this.size) {
      throw new CheckpointError(
        `Parameter.load(): ${values.length} values for shape [${this.shape.join(", ")}] ` +
          `with ${this.size} elements`,
      );
    }
    if (!this.placed) this.#loaded = values;
    else writeParts(this.parts, this.fromState(values));
  }

  /** @internal The values to start with, as `load` takes them: loaded before, or drawn from the stream `name` of `seed`. */
  takeInitial(seed: number | bigint, name: string): Float32Array {
    const values = this.#loaded ?? this.#init(new Rng(seed, name), this.stateShape);
    this.#loaded = null;
    if (values.length !== this.size) {
      throw new CheckpointError(
        `Parameter "${name}": its initialiser drew ${values.length} values for shape ` +
          `[${this.shape.join(", ")}]`,
      );
    }
    return values;
  }
}

/** Writes values into tensors that hold them one after the other. */
export function writeParts(parts: readonly Tensor[], values: Float32Array): void {
  let first = 0;
  for (const part of parts) {
    const own = values.subarray(first, first + part.size);
    part.device.write(part, part.dtype === "f16" ? Float16Array.from(own) : own);
    first += part.size;
  }
}

/** Arrays one after the other, as one. */
export function joined(arrays: readonly Float32Array[]): Float32Array {
  if (arrays.length === 1) return arrays[0];
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let first = 0;
  for (const array of arrays) {
    all.set(array, first);
    first += array.length;
  }
  return all;
}
