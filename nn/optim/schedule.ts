/**
 * Learning-rate schedules: pure functions from the step (0 is the first) to the rate.
 * @module
 */
import { ShapeError } from "../../engine/errors.ts";
import { checkAmount } from "../check.ts";

/** The rate of a step. */
export type Schedule = (step: number) => number;

/** What `warmupCosine` needs. */
export interface WarmupCosineOptions {
  /** The highest rate, reached at the end of the warm-up. */
  lr: number;
  /** Steps of the whole schedule; later ones keep the last rate. */
  steps: number;
  /** Steps in which the rate rises linearly; default 0. */
  warmupSteps?: number;
  /** Rate of step 0 when there is a warm-up; default lr / (warmupSteps + 1), so that the first step is not lost. */
  startLr?: number;
  /** Rate at the end; default 0. */
  endLr?: number;
}

/** The same rate at every step. @throws {ShapeError} for a rate that is negative or not finite */
export function constantSchedule(lr: number): Schedule {
  checkAmount("constantSchedule()", "lr", lr);
  return () => lr;
}

/**
 * Rises linearly to `lr`, then falls along half a cosine to `endLr` (arXiv:1608.03983 without restarts).
 * @throws {ShapeError} a rate is negative or not finite, or the warm-up does not end before the schedule
 */
export function warmupCosine(options: WarmupCosineOptions): Schedule {
  const { lr, steps, warmupSteps = 0, endLr = 0 } = options;
  const { startLr = lr / (warmupSteps + 1) } = options;
  for (const [name, rate] of Object.entries({ lr, startLr, endLr })) {
    checkAmount("warmupCosine()", name, rate);
  }
  if (!(warmupSteps >= 0 && steps > warmupSteps)) {
    throw new ShapeError(
      `warmupCosine(): ${steps} steps in all, ${warmupSteps} of them warm-up; needs more in all`,
    );
  }
  return (step) => {
    if (step < warmupSteps) return startLr + (lr - startLr) * step / warmupSteps;
    const progress = Math.min(1, (step - warmupSteps) / (steps - warmupSteps));
    return endLr + (lr - endLr) * 0.5 * (1 + Math.cos(Math.PI * progress));
  };
}

/** What `stepDecay` needs. */
export interface StepDecayOptions {
  /** The first rate. */
  lr: number;
  /** Steps at which the rate is multiplied by `factor`. */
  milestones: readonly number[];
  /** Default 0.1. */
  factor?: number;
  /** Steps in which the rate rises linearly from `warmupFactor` times its value; default 0. */
  warmupSteps?: number;
  /** Default 0.001, as mmdetection's linear warm-up. */
  warmupFactor?: number;
}

/**
 * Multiplied by a factor at each milestone, with a linear warm-up (MCGaze's schedule).
 * @throws {ShapeError} a rate, a factor or the warm-up is negative or not finite
 */
export function stepDecay(options: StepDecayOptions): Schedule {
  const { lr, milestones, factor = 0.1, warmupSteps = 0, warmupFactor = 0.001 } = options;
  for (const [name, value] of Object.entries({ lr, factor, warmupSteps, warmupFactor })) {
    checkAmount("stepDecay()", name, value);
  }
  return (step) => {
    const passed = milestones.filter((milestone) => step >= milestone).length;
    const rate = lr * factor ** passed;
    if (step >= warmupSteps) return rate;
    return rate * (1 - (1 - step / warmupSteps) * (1 - warmupFactor));
  };
}
