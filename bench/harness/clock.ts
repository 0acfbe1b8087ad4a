/**
 * How long a wait for the GPU takes when there is nothing to wait for, which decides how long a sample must be.
 * @module
 */
import { percentile } from "./statistics.ts";

/** A wait may be this share of a sample. */
const WAIT_SHARE = 1 / 20;

/** No sample is shorter, in milliseconds: below this the clock and the scheduler are what is measured. */
const LEAST_SAMPLE_MS = 50;

/** Milliseconds of a wait for an almost empty queue, the median of a few. */
export async function waitMs(gpu: GPUDevice): Promise<number> {
  const buffer = gpu.createBuffer({ label: "wait", size: 16, usage: 0x08 });
  const samples: number[] = [];
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    const encoder = gpu.createCommandEncoder();
    encoder.clearBuffer(buffer);
    gpu.queue.submit([encoder.finish()]);
    await gpu.queue.onSubmittedWorkDone();
    samples.push(performance.now() - start);
  }
  buffer.destroy();
  return percentile(samples, 0.5);
}

/** Least milliseconds of a sample where a wait takes so long. */
export function sampleMsFor(wait: number): number {
  return Math.max(LEAST_SAMPLE_MS, wait / WAIT_SHARE);
}
