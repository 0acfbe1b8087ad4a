/**
 * The pool of GPU buffers: GPU memory is not garbage-collected, and creating buffers is slow, so steps reuse them.
 *
 * Sizes are rounded up to eight classes an octave (at most 12.5 % waste), exact above 16 MiB. Free buffers are handed
 * out last in, first out, so that step 2 repeats the buffers, and so the cached bind groups, of step 1.
 * @module
 */
import type { Allocation } from "./buffers.ts";

/** Bytes above which buffers are allocated at their exact size. */
const EXACT_ABOVE = 16 * 1024 * 1024;

/** Smallest buffer handed out. */
const SMALLEST = 256;

/** Size of the buffer that serves a request of `bytes`. */
export function sizeClass(bytes: number): number {
  if (bytes <= SMALLEST) return SMALLEST;
  if (bytes > EXACT_ABOVE) return Math.ceil(bytes / 256) * 256;
  const octave = 2 ** Math.floor(Math.log2(bytes));
  const step = octave / 8;
  return Math.ceil(bytes / step) * step;
}

/** Bytes and buffers at a moment. */
export interface MemoryStats {
  /** Bytes of the buffers that tensors hold. */
  readonly liveBytes: number;
  /** Buffers that tensors hold. */
  readonly liveBuffers: number;
  /** The most `liveBytes` since the start or the last `resetPeak()`. */
  readonly peakBytes: number;
  /** Live bytes, those of the free buffers that wait in the pool, and those of textures that kernels read through. */
  readonly reservedBytes: number;
  /** Live buffers and the free ones. */
  readonly reservedBuffers: number;
}

/** What a forecast starts from. */
export interface PoolState {
  readonly liveBytes: number;
  readonly reservedBytes: number;
  /** How many buffers of each size wait for use. */
  readonly free: ReadonlyMap<number, number>;
}

/** STORAGE | COPY_DST | COPY_SRC of GPUBufferUsage, as a number so that importing this module needs no WebGPU. */
const USAGE = 0x80 | 0x08 | 0x04;

/** Hands out and takes back GPU buffers, and counts them. */
export class BufferPool {
  #free = new Map<number, GPUBuffer[]>();
  #bad = new WeakSet<GPUBuffer>();
  #liveBytes = 0;
  #liveBuffers = 0;
  #peakBytes = 0;
  #reservedBytes = 0;
  #reservedBuffers = 0;
  /** @param onDestroy told of every destroyed buffer, so that bind groups naming it are forgotten */
  constructor(
    private readonly gpu: GPUDevice,
    private readonly onDestroy: (buffer: GPUBuffer) => void,
  ) {}

  /** Gives memory to an allocation; returns true when the memory was used before (its content is stale). */
  acquire(allocation: Allocation, label: string): boolean {
    const size = allocation.exclusive
      ? Math.max(16, allocation.bytes)
      : sizeClass(allocation.bytes);
    const reused = allocation.exclusive ? undefined : this.#free.get(size)?.pop();
    if (reused) {
      allocation.gpu = reused;
    } else {
      allocation.gpu = this.gpu.createBuffer({ size, usage: USAGE, label });
      this.#reservedBytes += size;
      this.#reservedBuffers += 1;
    }
    this.#liveBytes += allocation.gpu.size;
    this.#liveBuffers += 1;
    this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes);
    return reused !== undefined;
  }

  /** Takes an allocation's memory back; nothing happens when it never had any. */
  release(allocation: Allocation): void {
    const buffer = allocation.gpu;
    if (buffer === null) return;
    allocation.gpu = null;
    if (allocation.borrowed) return;
    this.#liveBytes -= buffer.size;
    this.#liveBuffers -= 1;
    if (allocation.exclusive || this.#bad.has(buffer)) return this.#destroy(buffer);
    const list = this.#free.get(buffer.size);
    if (list) list.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
  }

  /** Marks buffers of a refused submit: their allocation may have failed, so they are never handed out again. */
  discard(buffers: readonly GPUBuffer[]): void {
    for (const buffer of buffers) this.#bad.add(buffer);
    for (const [size, list] of this.#free) {
      this.#free.set(size, list.filter((b) => !this.#bad.has(b) || (this.#destroy(b), false)));
    }
  }

  /** Destroys all free buffers. */
  trim(): void {
    for (const list of this.#free.values()) list.forEach((buffer) => this.#destroy(buffer));
    this.#free.clear();
  }

  /** Starts a new peak from what is live now. */
  resetPeak(): void {
    this.#peakBytes = this.#liveBytes;
  }

  #destroy(buffer: GPUBuffer): void {
    this.#reservedBytes -= buffer.size;
    this.#reservedBuffers -= 1;
    this.onDestroy(buffer);
    buffer.destroy();
  }

  /** What it holds now. */
  get state(): PoolState {
    return {
      liveBytes: this.#liveBytes,
      reservedBytes: this.#reservedBytes,
      free: new Map([...this.#free].map(([size, list]) => [size, list.length])),
    };
  }

  /** The figures now. */
  get stats(): MemoryStats {
    return {
      liveBytes: this.#liveBytes,
      liveBuffers: this.#liveBuffers,
      peakBytes: this.#peakBytes,
      reservedBytes: this.#reservedBytes,
      reservedBuffers: this.#reservedBuffers,
    };
  }
}
