/**
 * How much GPU memory record lists will need, without allocating any: the pool, played through on paper.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import type { CapturedList } from "./capture.ts";
import { OutOfMemoryError } from "./errors.ts";
import { type PoolState, sizeClass } from "./pool.ts";
import { type EngineRecord, planReleases, rangesOf } from "./records.ts";
import { texturesOf } from "./texels.ts";

/** One buffer of an estimate. */
export interface EstimatedTensor {
  /** Label of the op or parameter that makes it. */
  readonly label: string;
  /** Shape of the first tensor seen in it. */
  readonly shape: readonly number[];
  /** Bytes it takes in the pool. */
  readonly bytes: number;
}

/** What a step will hold at its worst moment. */
export interface MemoryEstimate {
  /** Most bytes that tensors hold at once, what is live before included. Compare `device.memory.peakBytes`. */
  readonly peakBytes: number;
  /** The same with the free buffers that wait in the pool, and textures. Compare `device.memory.reservedBytes`. */
  readonly reservedBytes: number;
  /** Bytes that stay live afterwards. */
  readonly liveBytes: number;
  /** The largest tensors alive at the peak, largest first; at most ten. */
  readonly largest: readonly EstimatedTensor[];
}

const EMPTY: PoolState = { liveBytes: 0, reservedBytes: 0, free: new Map() };

/** A pool on paper: takes record lists one after another, as the executor or a capture would, and adds up. */
export class Forecast {
  /** What is live, as far as the lists name it. */
  readonly #held = new Map<VirtualBuffer, EstimatedTensor>();
  readonly #lasting: EstimatedTensor[] = [];
  /** Free buffers by size. */
  readonly #free: Map<number, number>;
  readonly #textures = new Set<string>();
  #live: number;
  #reserved: number;
  #peak: number;
  #mostReserved: number;
  #atPeak: EstimatedTensor[] = [];

  /**
   * @param pool what it holds at the beginning; default: nothing
   * @param textures those that there are, with their bytes (texels.ts); default: none
   */
  constructor(pool: PoolState = EMPTY, textures: ReadonlyMap<string, number> = new Map()) {
    this.#live = this.#peak = pool.liveBytes;
    this.#reserved = this.#mostReserved = pool.reservedBytes;
    this.#free = new Map(pool.free);
    this.#addTextures(textures);
  }

  /**
   * Plays a list that is run once or again and again. Memory that outlives it, such as an optimiser's moments, counts
   * from its beginning, as that is how the second run finds it.
   */
  run(records: readonly EngineRecord[]): this {
    this.#addTextures(texturesOf(records));
    const frees = planReleases(records);
    const released = new Set([...frees.values()].flat());
    for (const record of records) {
      for (const range of rangesOf(record)) {
        const stays = range.buffer.allocation.exclusive && !released.has(range.buffer);
        if (stays) this.#take(range.buffer, range.shape);
      }
    }
    const dying: VirtualBuffer[] = [];
    records.forEach((record, i) => {
      for (const { buffer, shape } of rangesOf(record)) this.#take(buffer, shape);
      for (const buffer of frees.get(i) ?? []) {
        // Commands that are not yet submitted may use it; only the pool's own memory is lent again before that.
        if (buffer.allocation.exclusive) dying.push(buffer);
        else this.#give(buffer);
      }
    });
    for (const buffer of dying) this.#give(buffer);
    return this;
  }

  /** Takes the memory of a captured list, which keeps what its plan says until it is disposed of. */
  capture({ list, plan }: Pick<CapturedList<unknown>, "list" | "plan">): this {
    this.#addTextures(texturesOf(list));
    const ranges = new Map(list.flatMap(rangesOf).map((range) => [range.buffer, range]));
    for (const { bytes, tenants } of plan) {
      const size = Math.max(16, Math.ceil(bytes / 4) * 4);
      const { buffer } = tenants[0]; // the largest
      const shape = ranges.get(buffer)?.shape ?? [size / 4];
      this.add([{ label: buffer.label, shape, bytes: size }]);
    }
    const own = new Set(plan.flatMap(({ tenants }) => tenants.map(({ buffer }) => buffer)));
    for (const { buffer, shape } of ranges.values()) {
      if (!own.has(buffer)) this.#take(buffer, shape);
    }
    return this;
  }

  /** Takes memory that stays and is in no list. */
  add(tensors: readonly EstimatedTensor[]): this {
    for (const tensor of tensors) {
      this.#lasting.push(tensor);
      this.#grow(tensor.bytes, tensor.bytes);
    }
    return this;
  }

  /** Textures are shared by all that runs, and stay. */
  #addTextures(textures: ReadonlyMap<string, number>): void {
    for (const [key, bytes] of textures) {
      if (this.#textures.has(key)) continue;
      this.#textures.add(key);
      this.#grow(0, bytes);
    }
  }

  /** Memory for a buffer that has none. */
  #take(buffer: VirtualBuffer, shape: readonly number[] | undefined): void {
    if (this.#held.has(buffer)) return;
    const { allocation, label } = buffer;
    const bytes = allocation.gpu?.size ??
      (allocation.exclusive ? Math.max(16, buffer.bytes) : sizeClass(buffer.bytes));
    this.#held.set(buffer, { label, shape: shape ?? [buffer.bytes / 4], bytes });
    if (allocation.gpu !== null) return;
    const waiting = allocation.exclusive ? 0 : this.#free.get(bytes) ?? 0;
    if (waiting > 0) this.#free.set(bytes, waiting - 1);
    this.#grow(bytes, waiting > 0 ? 0 : bytes);
  }

  #give(buffer: VirtualBuffer): void {
    const bytes = this.#held.get(buffer)?.bytes ?? buffer.allocation.gpu?.size ?? 0;
    this.#held.delete(buffer);
    if (bytes === 0 || buffer.allocation.borrowed) return;
    this.#live -= bytes;
    if (buffer.allocation.exclusive) this.#reserved -= bytes;
    else this.#free.set(bytes, (this.#free.get(bytes) ?? 0) + 1);
  }

  #grow(live: number, reserved: number): void {
    this.#live += live;
    this.#reserved += reserved;
    this.#mostReserved = Math.max(this.#mostReserved, this.#reserved);
    if (this.#live <= this.#peak) return;
    this.#peak = this.#live;
    this.#atPeak = [...this.#held.values(), ...this.#lasting];
  }

  /** What came out. */
  get estimate(): MemoryEstimate {
    return {
      peakBytes: this.#peak,
      reservedBytes: this.#mostReserved,
      liveBytes: this.#live,
      largest: this.#atPeak.sort((a, b) => b.bytes - a.bytes).slice(0, 10),
    };
  }
}

/** Bytes that the pool would reserve for a list if nothing were reused: quick, and never too few. */
export function mostBytes(records: readonly EngineRecord[]): number {
  const seen = new Set<VirtualBuffer>();
  let bytes = 0;
  for (const record of records) {
    for (const { buffer } of rangesOf(record)) {
      if (buffer.allocation.gpu !== null || seen.has(buffer)) continue;
      seen.add(buffer);
      bytes += Math.max(sizeClass(buffer.bytes), buffer.bytes);
    }
  }
  for (const size of texturesOf(records).values()) bytes += size;
  return bytes;
}

/** Refuses what would exceed a budget. @throws {OutOfMemoryError} naming the largest tensors */
export function assertWithinBudget(
  what: string,
  { reservedBytes, largest }: MemoryEstimate,
  budget: number,
): void {
  if (reservedBytes <= budget) return;
  const list = largest.map((t) => `  ${megabytes(t.bytes)}  ${t.label} [${t.shape.join(", ")}]`);
  throw new OutOfMemoryError(
    `${what} needs ${megabytes(reservedBytes)} of GPU memory at its peak, the budget is ${
      megabytes(budget)
    }. The largest tensors then:\n${
      list.join("\n")
    }\nUse a smaller batch or model, or raise the budget (memoryBudget of requestDevice).`,
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 2 : 0)} MiB`;
}
