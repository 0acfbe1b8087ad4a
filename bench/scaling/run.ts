/**
 * Measures a series: memory of each point by itself, then the times of all points in turns.
 * @module
 */
import type { Device } from "../../mod.ts";
import { Wgrad } from "../frameworks/wgrad.ts";
import { measure, type MeasureOptions } from "../harness/measure.ts";
import { type Spread, spread } from "../harness/statistics.ts";
import { firstResults } from "../harness/results.ts";
import { checkResults } from "../harness/check.ts";
import { expectedResults } from "../reference/expected.ts";
import type { Workload } from "../workload.ts";
import { disposeOutputs } from "../workloads/ours.ts";
import type { ScalingSeries } from "./series.ts";

/** What a point cost. */
export interface ScaledPoint {
  readonly x: number;
  /** The workload's shape. */
  readonly shape: string;
  /** Floating-point operations by the workload's own count. */
  readonly flops: number;
  /** Milliseconds of a run, and how many there were between two waits; null where it failed. */
  readonly ms: Spread & { readonly repeats: number } | null;
  /** Most bytes that tensors held during a step, parameters and data included. */
  readonly peakBytes: number;
  /** What `device.estimate` said beforehand. */
  readonly estimatedBytes: number;
  /** Largest absolute error against the reference. */
  readonly maxAbs: number | null;
  readonly error?: string;
}

/** The lines of a series. */
export interface ScaledSeries {
  readonly name: string;
  readonly axis: string;
  readonly lines: readonly { readonly label: string; readonly points: readonly ScaledPoint[] }[];
}

/** Measures a series. @param most points of a line at most, from the smallest */
export async function runSeries(
  device: Device,
  { name, axis, lines }: ScalingSeries,
  options: MeasureOptions,
  most = Infinity,
): Promise<ScaledSeries> {
  const chosen = lines.map(({ label, points }) => ({ label, points: points.slice(0, most) }));
  const wgrad = new Wgrad(device);
  const ready = [];
  for (const { x, workload } of chosen.flatMap(({ points }) => points)) {
    const memory = await memoryOf(device, workload);
    const [prepare] = wgrad.prepare(workload);
    const run = await prepare();
    const want = expectedResults(workload);
    const { max_abs } = checkResults(await firstResults(run, workload), want, workload.tolerance);
    const { shape, flops } = workload;
    ready.push({ run, point: { x, shape, flops: flops!, maxAbs: max_abs, ...memory } });
  }
  const samples = await measure(ready.map(({ run }) => run), options);
  for (const { run } of ready) await run.dispose();
  const measured = ready.map(({ point }, i): ScaledPoint => {
    const { perRun, repeats, error } = samples[i];
    return error === undefined
      ? { ...point, ms: { ...spread(perRun), repeats } }
      : { ...point, ms: null, error };
  });
  const scaled = chosen.map(({ label, points }) => {
    return { label, points: measured.splice(0, points.length) };
  });
  return { name, axis, lines: scaled };
}

/** The peak of a step that was run before, so that what lasts is there, and what was said of it. */
async function memoryOf(
  device: Device,
  workload: Workload,
): Promise<{ peakBytes: number; estimatedBytes: number }> {
  await device.sync();
  device.trim();
  const { liveBytes: others } = device.memory;
  const { step, dispose } = await workload.wgrad(device);
  const run = async () => {
    disposeOutputs(await device.step(step));
    await device.sync();
  };
  await run();
  const { peakBytes: estimated } = await device.estimate(step);
  device.resetPeak();
  await run();
  const { peakBytes } = device.memory;
  dispose();
  return { peakBytes: peakBytes - others, estimatedBytes: estimated - others };
}
