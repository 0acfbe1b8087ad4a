/**
 * The experiment in figures: errors of each arm over the seeds, and what was to be shown.
 * @module
 */
import type { Region } from "../../data/gaze/mod.ts";
import { type ArmName, ARMS } from "./arms.ts";
import type { RunResult } from "./record.ts";

/** A figure over the seeds. */
export interface Spread {
  readonly values: readonly number[];
  readonly mean: number;
  /** Standard deviation of a single run (n - 1); null with one seed. */
  readonly deviation: number | null;
}

/** Without the authors' filter over time, and with it. */
export type Filter = "raw" | "smoothed";

/** Mean and spread; null where there is no value. */
export function spreadOf(values: readonly (number | null | undefined)[]): Spread | null {
  const known = values.filter((value): value is number => typeof value === "number");
  if (known.length === 0) return null;
  const mean = known.reduce((a, b) => a + b) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = known.length > 1 ? Math.sqrt(squares / (known.length - 1)) : null;
  return { values: known, mean, deviation };
}

/** The runs of an arm. */
export function runsOf(runs: readonly RunResult[], arm: ArmName): RunResult[] {
  return runs.filter((run) => run.arm === arm);
}

/** The arms that were run, in the order of the tables. */
export function armsIn(runs: readonly RunResult[]): ArmName[] {
  return ARMS.filter((arm) => runs.some((run) => run.arm === arm));
}

/** Mean errors of an arm on the test clips, in degrees, over its seeds. */
export function errorOf(
  runs: readonly RunResult[],
  arm: ArmName,
  region: Region = "all360",
  filter: Filter = "raw",
  clue = "final",
): Spread | null {
  return spreadOf(
    runsOf(runs, arm).map(({ evaluation }) => evaluation.clues[clue]?.[filter][region].degrees),
  );
}

/** Something that was to be shown, and whether it was. */
export interface Verdict {
  readonly goal: string;
  readonly met: boolean;
  /** The figures. */
  readonly found: string;
}

/** By how much the full model was to be better than each rival, and how the rival is called. */
const MARGINS = [["head", 0.15, "head-only"], ["single", 0.08, "the single-frame model"]] as const;

/**
 * The goals of the experiment, as far as runs tell: the full model under 6 degrees, and below its rivals by their margins,
 * beyond the spread of the seeds: the worst run of the full model is better than the best of the rival.
 */
export function verdicts(runs: readonly RunResult[]): Verdict[] {
  const full = errorOf(runs, "full");
  if (full === null) return [];
  const worst = Math.max(...full.values);
  const verdicts: Verdict[] = [{
    goal: "full model under 6°",
    met: full.mean < 6,
    found: `${degrees(full.mean)} over ${full.values.length} seeds`,
  }];
  const below = (name: string, margin: number, mean: number, best: number): void => {
    const share = 1 - full.mean / mean, apart = worst < best;
    verdicts.push({
      goal: `at least ${Math.round(100 * margin)} % below ${name}`,
      met: share >= margin && apart,
      found: `${degrees(full.mean)} and ${degrees(mean)}: ${Math.abs(100 * share).toFixed(1)} % ${
        share >= 0 ? "below" : "above"
      }${share >= 0 && !apart ? ", within the spread of the seeds" : ""}`,
    });
  };
  const pose = runs[0].baselines.headPose.all360.degrees!;
  below("the true head pose", 0.3, pose, pose);
  for (const [arm, margin, name] of MARGINS) {
    const rival = errorOf(runs, arm);
    if (rival !== null) below(name, margin, rival.mean, Math.min(...rival.values));
  }
  return verdicts;
}

/** `5.43°` */
export function degrees(value: number): string {
  return `${value.toFixed(2)}°`;
}

/** The run of the full model with the least error at its end on validation clips: chosen without a look at the test. */
export function bestFull(runs: readonly RunResult[]): RunResult | null {
  const final = ({ evaluations }: RunResult): number => evaluations.at(-1)!.errors.final;
  return runsOf(runs, "full").reduce<RunResult | null>(
    (best, run) => best === null || final(run) < final(best) ? run : best,
    null,
  );
}
