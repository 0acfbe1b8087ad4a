/**
 * How much GPU memory a record list will need, without allocating any: the pool, played through on paper.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import { OutOfMemoryError } from "./errors.ts";
import { sizeClass } from "./pool.ts";
import { type EngineRecord, planReleases, rangesOf } from "./records.ts";

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
  /** Most bytes held at once, what is live before included. */
  readonly peakBytes: number;
  /** Bytes that stay live after the step. */
  readonly liveBytes: number;
  /** The largest tensors alive at the peak, largest first; at most ten. */
  readonly largest: readonly EstimatedTensor[];
}

/** Plays a list through the pool's rules. `liveBytes`: what the pool holds before. */
export function estimateList(
  records: readonly EngineRecord[],
  liveBytes: number,
): MemoryEstimate {
  const frees = planReleases(records);
  const held = new Map<VirtualBuffer, EstimatedTensor>();
  let live = liveBytes, peak = liveBytes;
  let atPeak: EstimatedTensor[] = [];
  records.forEach((record, i) => {
    for (const { buffer, shape, bytes } of rangesOf(record)) {
      if (held.has(buffer) || buffer.allocation.gpu !== null) continue;
      const size = buffer.allocation.exclusive ? buffer.bytes : sizeClass(buffer.bytes);
      held.set(buffer, { label: buffer.label, shape: shape ?? [bytes / 4], bytes: size });
      live += size;
    }
    if (live > peak) {
      peak = live;
      atPeak = [...held.values()];
    }
    for (const buffer of frees.get(i) ?? []) {
      live -= held.get(buffer)?.bytes ?? buffer.allocation.gpu?.size ?? 0;
      held.delete(buffer);
    }
  });
  const largest = atPeak.sort((a, b) => b.bytes - a.bytes).slice(0, 10);
  return { peakBytes: peak, liveBytes: live, largest };
}

/** Refuses a list that would exceed a budget. @throws {OutOfMemoryError} naming the largest tensors */
export function assertWithinBudget(estimate: MemoryEstimate, budget: number): void {
  if (estimate.peakBytes <= budget) return;
  const list = estimate.largest.map((t) =>
    `  ${megabytes(t.bytes)}  ${t.label} [${t.shape.join(", ")}]`
  );
  throw new OutOfMemoryError(
    `This step needs ${megabytes(estimate.peakBytes)} of GPU memory at its peak, the budget is ${
      megabytes(budget)
    }. The largest tensors then:\n${
      list.join("\n")
    }\nUse a smaller batch or model, or raise the budget.`,
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 2 : 0)} MiB`;
}
