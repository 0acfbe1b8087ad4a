/**
 * Memory planning for a captured list: which virtual buffers may share one GPU buffer.
 *
 * Two buffers may share memory when their lives (first to last record that uses them) do not overlap. Buffers are
 * placed largest first, each into the smallest existing GPU buffer that is free for its whole life, else into a new
 * one; so the large ones fix the sizes and the small ones fill the gaps. Whole buffers only: WebGPU refuses a dispatch
 * that reads one part of a buffer and writes another.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import { type EngineRecord, rangesOf } from "./records.ts";

/** First and last index of the list at which a buffer is used. */
export interface Life {
  readonly buffer: VirtualBuffer;
  readonly first: number;
  readonly last: number;
}

/** One GPU buffer of the plan and the virtual buffers that take turns in it. */
export interface SharedMemory {
  readonly bytes: number;
  readonly tenants: readonly Life[];
}

/**
 * Lives of the buffers that belong to the list: those it releases itself, its inputs and its results. An input is
 * written before every run, so what comes after its last use may have its memory; a result is read after the run, so
 * what comes before its first use may.
 */
export function livesOf(
  records: readonly EngineRecord[],
  inputs: ReadonlySet<VirtualBuffer>,
  results: ReadonlySet<VirtualBuffer>,
): Life[] {
  const own = new Set<VirtualBuffer>([...inputs, ...results]);
  for (const record of records) if (record.kind === "release") own.add(record.buffer);
  const lives = new Map<VirtualBuffer, { buffer: VirtualBuffer; first: number; last: number }>();
  records.forEach((record, i) => {
    for (const { buffer } of rangesOf(record)) {
      if (!own.has(buffer)) continue;
      const life = lives.get(buffer);
      if (life) life.last = i;
      else lives.set(buffer, { buffer, first: inputs.has(buffer) ? -1 : i, last: i });
    }
  });
  for (const life of lives.values()) if (results.has(life.buffer)) life.last = records.length;
  return [...lives.values()];
}

/** Places lives into as little memory as first-fit by size finds. */
export function planMemory(lives: readonly Life[]): SharedMemory[] {
  const plan: { bytes: number; tenants: Life[] }[] = [];
  const bySize = [...lives].sort((a, b) => b.buffer.bytes - a.buffer.bytes || a.first - b.first);
  for (const life of bySize) {
    let best: { bytes: number; tenants: Life[] } | undefined;
    for (const memory of plan) {
      const free = memory.tenants.every((t) => t.last < life.first || life.last < t.first);
      if (free && (best === undefined || memory.bytes < best.bytes)) best = memory;
    }
    if (best) best.tenants.push(life);
    else plan.push({ bytes: life.buffer.bytes, tenants: [life] });
  }
  return plan;
}
