/**
 * Measures on the adapter at hand which variant serves a step's matrix products and convolutions best.
 *
 * The selection functions of kernels/ know a good variant for every shape and class of adapters. Here all variants that
 * suit a call run on memory of their own, in turns, so that an adapter whose speed drifts is unfair to none; one that is
 * a twentieth faster than the standard one on the median takes its place. The calls that cost most come first.
 * @module
 */
import type { Candidate, Choice } from "../kernels/choice.ts";
import type { Target } from "../kernels/target.ts";
import { throughTexels } from "../kernels/texels.ts";
import type { ChoiceStore } from "./choice_store.ts";
import { Pipelines } from "./pipelines.ts";
import { scratchBuffer, Stopwatch, wordsOf } from "./stopwatch.ts";

/** Options of `device.tune`. */
export interface TuneOptions {
  /** Seconds after which nothing further is begun: what is under way is finished or dropped. Default 10. */
  seconds?: number;
  /** Where to remember; null: nowhere. Default: localStorage in pages, a file in the cache folder in Deno and Node. */
  store?: ChoiceStore | null;
}

/** What is known of a call with several variants. */
export interface TunedCall {
  /** Its name: family and sizes. */
  readonly call: string;
  /** How often the step makes it. */
  readonly count: number;
  /** The variant that will serve it. */
  readonly variant: string;
  /** The one that serves it where nothing was measured. */
  readonly standard: string;
  /** How many times longer the standard one took; null where that was measured earlier. */
  readonly speedup: number | null;
}

/** What `device.tune` found. */
export interface TuneReport {
  /** Adapter with its kind. */
  readonly adapter: string;
  /** Calls whose variant is known now, those that cost most first. */
  readonly calls: readonly TunedCall[];
  /** Calls for which the time did not suffice; they keep the standard variant. */
  readonly left: readonly string[];
  /** How long it took. */
  readonly seconds: number;
  /** Where it is remembered; null: nowhere. */
  readonly remembered: string | null;
  /** What was wrong with what had been remembered, or why nothing is; usually empty. */
  readonly notices: readonly string[];
}

/** A call, and how often it is made. */
export interface CountedChoice {
  readonly choice: Choice;
  readonly count: number;
}

/** What was measured of one call. */
interface Verdict {
  readonly variant: string;
  readonly speedup: number;
}

/** Milliseconds a sample should take, so that the clock's steps and the start do not count. */
const LONG_ENOUGH = 20;
/** Samples of each variant, and the fewest that decide when the time is over. */
const ROUNDS = 5, LEAST_ROUNDS = 3;
/** A variant that takes so many times as long as the best at first is not looked at again. */
const HOPELESS = 2;
/** How many times faster than the standard variant another one must be. */
const WORTH = 1.05;

/** Calls with the most operations first. */
export function byCost(calls: readonly CountedChoice[]): CountedChoice[] {
  const flops = ({ choice: { candidates }, count }: CountedChoice) =>
    count * candidates[0].kernels.reduce((sum, { flops }) => sum + flops, 0);
  return calls.toSorted((a, b) => flops(b) - flops(a));
}

/**
 * Measures calls, one after another, until the time is over.
 * @param options.mayHold most bytes of memory to take for a call
 * @param options.target how the adapter reads inputs
 * @returns by the keys of those that were measured
 */
export async function measureChoices(
  gpu: GPUDevice,
  calls: readonly CountedChoice[],
  { seconds, mayHold, target }: { seconds: number; mayHold: number; target: Target },
): Promise<Map<string, Verdict>> {
  const deadline = performance.now() + 1000 * seconds;
  const verdicts = new Map<string, Verdict>();
  for (const { choice } of calls) {
    if (performance.now() >= deadline) break;
    const verdict = await measureChoice(gpu, choice, target, deadline, mayHold);
    if (verdict !== null) verdicts.set(choice.key, verdict);
  }
  return verdicts;
}

/** A variant that is being measured. */
interface Runner {
  readonly name: string;
  readonly watch: Stopwatch;
  runs: number;
  readonly samples: number[];
}

async function measureChoice(
  gpu: GPUDevice,
  { candidates, standard }: Choice,
  target: Target,
  deadline: number,
  mayHold: number,
): Promise<Verdict | null> {
  const words = wordsOf(candidates.flatMap(({ kernels }) => kernels));
  if (4 * [...words.values()].reduce((a, b) => a + b, 0) > mayHold) return null;
  // Pipelines of its own: what is compiled here and not chosen is forgotten.
  const pipelines = new Pipelines(gpu);
  const buffers = new Map([...words].map(([name, count]) => [name, scratchBuffer(gpu, count)]));
  const runners: Runner[] = [];
  try {
    for (const candidate of candidates) {
      if (performance.now() >= deadline) return null;
      runners.push(await start(candidate));
    }
    const best = Math.min(...runners.map(({ samples }) => samples[0]));
    const hopeful = runners.filter(({ name, samples }) => {
      return name === standard || samples[0] <= HOPELESS * best;
    });
    for (const runner of hopeful) {
      runner.runs = Math.max(1, Math.min(1000, Math.round(LONG_ENOUGH / runner.samples[0])));
      runner.samples.length = 0;
    }
    for (let round = 0; round < ROUNDS && hopeful.length > 1; round++) {
      if (performance.now() >= deadline) {
        if (round >= LEAST_ROUNDS) break;
        return null;
      }
      for (let i = 0; i < hopeful.length; i++) {
        const { watch, runs, samples } = hopeful[(i + round) % hopeful.length];
        samples.push(await watch.time(runs) / runs);
      }
    }
    return verdictOf(hopeful, standard);
  } finally {
    for (const { watch } of runners) watch.free();
    for (const buffer of buffers.values()) buffer.destroy();
    pipelines.texels.trim();
  }

  async function start({ name, kernels }: Candidate): Promise<Runner> {
    const launches = kernels.map((kernel) => throughTexels(kernel, target));
    await pipelines.prepare(launches.map(({ program }) => program));
    const watch = new Stopwatch(gpu, pipelines, launches, buffers);
    await watch.time(1); // memory is touched, clocks rise
    return { name, watch, runs: 1, samples: [Math.max(0.001, await watch.time(1))] };
  }
}

function verdictOf(runners: readonly Runner[], standard: string): Verdict {
  const times = new Map(runners.map(({ name, samples }) => [name, median(samples)]));
  const usual = times.get(standard)!;
  let [variant, best] = [standard, usual];
  for (const [name, ms] of times) if (ms < best) [variant, best] = [name, ms];
  return usual / best >= WORTH
    ? { variant, speedup: usual / best }
    : { variant: standard, speedup: 1 };
}

/** The middle sample, the slower of two middle ones; 1 where there was nothing to compare with. */
function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b).at(samples.length >> 1) ?? 1;
}
