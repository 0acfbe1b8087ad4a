/**
 * What the harness asks of a framework.
 * @module
 */
import type { Timed } from "../harness/measure.ts";
import type { Workload } from "../workload.ts";

/** A framework that was started. */
export interface Framework {
  /** With version and backend, `@jax-js/jax 0.1.25 (webgpu)`. */
  readonly label: string;
  /** True when it computes on the CPU whatever the adapter. */
  readonly cpu: boolean;
  /**
   * Ways of running a workload, tried in order: the first whose results are right is timed.
   * @throws where it cannot run the workload at all
   */
  prepare(workload: Workload): readonly (() => Promise<Run>)[];
}

/** A workload that is ready to run. */
export interface Run extends Timed {
  /** Reads the results of the latest run. */
  results(): Promise<Record<string, ArrayLike<number>>>;
  /** Milliseconds of a run on the GPU by timestamp queries, the mean of so many; there only where the framework has them. */
  gpuMs?(times: number): Promise<number>;
  /** Frees what it holds. */
  dispose(): void | Promise<void>;
}

/** A framework's answer to a workload that it cannot run by its nature, such as training without gradients. */
export class Unsupported extends Error {
  constructor(message: string) {
    super(`not possible: ${message}`);
  }
}

/** Bytes of results that a framework may hold until the wait. */
const HELD_BYTES = 256 * 2 ** 20;

/** How many runs may be started before their results, of so many elements, must be given back. */
export function mostRunsFor(elements: number): number {
  return Math.max(1, Math.min(4096, Math.floor(HELD_BYTES / (4 * Math.max(1, elements)))));
}
