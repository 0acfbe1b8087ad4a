/**
 * Virtual buffers: the memory an op names when it is recorded, before any GPU memory is assigned.
 *
 * A `VirtualBuffer` stands for a range of GPU memory with a life of its own. The executor gives it a `GPUBuffer` when
 * a record first writes it and takes that back after the last record that uses it, so recording allocates nothing.
 * @module
 */
import type { DType } from "./tensor.ts";

/** The part of a virtual buffer that outlives the handle: what has to be given back when the handle is collected. */
export interface Allocation {
  /** The memory, once a record has written to it. */
  gpu: GPUBuffer | null;
  readonly bytes: number;
  /** Own memory, zeroed, never shared with the pool (parameters, gradients, optimiser state). */
  readonly exclusive: boolean;
  /** The memory belongs to a captured step, which gives it back itself. */
  borrowed?: boolean;
}

let nextId = 1;

/** Memory named by tensors and records. `released` buffers must not be used again. */
export class VirtualBuffer {
  readonly id: number = nextId++;
  readonly allocation: Allocation;
  /** Set when the owner gave it up; using it afterwards is an error that names `label`. */
  released = false;
  /** Why it was released, for the error message: the scope's name or `dispose()`. */
  releasedBy = "";
  /** True once a submit that the GPU accepted has written it. */
  written = false;
  /** Ops that keep it for their backward pass; listings show them. */
  savedFor: Set<string> | null = null;
  /** Where several named tensors lie in it (arena.ts): their names by offset in bytes. */
  names: ReadonlyMap<number, string> | null = null;
  constructor(readonly bytes: number, readonly label: string, exclusive = false) {
    this.allocation = { gpu: null, bytes, exclusive };
  }
}

/** Part of a virtual buffer, in bytes; what a tensor occupies and a binding covers. */
export interface BufferRange {
  readonly buffer: VirtualBuffer;
  readonly offset: number;
  readonly bytes: number;
  /** Shape of the tensor it belongs to, for listings. */
  readonly shape?: readonly number[];
  /** What the tensor holds; kernels that only copy see the bits of floats as u32. */
  readonly dtype?: DType;
}

/** What a range is called in messages: the tensor's own name where it has one, else its buffer's label. */
export function nameOf({ buffer, offset }: Pick<BufferRange, "buffer" | "offset">): string {
  return buffer.names?.get(offset) ?? buffer.label;
}
