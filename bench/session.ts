/**
 * A run of the benchmark in one runtime: the same code in Deno and in a page of Chrome.
 * @module
 */
import { type Device, requestDevice } from "../mod.ts";
import type { Framework, Run } from "./frameworks/framework.ts";
import { Wgrad } from "./frameworks/wgrad.ts";
import { type Check, checkResults, WrongResult } from "./harness/check.ts";
import { sampleMsFor, waitMs } from "./harness/clock.ts";
import { countDispatches, dispatchCount } from "./harness/dispatches.ts";
import { gpuSamples, measure, type MeasureOptions } from "./harness/measure.ts";
import { measureRoofline, type Roofline } from "./harness/roofline.ts";
import { makeRow, rate, type Row, type Setting } from "./harness/row.ts";
import { firstResults } from "./harness/results.ts";
import { percentile } from "./harness/statistics.ts";
import { type Peer, startPeers } from "./peers/peer.ts";
import { expectedResults } from "./reference/expected.ts";
import { runSeries, type ScaledSeries } from "./scaling/run.ts";
import type { ScalingSeries } from "./scaling/series.ts";
import type { Expected, Workload } from "./workload.ts";

/** How thoroughly to measure. */
export interface Effort {
  readonly rounds: number;
  /** Seconds of sampling after which a workload is cut short, for each framework that runs it. */
  readonly seconds: number;
  /** The most points of a line that shows how a cost grows; the smallest are taken. */
  readonly points: number;
}

/** A few minutes for all, or a few seconds a row. */
export const EFFORTS: Readonly<Record<"full" | "quick", Effort>> = {
  full: { rounds: 9, seconds: 8, points: 5 },
  quick: { rounds: 3, seconds: 2, points: 3 },
};

/** A framework's run that passed its check. */
interface Ready {
  readonly framework: Framework;
  readonly run: Run;
  readonly check: Check;
  /** Dispatches of one run. */
  readonly dispatches: number;
}

/** Measures one workload by all frameworks: a row each, a second one by the GPU's clock where there is one. */
export async function runWorkload(
  workload: Workload,
  frameworks: readonly Framework[],
  setting: Setting,
  effort: Pick<Effort, "rounds" | "seconds">,
  wait: number,
): Promise<Row[]> {
  countDispatches();
  const want = expectedResults(workload);
  const row = rowMaker(workload, setting);
  const ready: Ready[] = [];
  const rows = new Map<Framework, Row[]>();
  for (const framework of frameworks) {
    try {
      ready.push(await makeReady(framework, workload, want));
    } catch (error) {
      rows.set(framework, [row.failed(framework, error)]);
    }
  }
  const options: MeasureOptions = {
    rounds: effort.rounds,
    sampleMs: sampleMsFor(wait),
    seconds: effort.seconds * Math.max(1, ready.length),
  };
  const samples = await measure(ready.map(counted), options);
  for (const [i, { framework, run, check }] of ready.entries()) {
    const { perRun, repeats, error } = samples[i];
    try {
      if (error !== undefined) throw new WrongResult(error, check);
      const after = await checkAgain(run, workload, want, check);
      const wall = row.measured(framework, "wall", perRun, repeats, after);
      const sampleMs = repeats * percentile(perRun, 0.5);
      const measured: Row[] = [{ ...wall, wait_share: wait / sampleMs }];
      if (run.gpuMs) {
        const { perRun, repeats } = await gpuSamples(run.gpuMs, effort.rounds);
        measured.push(row.measured(framework, "gpu", perRun, repeats, after));
      }
      rows.set(framework, measured);
    } catch (error) {
      rows.set(framework, [row.failed(framework, error)]);
    }
    await run.dispose();
  }
  return frameworks.flatMap((framework) => rows.get(framework)!);
}

/** Prepares and checks; the first way whose results are right. */
async function makeReady(
  framework: Framework,
  workload: Workload,
  want: Readonly<Record<string, Expected>>,
): Promise<Ready> {
  let failure: unknown;
  for (const prepare of framework.prepare(workload)) {
    let run: Run | undefined;
    try {
      run = await prepare();
      const got = await inTime(firstResults(run, workload));
      const check = checkResults(got, want, workload.tolerance);
      const before = dispatchCount();
      await run.run(1);
      return { framework, run, check, dispatches: dispatchCount() - before };
    } catch (error) {
      failure ??= error;
      await run?.dispose();
    }
  }
  throw failure;
}

/** What was computed while the clock ran is right as well: the last results again, or a loss that has come down. */
async function checkAgain(
  run: Run,
  workload: Workload,
  want: Readonly<Record<string, Expected>>,
  before: Check,
): Promise<Check> {
  const got = await run.results();
  if (workload.work().kind !== "training") return checkResults(got, want, workload.tolerance);
  const first = want.loss.values[0], last = got.loss[0];
  if (last < first) return before;
  throw new WrongResult(`the loss went from ${first} to ${last}`, { ...before, ok: false });
}

/** Minutes after which a framework that does not come back is given up. */
const PATIENCE = 10;

/** The work's result, or a rejection when it takes too long. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${PATIENCE} minutes`)), 6e4 * PATIENCE);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Refuses samples that do not end, or in which fewer kernels were dispatched than their runs need. */
function counted({ run, dispatches }: Ready): Run {
  return {
    ...run,
    get mostRuns() {
      return run.mostRuns;
    },
    run: async (times) => {
      const before = dispatchCount();
      await inTime(run.run(times));
      const got = dispatchCount() - before;
      if (got < times * dispatches) {
        throw new Error(`only ${got} of ${times * dispatches} kernels were dispatched`);
      }
    },
  };
}

function rowMaker(workload: Workload, setting: Setting) {
  const { name, shape, flops, unitsPerRun = 1 } = workload;
  const what = { workload: name, shape };
  return {
    measured: (
      framework: Framework,
      clock: Row["clock"],
      perRun: readonly number[],
      repeats: number,
      check: Check,
    ): Row => {
      const samples = perRun.map((ms) => ms / unitsPerRun);
      const gflops = rate(flops, percentile(samples, 0.5));
      const figures = { clock, samples, repeats_per_sync: repeats, gflops, check };
      return makeRow(what, framework, setting, figures);
    },
    failed: (framework: Framework, failure: unknown): Row =>
      makeRow(what, framework, setting, {
        failure,
        ...(failure instanceof WrongResult && { check: failure.check }),
      }),
  };
}

/** What a session is asked to do. */
export interface SessionOptions {
  /** Such as `Deno 2.9.6`. */
  readonly runtime: string;
  readonly effort: keyof typeof EFFORTS;
  /** Peers to measure beside wgrad. */
  readonly peers: readonly Peer[];
  /** Asks the system for the driver of an adapter; left out where there is no system to ask. */
  readonly driverOf?: (adapter: string) => Promise<string | null>;
}

/** Chrome says it to developers (`--enable-webgpu-developer-features`). */
function driverFromRuntime({ adapterInfo }: GPUDevice): string | null {
  const driver: unknown = Reflect.get(adapterInfo, "driver");
  return typeof driver === "string" && driver !== "" ? driver : null;
}

/** A started session: the adapter, what it can do, and the frameworks. */
export class Session {
  private constructor(
    readonly setting: Setting,
    readonly effort: Effort,
    /** Milliseconds of a wait for nothing. */
    readonly wait: number,
    readonly roof: Roofline,
    /** wgrad first. */
    readonly frameworks: readonly Framework[],
    /** That of wgrad. */
    readonly device: Device,
  ) {}

  /** Finds the adapter, measures its roofline, starts the peers. */
  static async start(
    { runtime, effort, peers, driverOf = () => Promise.resolve(null) }: SessionOptions,
  ): Promise<Session> {
    const device = await requestDevice();
    const { label: adapter, software, gpu } = device;
    const driver = await driverOf(adapter) ?? driverFromRuntime(gpu);
    const setting = { runtime, adapter, software, driver, date: new Date().toISOString() };
    const wait = await waitMs(gpu);
    const roof = await measureRoofline(gpu, sampleMsFor(wait), EFFORTS[effort].rounds);
    const frameworks = [new Wgrad(device), ...await startPeers(peers)];
    return new Session(setting, EFFORTS[effort], wait, roof, frameworks, device);
  }

  /** Measures one workload by all frameworks. */
  run(workload: Workload): Promise<Row[]> {
    return runWorkload(workload, this.frameworks, this.setting, this.effort, this.wait);
  }

  /** Measures how one series grows, wgrad alone. */
  scale(series: ScalingSeries): Promise<ScaledSeries> {
    const { rounds, seconds, points } = this.effort;
    const options = { rounds, sampleMs: sampleMsFor(this.wait), seconds: points * seconds };
    return runSeries(this.device, series, options, points);
  }

  /** The roofline as rows. */
  rooflineRows(): Row[] {
    const { roof, setting } = this;
    const adapter = { label: "adapter", cpu: false };
    const row = (shape: string, ms: number, gflops: number | null): Row =>
      makeRow({ workload: "roofline", shape }, adapter, setting, { samples: [ms], gflops });
    return [
      row(`10^9 multiply-adds; ${roof.shape}`, 2e3 / roof.gflops, roof.gflops),
      row(`copy of 10^9 bytes, read and written; ${roof.copier}`, 2e3 / roof.gbs, null),
    ];
  }
}
