/**
 * Profiling: GPU time per kernel, beside what the adapter could do at best.
 *
 * A profiled list runs each dispatch in a compute pass of its own with a timestamp at either end. That costs a little
 * (a pass is dearer than a dispatch) but changes no kernel and no order, so the times are those of the real work. Where
 * the adapter has no timestamps each dispatch is submitted alone and waited for, and the profile says so.
 * @module
 */
import type { Kernel } from "../kernels/kernel.ts";
import { placeOf } from "./place.ts";
import type { DispatchRecord } from "./records.ts";
import { leastTime, type Roofline } from "./roofline.ts";
import { readTimestamps } from "./stopwatch.ts";

/** One dispatch of a profiled step. */
export interface ProfiledDispatch {
  /** Kernel and variant, `matmul[register 8x8]`. */
  readonly name: string;
  /** GPU time in milliseconds. */
  readonly ms: number;
  /** Start in milliseconds after the first dispatch. */
  readonly start: number;
  /** Floating-point operations that the kernel declares. */
  readonly flops: number;
  /** Bytes moved at least, as the kernel declares. */
  readonly bytes: number;
  /** The sizes of its uniform. */
  readonly params: Readonly<Record<string, number>>;
  /** Where it was asked for. */
  readonly place: string;
}

/** All dispatches of one kernel and variant together. */
export interface ProfileRow {
  /** Kernel and variant. */
  readonly name: string;
  /** Number of dispatches. */
  readonly calls: number;
  /** GPU time of all of them in milliseconds. */
  readonly ms: number;
  /** True when a call is so short beside the clock's steps that `ms`, and what follows from it, is a guess. */
  readonly rough: boolean;
  /** Share of the step's GPU time, 0 to 1. */
  readonly share: number;
  /** Floating-point operations. */
  readonly flops: number;
  /** Least bytes moved. */
  readonly bytes: number;
  /** Arithmetic rate in GFLOP/s. */
  readonly gflops: number;
  /** Least memory rate in GB/s. */
  readonly gbs: number;
  /** The least time this adapter needs by its time, 0 to 1, more when data came from a cache; null when not measured. */
  readonly roofline: number | null;
  /** What takes that least time, mostly; null when not measured. */
  readonly bound: "arithmetic" | "memory" | null;
}

/** What is known of the clock. */
export interface Clock {
  /** What to know about it, as a sentence; empty when it is exact. */
  readonly note: string;
  /** Milliseconds that a time may be off; 0 when it is exact. */
  readonly step: number;
}

/** Calls shorter than so many steps of the clock are rough. */
const STEPS = 5;

/** Where the GPU time of a step went. */
export class Profile {
  /** @internal Made by `device.profile`. */
  constructor(
    /** Adapter the times belong to. */
    readonly adapter: string,
    /** Every dispatch in order. */
    readonly dispatches: readonly ProfiledDispatch[],
    /** How far the times can be trusted. */
    readonly clock: Clock,
    /** What the adapter can do at most; null when it was not measured. */
    readonly roofline: Roofline | null,
  ) {}

  /** GPU time of all dispatches in milliseconds. */
  get ms(): number {
    return sum(this.dispatches, (d) => d.ms);
  }

  /** Kernels by time, the dearest first. */
  rows(): ProfileRow[] {
    const total = this.ms;
    return [...Map.groupBy(this.dispatches, (d) => d.name)]
      .map(([name, group]) => this.#row(name, group, total))
      .sort((a, b) => b.ms - a.ms);
  }

  #row(name: string, group: readonly ProfiledDispatch[], total: number): ProfileRow {
    const ms = sum(group, (d) => d.ms);
    const flops = sum(group, (d) => d.flops), bytes = sum(group, (d) => d.bytes);
    const rate = (work: number): number => ms > 0 ? work / ms / 1e6 : 0;
    const { roofline } = this;
    const least = roofline && group.map((d) => leastTime(d, roofline));
    const leastMs = least && sum(least, (l) => l.ms);
    const arithmetic = least && sum(least, (l) => l.bound === "arithmetic" ? l.ms : 0);
    return {
      name,
      calls: group.length,
      ms,
      rough: ms < STEPS * this.clock.step * group.length,
      share: total > 0 ? ms / total : 0,
      flops,
      bytes,
      gflops: rate(flops),
      gbs: rate(bytes),
      roofline: leastMs === null || ms === 0 ? null : leastMs / ms,
      bound: arithmetic === null ? null : 2 * arithmetic! > leastMs! ? "arithmetic" : "memory",
    };
  }

  /** The rows as a text table. */
  table(): string {
    const { roofline, clock } = this, rows = this.rows();
    const width = Math.max(6, ...rows.map((row) => row.name.length));
    const line = (name: string, cells: readonly string[]): string =>
      `${name.padEnd(width)} ${cells.map((cell) => cell.padStart(11)).join("")}`;
    return [
      `${this.adapter}: ${this.ms.toFixed(2)} ms in ${this.dispatches.length} dispatches`,
      ...(roofline ? [rooflineLine(roofline)] : []),
      ...(clock.note ? [clock.note] : []),
      line("kernel", [
        ...["calls", "ms", "share", "MFLOP", "MB", "GFLOP/s", "GB/s"],
        ...(roofline ? ["roofline", "bound by"] : []),
      ]),
      ...rows.map((row) => {
        const about = row.rough ? "~" : "";
        return line(row.name, [
          String(row.calls),
          about + row.ms.toFixed(3),
          percent(row.share),
          (row.flops / 1e6).toFixed(2),
          (row.bytes / 1e6).toFixed(2),
          about + row.gflops.toFixed(2),
          about + row.gbs.toFixed(2),
          ...(roofline
            ? [row.roofline === null ? "-" : about + percent(row.roofline), row.bound ?? ""]
            : []),
        ]);
      }),
    ].join("\n");
  }

  /** Everything as plain data: `JSON.stringify(profile)`. Times in milliseconds. */
  toJSON(): Record<string, unknown> {
    const { adapter, ms, clock, roofline, dispatches } = this;
    return { adapter, ms, clock, roofline, rows: this.rows(), dispatches };
  }

  /** Trace events for chrome://tracing and ui.perfetto.dev; write them to a `.json` file. */
  chromeTrace(): string {
    const named = (name: string, value: string) => ({
      ...{ name, ph: "M", pid: 1, tid: 1 },
      args: { name: value },
    });
    const { roofline } = this;
    const events = this.dispatches.map((d) => {
      const least = roofline && leastTime(d, roofline);
      return {
        name: d.name,
        ph: "X",
        ts: 1000 * d.start,
        dur: 1000 * d.ms,
        pid: 1,
        tid: 1,
        args: {
          ...d.params,
          flops: d.flops,
          bytes: d.bytes,
          ...(least && { roofline: d.ms > 0 ? least.ms / d.ms : null, bound: least.bound }),
          place: d.place,
        },
      };
    });
    return JSON.stringify({
      traceEvents: [named("process_name", this.adapter), named("thread_name", "GPU"), ...events],
      otherData: { adapter: this.adapter, clock: this.clock.note, roofline },
    });
  }
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

function rooflineLine({ gflops, gbs, clock }: Roofline): string {
  const by = clock === "timestamps" ? "" : ", by the wall clock";
  return `roofline: ${gflops.toPrecision(3)} GFLOP/s, ${gbs.toPrecision(3)} GB/s (measured${by})`;
}

/** Queries one set may hold. */
const QUERIES = 4096;

/** Collects the times of one profiled list. */
export class Profiler {
  readonly #sets: GPUQuerySet[] = [];
  readonly #records: { record: DispatchRecord; share: number }[] = [];
  constructor(private readonly gpu: GPUDevice) {}

  /** Where the pass of the next dispatch writes its two timestamps; `share`: which part of the whole it is. */
  timestamps(record: DispatchRecord, share: number): GPUComputePassTimestampWrites {
    const query = 2 * this.#records.length;
    this.#records.push({ record, share });
    const set = Math.floor(query / QUERIES);
    this.#sets[set] ??= this.gpu.createQuerySet({
      label: "profile",
      type: "timestamp",
      count: QUERIES,
    });
    return {
      querySet: this.#sets[set],
      beginningOfPassWriteIndex: query % QUERIES,
      endOfPassWriteIndex: query % QUERIES + 1,
    };
  }

  /** Reads all timestamps; call after the list was submitted. */
  async finish(adapter: string, roofline: Roofline | null): Promise<Profile> {
    const times: bigint[] = [];
    for (const [i, querySet] of this.#sets.entries()) {
      const count = Math.min(QUERIES, 2 * this.#records.length - i * QUERIES);
      times.push(...await readTimestamps(this.gpu, querySet, count));
      querySet.destroy();
    }
    const first = times[0] ?? 0n;
    const dispatches = this.#records.map(({ record, share }, i): ProfiledDispatch => {
      const start = Number(times[2 * i] - first) / 1e6;
      const ms = Math.max(0, Number(times[2 * i + 1] - times[2 * i])) / 1e6;
      return profiled(record, start, ms, share);
    });
    return new Profile(adapter, dispatches, describeClock(times), roofline);
  }
}

/** A dispatch, or a share of one that was divided, with its time. */
export function profiled(
  { kernel, place }: { kernel: Kernel; place: Error },
  start: number,
  ms: number,
  share = 1,
): ProfiledDispatch {
  const { program, params } = kernel;
  const name = `${program.name}[${program.variant}]`;
  const flops = share * kernel.flops, bytes = share * kernel.bytes;
  return { name, start, ms, flops, bytes, params, place: placeOf(place) };
}

/** The clock of times that were taken around single submits. */
export function wallClock(dispatches: readonly ProfiledDispatch[]): Clock {
  const shortest = Math.min(...dispatches.map((d) => d.ms));
  return {
    step: dispatches.length > 0 ? shortest : 0,
    note:
      "this device has no timestamp queries (timestamp-query): times are those of single submits by the wall " +
      `clock, with about ${
        shortest.toFixed(2)
      } ms of submitting and waiting in each. Make the device without ` +
      `limits: "default", or use an adapter or browser that has them.`,
  };
}

/** What the timestamps show of their clock: browsers round them, so that pages cannot measure each other. */
export function describeClock(times: readonly bigint[]): Clock {
  if (times.length > 0 && times.every((t) => t === times[0])) {
    return {
      step: Infinity,
      note: "all timestamps are equal: this adapter's clock does not run, times are unknown",
    };
  }
  const step = Number(times.reduce(greatestCommonDivisor, 0n)) / 1e6;
  if (step < 0.001 || times.length < 4) return { step: 0, note: "" };
  return {
    step,
    note:
      `timestamps are rounded to ${+(1000 * step).toPrecision(3)} us: times of short kernels are ` +
      "guesses (~). In Chrome start with --enable-webgpu-developer-features.",
  };
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}
