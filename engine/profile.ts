/**
 * Profiling: GPU time per kernel from timestamp queries.
 *
 * A profiled list runs each dispatch in a compute pass of its own with a timestamp at either end. That costs a little
 * (a pass is dearer than a dispatch) but changes no kernel and no order, so the times are those of the real work.
 * @module
 */
import type { Kernel } from "../kernels/kernel.ts";
import { placeOf } from "./place.ts";
import type { DispatchRecord } from "./records.ts";

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
  /** Share of the step's GPU time, 0 to 1. */
  readonly share: number;
  /** Arithmetic rate in GFLOP/s. */
  readonly gflops: number;
  /** Least memory rate in GB/s. */
  readonly gbs: number;
}

/** Where the GPU time of a step went. */
export class Profile {
  /** @internal Made by `device.profile`. */
  constructor(
    /** Adapter the times belong to. */
    readonly adapter: string,
    /** Every dispatch in order. */
    readonly dispatches: readonly ProfiledDispatch[],
    /** What to know about the clock; empty when it is exact. */
    readonly clock: string,
  ) {}

  /** GPU time of all dispatches in milliseconds. */
  get ms(): number {
    return this.dispatches.reduce((sum, d) => sum + d.ms, 0);
  }

  /** Kernels by time, the dearest first. */
  rows(): ProfileRow[] {
    const groups = new Map<string, ProfiledDispatch[]>();
    for (const dispatch of this.dispatches) {
      const group = groups.get(dispatch.name);
      if (group) group.push(dispatch);
      else groups.set(dispatch.name, [dispatch]);
    }
    const total = this.ms;
    const sum = (group: ProfiledDispatch[], key: "ms" | "flops" | "bytes"): number =>
      group.reduce((s, d) => s + d[key], 0);
    return [...groups].map(([name, group]): ProfileRow => {
      const ms = sum(group, "ms");
      return {
        name,
        calls: group.length,
        ms,
        share: total > 0 ? ms / total : 0,
        gflops: ms > 0 ? sum(group, "flops") / ms / 1e6 : 0,
        gbs: ms > 0 ? sum(group, "bytes") / ms / 1e6 : 0,
      };
    }).sort((a, b) => b.ms - a.ms);
  }

  /** The rows as a text table. */
  table(): string {
    const rows = this.rows();
    const width = Math.max(6, ...rows.map((row) => row.name.length));
    const line = (name: string, cells: string[]): string =>
      `${name.padEnd(width)} ${cells.map((cell) => cell.padStart(9)).join("")}`;
    return [
      `${this.adapter}: ${this.ms.toFixed(2)} ms in ${this.dispatches.length} dispatches`,
      ...(this.clock ? [this.clock] : []),
      line("kernel", ["calls", "ms", "share", "GFLOP/s", "GB/s"]),
      ...rows.map((row) =>
        line(row.name, [
          String(row.calls),
          row.ms.toFixed(3),
          `${(100 * row.share).toFixed(1)}%`,
          row.gflops.toFixed(2),
          row.gbs.toFixed(2),
        ])
      ),
    ].join("\n");
  }

  /** Trace events for chrome://tracing and ui.perfetto.dev; write them to a `.json` file. */
  chromeTrace(): string {
    const traceEvents = this.dispatches.map((d) => ({
      name: d.name,
      ph: "X",
      ts: 1000 * d.start,
      dur: 1000 * d.ms,
      pid: 1,
      tid: 1,
      args: { ...d.params, flops: d.flops, bytes: d.bytes, place: d.place },
    }));
    return JSON.stringify({ traceEvents, otherData: { adapter: this.adapter, clock: this.clock } });
  }
}

/** Queries one set may hold. */
const QUERIES = 4096;

/** Collects the timestamps of one profiled list. */
export class Profiler {
  readonly #sets: GPUQuerySet[] = [];
  readonly #records: { kernel: Kernel; place: Error }[] = [];
  constructor(private readonly gpu: GPUDevice) {}

  /** Where the pass of the next dispatch writes its two timestamps. */
  timestamps(record: DispatchRecord): GPUComputePassTimestampWrites {
    const query = 2 * this.#records.length;
    this.#records.push({ kernel: record.kernel, place: record.place });
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
  async finish(adapter: string): Promise<Profile> {
    const times: bigint[] = [];
    for (const [i, querySet] of this.#sets.entries()) {
      const count = Math.min(QUERIES, 2 * this.#records.length - i * QUERIES);
      const resolved = this.gpu.createBuffer({ size: 8 * count, usage: 0x200 | 0x04 }); // QUERY_RESOLVE | COPY_SRC
      const staging = this.gpu.createBuffer({ size: 8 * count, usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
      const encoder = this.gpu.createCommandEncoder();
      encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
      this.gpu.queue.submit([encoder.finish()]);
      await staging.mapAsync(1);
      times.push(...new BigUint64Array(staging.getMappedRange().slice(0)));
      for (const object of [resolved, staging, querySet]) object.destroy();
    }
    const first = times[0] ?? 0n;
    const dispatches = this.#records.map(({ kernel, place }, i): ProfiledDispatch => ({
      name: `${kernel.program.name}[${kernel.program.variant}]`,
      start: Number(times[2 * i] - first) / 1e6,
      ms: Math.max(0, Number(times[2 * i + 1] - times[2 * i])) / 1e6,
      flops: kernel.flops,
      bytes: kernel.bytes,
      params: kernel.params,
      place: placeOf(place),
    }));
    return new Profile(adapter, dispatches, describeClock(times));
  }
}

/** Says so when all timestamps are multiples of a coarse step, as browsers make them. */
function describeClock(times: readonly bigint[]): string {
  for (const step of [100_000n, 1_000n]) {
    if (times.length > 0 && times.every((t) => t % step === 0n)) {
      return step === 1_000n
        ? "timestamps are rounded to 1 us"
        : "timestamps are rounded to 100 us: times of short kernels are noise; in Chrome start with " +
          "--enable-dawn-features=allow_unsafe_apis --disable-dawn-features=timestamp_quantization";
    }
  }
  return "";
}
