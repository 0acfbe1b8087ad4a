/**
 * The comparison in figures: final accuracy with its spread, and how soon an arm is as good as training from scratch
 * ever gets.
 * @module
 */
import { type Arm, ARM_NAMES, armNamed, armsOf } from "./arms.ts";
import type { Augmentation } from "./augmentation.ts";
import type { RunResult } from "./record.ts";

/** The runs of one arm on one number of training images. */
export interface ArmSummary {
  readonly arm: Arm;
  readonly seeds: readonly number[];
  /** Final accuracy: mean over the seeds. */
  readonly mean: number;
  /** Standard deviation of a single run over the seeds (n - 1); null with one seed. */
  readonly deviation: number | null;
  readonly least: number;
  readonly most: number;
  /** Steps of a run. */
  readonly steps: number;
  /**
   * For each seed, the first measured step at which the curve is at or above the best point of the curve from scratch of
   * that seed, kind of model and temperature; null where it never is. Empty where there is no such run.
   */
  readonly stepsToScratch: readonly (number | null)[];
}

/** All arms that were run on one number of training images with one number of epochs and one augmentation. */
export interface BudgetSummary {
  readonly size: number;
  readonly epochs: number;
  readonly augmentation: Augmentation;
  readonly heldOut: number;
  readonly arms: readonly ArmSummary[];
}

/** Puts runs together, in the order of `armsOf`; the authors' augmentation first, then by rising budget. */
export function summarise(runs: readonly RunResult[]): BudgetSummary[] {
  const budgets = Map.groupBy(runs, budgetOf);
  return [...budgets.values()].map((group): BudgetSummary => ({
    size: group[0].size,
    epochs: group[0].epochs,
    augmentation: group[0].augmentation,
    heldOut: group[0].heldOut,
    arms: armsIn(group).flatMap((arm) => {
      const own = group.filter((run) => run.arm === arm.name).sort((a, b) => a.seed - b.seed);
      return own.length === 0 ? [] : [summariseArm(arm, own, group)];
    }),
  })).sort(byBudget);
}

type Budget = Pick<RunResult, "size" | "epochs" | "augmentation">;

/** What runs must share to be compared, as a key. */
export function budgetOf({ size, epochs, augmentation }: Budget): string {
  return `n${size}-e${epochs}-${augmentation}`;
}

/** For sorting: by augmentation, then size, then epochs. */
export function byBudget(a: Budget, b: Budget): number {
  return a.augmentation.localeCompare(b.augmentation) || a.size - b.size || a.epochs - b.epochs;
}

/** The arms that were run, in the order of the tables. */
function armsIn(runs: readonly RunResult[]): Arm[] {
  const temperatures = new Set(runs.flatMap(({ arm }) => armNamed(arm).temperature ?? []));
  return armsOf(ARM_NAMES, [...temperatures].sort((a, b) => a - b));
}

function summariseArm(arm: Arm, own: readonly RunResult[], all: readonly RunResult[]): ArmSummary {
  const accuracies = own.map(({ accuracy }) => accuracy);
  const mean = accuracies.reduce((a, b) => a + b) / own.length;
  const squares = accuracies.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    arm,
    seeds: own.map(({ seed }) => seed),
    mean,
    deviation: own.length > 1 ? Math.sqrt(squares / (own.length - 1)) : null,
    least: Math.min(...accuracies),
    most: Math.max(...accuracies),
    steps: own[0].losses.length,
    stepsToScratch: own.flatMap((run) => {
      const name = `${arm.kind}-scratch${arm.temperature === null ? "" : `-t${arm.temperature}`}`;
      const scratch = all.find((other) => other.arm === name && other.seed === run.seed);
      return scratch ? [stepsToReach(run, bestOf(scratch))] : [];
    }),
  };
}

/** The best point of a curve. */
export function bestOf({ evaluations }: Pick<RunResult, "evaluations">): number {
  return Math.max(...evaluations.map(({ accuracy }) => accuracy));
}

/** The first measured step at which a curve is at or above an accuracy; null where it never is. */
export function stepsToReach(
  { evaluations }: Pick<RunResult, "evaluations">,
  accuracy: number,
): number | null {
  return evaluations.find((point) => point.accuracy >= accuracy)?.step ?? null;
}
