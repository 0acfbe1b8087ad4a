/**
 * What the comparison leaves behind: a JSON file for each finished run, from which tables and plots are made.
 * @module
 */
import type { JsonObject } from "../../io/mod.ts";
import type { AccuracyAt } from "../run_checkpoint.ts";
import type { ModelKind } from "./arms.ts";
import type { Augmentation } from "./augmentation.ts";

/** One training run. */
export interface RunResult {
  /** `arms.ts` */
  readonly arm: string;
  /** Training images. */
  readonly size: number;
  readonly epochs: number;
  readonly augmentation: Augmentation;
  readonly seed: number;
  /** Share of the held-out images classified correctly at the end. */
  readonly accuracy: number;
  /** How many those are. */
  readonly heldOut: number;
  /** Accuracy along the way, on a part of the held-out images; the last point too. */
  readonly evaluations: readonly AccuracyAt[];
  /** Training loss of each step. */
  readonly losses: readonly number[];
  /** Learned numbers of the model. */
  readonly parameters: number;
  /** Wall time of training without evaluations; other work on the machine counts in. */
  readonly seconds: number;
  readonly adapter: string;
  readonly runtime: string;
  readonly date: string;
  /** Model, recipe and data: runs with others are not compared. */
  readonly config: JsonObject;
}

/** What a training step of each kind of model costs. */
export interface StepCosts {
  /** Images a step. */
  readonly batch: number;
  readonly adapter: string;
  readonly runtime: string;
  readonly date: string;
  /** Rounds, in each of which every model took as many steps. */
  readonly rounds: number;
  readonly models: Readonly<Record<ModelKind, StepCost>>;
}

/** A training step of one model. */
export interface StepCost {
  readonly parameters: number;
  /** Floating-point operations that its kernels declare. */
  readonly flops: number;
  /** Median wall time in milliseconds. */
  readonly ms: number;
  /** Median over the rounds of the time by the dense model's of the same round, and its quartiles. */
  readonly ratio: readonly [lower: number, median: number, upper: number];
}
