/**
 * Memory planning for a captured list: which virtual buffers may share GPU memory.
 *
 * Two buffers may have the same bytes when their lives (first to last record that uses them) do not overlap. Buffers are
 * placed largest first, each into the first GPU buffer that has room for it during its whole life, else into a new one;
 * so the large ones fix the sizes and the small ones fill the gaps, beside each other where there is room.
 *
 * WebGPU refuses a dispatch that reads one part of a GPU buffer and writes another, and a copy within one: buffers that
 * a record uses together, one of them written, never come into the same one.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import { type EngineRecord, rangesOf } from "./records.ts";

/** First and last index of the list at which a buffer is used. */
export interface Life {
  readonly buffer: VirtualBuffer;
  readonly first: number;
  readonly last: number;
  /** It is used outside of the list too, by its whole GPU buffer: a result. */
  readonly pinned: boolean;
  /** Buffers that it must not share a GPU buffer with, at any time. */
  readonly apart: ReadonlySet<VirtualBuffer>;
}

/** A life with its place. */
export interface Tenant extends Life {
  /** Bytes from the beginning of the shared memory. */
  readonly offset: number;
}

/** One GPU buffer of the plan and the virtual buffers that share it, the largest first. */
export interface SharedMemory {
  readonly bytes: number;
  readonly tenants: readonly Tenant[];
}

/** The alignment of bound ranges that every device takes. */
const ALIGNMENT = 256;

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
  const apart = buffersApart(records);
  const lives = new Map<VirtualBuffer, Life & { last: number }>();
  records.forEach((record, i) => {
    for (const { buffer } of rangesOf(record)) {
      if (!own.has(buffer)) continue;
      const life = lives.get(buffer);
      if (life) life.last = i;
      else {
        lives.set(buffer, {
          buffer,
          first: inputs.has(buffer) ? -1 : i,
          last: i,
          pinned: results.has(buffer),
          apart: apart.get(buffer) ?? new Set(),
        });
      }
    }
  });
  for (const life of lives.values()) if (life.pinned) life.last = records.length;
  return [...lives.values()];
}

/** For each buffer, those that some record uses together with it while it writes one of the two. */
function buffersApart(records: readonly EngineRecord[]): Map<VirtualBuffer, Set<VirtualBuffer>> {
  const apart = new Map<VirtualBuffer, Set<VirtualBuffer>>();
  const part = (a: VirtualBuffer, b: VirtualBuffer): void => {
    const known = apart.get(a);
    if (known) known.add(b);
    else apart.set(a, new Set([b]));
  };
  for (const record of records) {
    const ranges = rangesOf(record);
    ranges.forEach(({ buffer: written }, i) => {
      const writes = record.kind !== "dispatch" ||
        record.kernel.program.bindings[i].access !== "read";
      if (!writes) return;
      for (const { buffer: other } of ranges) {
        if (other === written) continue;
        part(written, other);
        part(other, written);
      }
    });
  }
  return apart;
}

/** Who of equally large ones comes first: the earliest, the latest, the one that lives longest. */
const TURNS: readonly ((a: Life, b: Life) => number)[] = [
  (a, b) => a.first - b.first,
  (a, b) => b.first - a.first,
  (a, b) => (b.last - b.first) - (a.last - a.first),
];

/**
 * Places lives into little memory: the best of a few orders.
 * @param most bytes of a GPU buffer
 */
export function planMemory(lives: readonly Life[], most = Infinity): SharedMemory[] {
  const plans = TURNS.map((turn) => place(lives, turn, most));
  return plans.reduce((best, plan) => bytesOf(plan) < bytesOf(best) ? plan : best);
}

function bytesOf(plan: readonly SharedMemory[]): number {
  return plan.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Places lives, the largest first, where they fit first; else where memory must grow least. */
function place(
  lives: readonly Life[],
  turn: (a: Life, b: Life) => number,
  most: number,
): SharedMemory[] {
  const plan: { bytes: number; tenants: Tenant[] }[] = [];
  const bySize = [...lives].sort((a, b) => b.buffer.bytes - a.buffer.bytes || turn(a, b));
  for (const life of bySize) {
    const { bytes } = life.buffer;
    let best: { memory: typeof plan[number]; offset: number } | undefined, growth = bytes;
    for (const memory of plan) {
      const offset = roomIn(memory, life);
      if (offset === null || offset + bytes > most) continue;
      const needed = Math.max(0, offset + bytes - memory.bytes);
      if (needed < growth) {
        best = { memory, offset };
        growth = needed;
      }
      if (needed === 0) break;
    }
    if (best) {
      best.memory.bytes += growth;
      best.memory.tenants.push({ ...life, offset: best.offset });
    } else plan.push({ bytes, tenants: [{ ...life, offset: 0 }] });
  }
  return plan;
}

/** The first offset at which a life finds room beside those of the same time; null where it must stay apart. */
function roomIn({ tenants }: SharedMemory, life: Life): number | null {
  if (tenants.some((t) => life.apart.has(t.buffer))) return null;
  let offset = 0;
  const there = tenants.filter((t) => t.first <= life.last && life.first <= t.last)
    .sort((a, b) => a.offset - b.offset);
  for (const tenant of there) {
    if (offset + life.buffer.bytes <= tenant.offset) break;
    offset = Math.max(offset, aligned(tenant.offset + tenant.buffer.bytes));
  }
  return life.pinned && offset > 0 ? null : offset;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
