/**
 * The roofline of an adapter: the rates that no kernel can beat, measured.
 *
 *     arithmetic   a loop of multiply-adds that touches no memory (kernels/fma_loop.ts), in GFLOP/s
 *     memory       a copy of a large array, bytes read and written together, in GB/s
 *
 * A kernel of F operations on B bytes takes at least max(F / arithmetic, B / memory). The share of that in the time it
 * took says what is left to gain, and which of the two to look at. A share above 1 means that its data came from a cache,
 * which is faster than memory.
 * @module
 */
import { fmaLoop } from "../kernels/fma_loop.ts";
import type { Kernel } from "../kernels/kernel.ts";
import { stridedMap } from "../kernels/strided_map.ts";
import type { Target } from "../kernels/target.ts";
import type { Pipelines } from "./pipelines.ts";
import { Stopwatch } from "./stopwatch.ts";

/** What an adapter can do at most. */
export interface Roofline {
  /** Arithmetic in GFLOP/s, a multiply-add counted as two. */
  readonly gflops: number;
  /** Memory in GB/s, read and written bytes together. */
  readonly gbs: number;
  /** What it was measured with. */
  readonly clock: "timestamps" | "wall clock";
}

/** The least time of a kernel in milliseconds, and what takes it. */
export function leastTime(
  { flops, bytes }: Pick<Kernel, "flops" | "bytes">,
  { gflops, gbs }: Pick<Roofline, "gflops" | "gbs">,
): { ms: number; bound: "arithmetic" | "memory" } {
  const arithmetic = flops / gflops / 1e6, memory = bytes / gbs / 1e6;
  return arithmetic > memory
    ? { ms: arithmetic, bound: "arithmetic" }
    : { ms: memory, bound: "memory" };
}

/** Milliseconds a measurement should take, so that the clock's steps and the start do not count. */
const LONG_ENOUGH = 20;
/** Measurements of which the best counts: what disturbs only ever makes them slower. */
const TRIES = 3;

/**
 * Measures an adapter; takes about a tenth of a second. Nothing else should run meanwhile.
 * @param maxBytes the most that a buffer may have
 */
export async function measureRoofline(
  gpu: GPUDevice,
  pipelines: Pipelines,
  { adapterClass, maxBindingBytes }: Target,
  maxBytes: number,
): Promise<Roofline> {
  const software = adapterClass === "software";
  // Larger than the caches of a GPU, or than those that a core of a CPU has to itself.
  const wanted = software ? 2 ** 23 : 2 ** 26;
  const words = 2 ** Math.floor(Math.log2(Math.min(wanted, maxBindingBytes, maxBytes) / 4));
  const compute = software ? fmaLoop(2 ** 14, 8) : fmaLoop(2 ** 18, 16);
  const copy = stridedMap("copy", [words], { a: { strides: [1], size: words } });
  await pipelines.prepare([compute.program, copy.program]);
  const flops = await bestRate(new Stopwatch(gpu, pipelines, [compute]), compute.flops);
  const bytes = await bestRate(new Stopwatch(gpu, pipelines, [copy]), copy.bytes);
  const clock = gpu.features.has("timestamp-query") ? "timestamps" : "wall clock";
  return { gflops: flops / 1e6, gbs: bytes / 1e6, clock };
}

/** Work a millisecond. */
async function bestRate(watch: Stopwatch, work: number): Promise<number> {
  try {
    await watch.time(1); // memory is touched, clocks rise
    const once = Math.max(0.01, await watch.time(1));
    const runs = Math.max(1, Math.min(1000, Math.round(LONG_ENOUGH / once)));
    let best = 0;
    for (let i = 0; i < TRIES; i++) best = Math.max(best, runs * work / await watch.time(runs));
    return best;
  } finally {
    watch.free();
  }
}
