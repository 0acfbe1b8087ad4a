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
        state.perRun.push(await duration(state.timed, state.repeats) / state.repeats);
      });
    }
  }
  return states.map(({ perRun, repeats, error }) =>
    error === undefined ? { perRun, repeats } : { perRun: [], repeats, error }
  );
}

/** Warms up, and finds how many runs a sample needs. */
async function repeatsFor(timed: Timed, sampleMs: number): Promise<number> {
  await timed.run(1);
  let repeats = 1;
  for (;;) {
    const ms = await duration(timed, repeats);
    if (ms >= sampleMs || repeats >= timed.mostRuns) return repeats;
    // Short samples are mostly the wait, so their rate says little: grow by steps. A tenth more than needed, for luck.
    const grown = Math.ceil(1.1 * repeats * Math.min(10, sampleMs / ms));
    repeats = Math.min(timed.mostRuns, Math.max(repeats + 1, grown));
  }
}

async function duration(timed: Timed, repeats: number): Promise<number> {
  const start = performance.now();
  await timed.run(repeats);
  return performance.now() - start;
}
