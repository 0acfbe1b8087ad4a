/**
 * What the experiment does: its clips, the training before the arms, and the runs of the arms. All runs of a folder are of
 * one plan but for which arms and seeds are in it.
 * @module
 */
import { CLIP_LENGTH } from "../../data/gaze/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import { MCGAZE_SMALL_RECIPE, type McGazeRecipe } from "../../models/mod.ts";
import { type Schedule, warmupCosine } from "../../nn/mod.ts";
import { type ArmName, modelOptions, pretrainModel } from "./arms.ts";
import type { CachedOptions } from "./clip_cache.ts";

/** Which weights an arm takes from the training before it: what sees, or all that fit by name. */
export type Start = "backbone" | "all";

/** What is done. */
export interface Plan {
  /** The folder of everything. */
  readonly out: string;
  /** Side of the frames in pixels. */
  readonly size: number;
  /** Rendered clips to train on. */
  readonly clips: number;
  /** Clips to measure on at the end. */
  readonly test: number;
  /** Steps of the training before the arms. */
  readonly pretrainSteps: number;
  readonly start: Start;
  /** Steps of an arm. */
  readonly steps: number;
  readonly arms: readonly ArmName[];
  readonly seeds: readonly number[];
}

/** A run of an arm. */
export interface Job {
  readonly arm: ArmName;
  readonly seed: number;
}

/** The runs, a seed after another, so that what is finished is whole seeds. */
export function jobsOf({ arms, seeds }: Plan): Job[] {
  return seeds.flatMap((seed) => arms.map((arm) => ({ arm, seed })));
}

/** The name of a job's files. */
export function nameOf({ arm, seed }: Job): string {
  return `${arm}-s${seed}`;
}

/** Clips that are measured on along the way, of the validation split; no more than at the end. */
const VALIDATION_CLIPS = 40;

/** The clips of a plan: to train on, to measure on along the way, to measure on at the end. */
export function clipsOf(
  { clips, test, size }: Plan,
): Record<CachedOptions["split"], CachedOptions> {
  const of = (split: CachedOptions["split"], count: number): CachedOptions => ({
    split,
    count,
    size,
    seed: 0,
  });
  return {
    train: of("train", clips),
    validation: of("validation", Math.min(VALIDATION_CLIPS, test)),
    test: of("test", test),
  };
}

/**
 * The rate. In trials of 300 steps on 200 clips, 4e-4 left the first plateau (about the constant gaze) after 115 steps, 3e-3 not
 * within 180; 1e-3, on 1,000 clips, after 165.
 */
const RATE = 5e-4;

/** Frames of a step, of arms and of the training before them alike. */
export const FRAMES_A_STEP = MCGAZE_SMALL_RECIPE.batchSize * CLIP_LENGTH;

/** The training before the arms: the model of single frames, on stills. */
export function pretrainRecipe(steps: number): McGazeRecipe {
  return {
    ...MCGAZE_SMALL_RECIPE,
    lr: RATE,
    batchSize: FRAMES_A_STEP,
    steps,
    milestones: [],
    warmupSteps: Math.min(200, Math.ceil(steps / 10)),
  };
}

/** An arm: whole clips; the backbone, which can see already, at a lower rate (its first layers not at all: `arms.ts`). */
export function armRecipe(steps: number): McGazeRecipe {
  return {
    ...MCGAZE_SMALL_RECIPE,
    lr: RATE,
    backboneScale: 0.3,
    steps,
    milestones: [],
    warmupSteps: Math.min(100, Math.ceil(steps / 10)),
    calibrate: false,
  };
}

/** Up to the rate, then along half a cosine to nothing: the last steps, at small rates, take off the most. */
export function scheduleOf({ lr, steps, warmupSteps }: McGazeRecipe): Schedule {
  return warmupCosine({ lr, steps, warmupSteps, startLr: lr / 1000 });
}

/** The seed of the training before the arms. */
export const PRETRAIN_SEED = 0;

/** What decides the outcome of the training before the arms. */
export function pretrainConfig(plan: Plan): JsonObject {
  return plain({
    kind: "gaze-experiment-pretrain",
    model: pretrainModel(plan.size),
    recipe: pretrainRecipe(plan.pretrainSteps),
    clips: plan.clips,
  });
}

/** What decides the outcome of a run, but for its seed. */
export function armConfig(plan: Plan, arm: ArmName): JsonObject {
  return plain({
    kind: "gaze-experiment",
    model: modelOptions(arm, plan.size),
    recipe: armRecipe(plan.steps),
    clips: plan.clips,
    test: plan.test,
    start: plan.start,
    pretrain: pretrainConfig(plan),
  });
}

/** A value as a file gives it back. */
function plain(value: unknown): JsonObject {
  return JSON.parse(JSON.stringify(value));
}
