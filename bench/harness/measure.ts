/**
 * Timing: several candidates take turns, so that a machine whose speed drifts is unfair to none of them.
 *
 * One sample is many runs and one wait. A wait costs a fixed time that has nothing to do with the work (12 ms in Deno, where
 * the queue is polled), so a sample takes at least twenty waits: then it is less than a twentieth of what is measured.
 * @module
 */

/** A framework's prepared run of a workload. */
export interface Timed {
  /** Starts so many runs, waits until all of them are computed, and resolves. */
  run(times: number): Promise<void>;
  /** The most runs that may be started before a wait, for the memory that their results hold; asked after the first. */
  readonly mostRuns: number;
}

/** How long to measure. */
export interface MeasureOptions {
  /** Samples of each candidate. */
  readonly rounds: number;
  /** Least duration of a sample in milliseconds. */
  readonly sampleMs: number;
  /** After this many seconds no further round is begun, once there are three. */
  readonly seconds: number;
}

/** Samples of one candidate. */
export interface Samples {
  /** Milliseconds of one run, one number a sample. */
  readonly perRun: readonly number[];
  /** Runs between two waits. */
  readonly repeats: number;
  /** Why there are no samples. */
  readonly error?: string;
}

const LEAST_ROUNDS = 3;

/** Samples all candidates in turn; the one that begins changes from round to round. A failure ends only its own. */
export async function measure(
  candidates: readonly Timed[],
  { rounds, sampleMs, seconds }: MeasureOptions,
): Promise<Samples[]> {
  const states = candidates.map((timed) => ({
    timed,
    repeats: 1,
    perRun: [] as number[],
    retakes: RETAKES,
    error: undefined as string | undefined,
  }));
  const attempt = async (state: typeof states[number], work: () => Promise<void>) => {
    if (state.error !== undefined) return;
    try {
      await work();
    } catch (error) {
      state.error = error instanceof Error ? error.message : String(error);
    }
  };
  for (const state of states) {
    await attempt(state, async () => {
      state.repeats = await repeatsFor(state.timed, sampleMs);
    });
  }
  const start = performance.now();
  for (let round = 0; round < rounds; round++) {
    if (round >= LEAST_ROUNDS && performance.now() - start > 1000 * seconds) break;
    for (let i = 0; i < states.length; i++) {
      const state = states[(i + round) % states.length];
      await attempt(state, async () => {
        state.perRun.push(await sample(state, sampleMs));
      });
    }
  }
  return states.map(({ perRun, repeats, error }) =>
    error === undefined ? { perRun, repeats } : { perRun: [], repeats, error }
  );
}

/** How often samples of a candidate that came out too short are taken again. */
const RETAKES = 4;

/**
 * Milliseconds of a run. Where the machine has become faster since the repeats were counted, a sample is too short for its
 * wait: it is dropped, and taken again with more.
 */
async function sample(
  state: { readonly timed: Timed; repeats: number; retakes: number },
  sampleMs: number,
): Promise<number> {
  for (;;) {
    const ms = await duration(state.timed, state.repeats), { mostRuns } = state.timed;
    if (ms >= sampleMs || state.repeats >= mostRuns || state.retakes === 0) {
      return ms / state.repeats;
    }
    state.retakes--;
    state.repeats = more(state.repeats, ms, sampleMs, mostRuns);
  }
}

/** Warms up, and finds how many runs a sample needs. */
async function repeatsFor(timed: Timed, sampleMs: number): Promise<number> {
  await timed.run(1);
  let repeats = 1;
  for (;;) {
    const ms = await duration(timed, repeats);
    if (ms >= sampleMs || repeats >= timed.mostRuns) return repeats;
    repeats = more(repeats, ms, sampleMs, timed.mostRuns);
  }
}

/**
 * More repeats after a sample that was too short. Short ones are mostly the wait, so their rate says little: grow by steps. A
 * quarter more than needed, for a machine whose speed drifts.
 */
function more(repeats: number, ms: number, sampleMs: number, mostRuns: number): number {
  const grown = Math.ceil(1.25 * repeats * Math.min(10, sampleMs / ms));
  return Math.min(mostRuns, Math.max(repeats + 1, grown));
}

async function duration(timed: Timed, repeats: number): Promise<number> {
  const start = performance.now();
  await timed.run(repeats);
  return performance.now() - start;
}

/** Least milliseconds of a sample by the GPU's clock, and the most runs in it: browsers round each timestamp. */
const GPU_SAMPLE_MS = 20, GPU_RUNS = 64;

/** Milliseconds of a run by the GPU's clock; each sample is the mean of several where a run is short. */
export async function gpuSamples(
  gpuMs: (times: number) => Promise<number>,
  rounds: number,
): Promise<Samples> {
  const once = await gpuMs(1); // 0 where it is shorter than a step of the clock
  const repeats = Math.max(1, Math.min(GPU_RUNS, Math.ceil(GPU_SAMPLE_MS / once)));
  const perRun: number[] = [];
  while (perRun.length < rounds) perRun.push(await gpuMs(repeats));
  return { perRun, repeats };
}
