/**
 * What a step costs the host: the processor time of JavaScript's own thread, eager and replayed in turn.
 *
 * Linux counts the nanoseconds that each thread has run, so neither the GPU (on a software adapter, other threads of the
 * same cores) nor other programs spoil the figure. Elsewhere the wall clock must do.
 * @module
 */
import type { Device } from "../../engine/mod.ts";
import type { CapturedInput } from "../../engine/capture.ts";
import type { Tensor } from "../../engine/tensor.ts";

/** One way to run a step. */
export interface StepCost {
  /** Milliseconds of JavaScript, the median over the rounds. */
  readonly milliseconds: number;
  /** Dispatches of a step. */
  readonly dispatches: number;
  /** Bytes that the step held at most beyond what lived before it. */
  readonly peakBytes: number;
}

/** Both ways. */
export interface StepCosts {
  /** What ran. */
  readonly name: string;
  /** Recorded, encoded and submitted anew each time. */
  readonly eager: StepCost;
  /** Replayed. */
  readonly replayed: StepCost;
}

/** A step of a model. */
export interface MeasuredStep {
  /** What it is called. */
  readonly name: string;
  /** Host arrays that it takes, with their shapes. */
  readonly inputs: readonly CapturedInput[];
  /** The step itself, synchronous. */
  readonly run: (...inputs: Tensor[]) => Tensor;
}

/** Milliseconds that this thread has run; where that is not counted, that have passed. */
export function hostClock(): number {
  try {
    return Number(Deno.readTextFileSync("/proc/thread-self/schedstat").split(" ")[0]) / 1e6;
  } catch {
    return performance.now();
  }
}

/** Whether `hostClock` counts processor time. */
export function countsProcessorTime(): boolean {
  return Deno.build.os === "linux";
}

/** Steps that are run before the first is measured: compiled, and optimised by the JavaScript engine. */
const WARM_UP = 10;

/** Measures a step `rounds` times each way, in turn, the GPU idle before each. */
export async function measureStep(
  device: Device,
  { name, inputs, run }: MeasuredStep,
  rounds: number,
): Promise<StepCosts> {
  const eager = () =>
    device.step(() => void run(...inputs.map(([data, shape]) => device.tensor(data, shape))));
  const replay = device.capture(run);
  const ways = { eager, replayed: () => replay(...inputs) };
  const peaks = { eager: 0, replayed: 0 }, dispatches = { eager: 0, replayed: 0 };
  const times = { eager: [] as number[], replayed: [] as number[] };
  for (const way of ["eager", "replayed"] as const) {
    await device.sync();
    device.resetPeak();
    const { liveBytes } = device.memory;
    await ways[way]();
    await device.sync();
    peaks[way] = device.memory.peakBytes - liveBytes;
  }
  for (let round = -WARM_UP; round < rounds; round++) {
    for (const way of ["eager", "replayed"] as const) {
      await device.sync();
      const before = device.stats.dispatches, begin = hostClock();
      await ways[way]();
      const spent = hostClock() - begin;
      if (round >= 0) times[way].push(spent);
      dispatches[way] = device.stats.dispatches - before;
    }
  }
  await device.sync();
  replay.dispose();
  const cost = (way: "eager" | "replayed"): StepCost => ({
    milliseconds: median(times[way]),
    dispatches: dispatches[way],
    peakBytes: peaks[way],
  });
  return { name, eager: cost("eager"), replayed: cost("replayed") };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
