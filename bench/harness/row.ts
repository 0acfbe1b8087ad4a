/**
 * A row of results: what `--json` writes, one object a workload and framework.
 * @module
 */
import type { Check } from "./check.ts";
import { spread } from "./statistics.ts";

/** One measured figure. */
export interface Row {
  /** Such as `matmul`. */
  readonly workload: string;
  /** Such as `512x512x512`. */
  readonly shape: string;
  /** With version and, where it has several, the backend: `@jax-js/jax 0.1.25 (webgpu)`. */
  readonly framework: string;
  /** Such as `Deno 2.9.6`. */
  readonly runtime: string;
  /** As the runtime names it. */
  readonly adapter: string;
  /** True when the adapter, or the framework's backend, computes on the CPU. */
  readonly software: boolean;
  /** `wall`: from the first call until all results are computed; `gpu`: timestamp queries around each dispatch. */
  readonly clock: "wall" | "gpu";
  /** Runs between two waits. */
  readonly repeats_per_sync: number;
  /** Milliseconds of one run; null where the framework failed. */
  readonly median_ms: number | null;
  readonly p10_ms: number | null;
  readonly p90_ms: number | null;
  /** Arithmetic rate by the workload's operations; null where they are not counted. */
  readonly gflops: number | null;
  readonly check: Check;
  /** Most bytes that tensors held during a run, where memory was measured. */
  readonly peak_bytes?: number;
  /** What `device.estimate` said of that beforehand. */
  readonly estimated_peak_bytes?: number;
  /** A wait's share of a sample, by the wait for nothing that was measured first; for the wall clock. */
  readonly wait_share?: number;
  /** When the run began, ISO 8601. */
  readonly date: string;
  /** Driver with its version, where the runtime or the system tells; null elsewhere and on the processor. */
  readonly driver: string | null;
  /** Why there is no time. */
  readonly error?: string;
}

/** What the rows of a session have in common. */
export interface Setting {
  readonly runtime: string;
  readonly adapter: string;
  readonly software: boolean;
  readonly driver: string | null;
  readonly date: string;
}

/** Who computed: the label, and whether it was on the processor whatever the adapter. */
export interface Who {
  readonly label: string;
  readonly cpu: boolean;
}

/** The figures of a row; what is not given was not measured. */
export type Figures =
  & Partial<Omit<Row, "median_ms" | "p10_ms" | "p90_ms" | "error">>
  & { readonly samples?: readonly number[]; readonly failure?: unknown };

/** A row. @param figures samples in milliseconds, or why there are none */
export function makeRow(
  { workload, shape }: { readonly workload: string; readonly shape: string },
  { label, cpu }: Who,
  setting: Setting,
  { samples, failure, ...figures }: Figures,
): Row {
  const spreadOf = samples === undefined ? null : spread(samples);
  return {
    workload,
    shape,
    framework: label,
    runtime: setting.runtime,
    adapter: cpu ? NO_ADAPTER : setting.adapter,
    software: cpu || setting.software,
    clock: "wall",
    repeats_per_sync: samples === undefined ? 0 : 1,
    median_ms: spreadOf?.median ?? null,
    p10_ms: spreadOf?.p10 ?? null,
    p90_ms: spreadOf?.p90 ?? null,
    gflops: null,
    check: { ok: failure === undefined, max_abs: null },
    date: setting.date,
    driver: cpu ? null : setting.driver,
    ...figures,
    ...(failure !== undefined && { error: messageOf(failure) }),
  };
}

/** Whether a row was computed by the processor without WebGPU. */
export function isFloor({ adapter }: Row): boolean {
  return adapter === NO_ADAPTER;
}

const NO_ADAPTER = "none (CPU)";

function messageOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure);
}

/** The rows as JSON. */
export function rowsToJson(rows: readonly Row[]): string {
  return `${JSON.stringify(rows, null, 1)}\n`;
}

/** Rate in 10^9 operations a second. */
export function rate(operations: number | null, ms: number | null): number | null {
  return operations === null || ms === null || ms <= 0 ? null : operations / ms / 1e6;
}
