/**
 * A row of results: what `--json` writes, one object a workload and framework.
 * @module
 */
import type { Check } from "./check.ts";

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
  /** Adapter with its driver, as the runtime names it. */
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
  /** When the run began, ISO 8601. */
  readonly date: string;
  /** Why there is no time. */
  readonly error?: string;
}

/** The rows as JSON. */
export function rowsToJson(rows: readonly Row[]): string {
  return `${JSON.stringify(rows, null, 1)}\n`;
}

/** Rate in 10^9 operations a second. */
export function rate(operations: number | null, ms: number | null): number | null {
  return operations === null || ms === null || ms <= 0 ? null : operations / ms / 1e6;
}
