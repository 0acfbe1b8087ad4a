/**
 * Arenas: the parameters of a model in one buffer (or a few), and their gradients and moments at the same offsets in
 * buffers of their own. An optimiser then needs one launch a window instead of one a tensor.
 *
 * Four kinds of values, four arenas: WebGPU refuses a dispatch that reads one part of a buffer and writes another.
 * @module
 */
import { type ArenaLayout, arenaLayout } from "../kernels/arena_layout.ts";
import type { VirtualBuffer } from "./buffers.ts";
import type { Device } from "./device.ts";
import { LimitError } from "./errors.ts";
import { Tensor } from "./tensor.ts";

/** Memory for tensors of one layout; zeros until written. */
export class Arena {
  /** The parts that kernels run over, f32 [floats] each. */
  readonly windows: readonly Tensor[];
  readonly #buffers: readonly VirtualBuffer[];

  /**
   * Memory for a layout.
   * @param label what its buffers are called, such as `gradients`
   * @param names what its tensors are called in messages, in the layout's order
   */
  constructor(
    readonly device: Device,
    readonly layout: ArenaLayout,
    readonly label: string,
    names: readonly string[],
  ) {
    this.#buffers = layout.buffers.map((floats) => device.persistent(floats, label));
    this.#buffers.forEach((buffer, k) => {
      const own = layout.spans.map((span, i) => ({ ...span, name: names[i] }))
        .filter((span) => span.buffer === k);
      buffer.names = new Map(own.map(({ start, name }) => [4 * start, name]));
    });
    this.windows = layout.windows.map(({ buffer, start, floats }) =>
      new Tensor(device, [floats], "f32", { buffer: this.#buffers[buffer], offset: 4 * start })
    );
  }

  /** The place of tensor `index` of the layout. */
  tensor(index: number, shape: readonly number[]): Tensor {
    const { buffer, start } = this.layout.spans[index];
    return new Tensor(this.device, shape, "f32", {
      buffer: this.#buffers[buffer],
      offset: 4 * start,
    });
  }

  /** Frees the memory. */
  dispose(): void {
    for (const buffer of this.#buffers) this.device.release(buffer, `dispose() of ${this.label}`);
  }
}

/**
 * Lays tensors out for a device.
 * @throws {LimitError} when one tensor is larger than any buffer of this device
 */
export function layoutFor(device: Device, tensors: readonly Tensor[]): ArenaLayout {
  const most = device.gpu.limits.maxBufferSize;
  const large = tensors.find((tensor) => 4 * tensor.size > most);
  if (large) {
    throw new LimitError(
      `${large.describe()} takes ${4 * large.size} bytes, this device allows ${most} a buffer`,
    );
  }
  const bytes = Math.min(most, device.target.maxBindingBytes);
  return arenaLayout(tensors.map((tensor) => tensor.size), bytes);
}

/** Moves tensors into an arena, in its order: values are copied on the GPU, their old memory is freed. */
export function moveInto(arena: Arena, tensors: readonly Tensor[]): void {
  tensors.forEach((tensor, i) => {
    const place = arena.tensor(i, tensor.shape);
    arena.device.copy(tensor, place);
    releaseOwn(tensor);
    tensor.place(arena.device, place.storage);
  });
}

/**
 * Frees a tensor's memory if nothing else lies in it. An older arena is freed when its last tensor has left it: the
 * garbage collector sees that.
 */
export function releaseOwn(tensor: Tensor): void {
  const { buffer } = tensor.storage;
  if (buffer.bytes <= Math.max(16, 4 * tensor.size)) tensor.device.release(buffer, "an optimiser");
}
