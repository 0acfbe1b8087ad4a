/**
 * Training a gaze model with progress on the screen, a log, checkpoints and measurements along the way.
 * @module
 */
import {
  type ClipBatch,
  ClipLoader,
  type ClipSource,
  type ClipTransform,
} from "../../data/gaze/mod.ts";
import { CheckpointError, type Device, ShapeError, type Tensor } from "../../engine/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import { type McGaze, mcGazeGroups, mcGazeLoss, type McGazeRecipe } from "../../models/mod.ts";
import { AdamW, type Schedule, stepDecay, train, type TrainBatch } from "../../nn/mod.ts";
import { stopIfAsked } from "../interrupt.ts";
import { Progress } from "../progress.ts";
import { resumeRun, type RunHistory, type RunParts, saveRun } from "../run_checkpoint.ts";
import type { GazeEvaluation } from "./evaluate.ts";
import { RunLog } from "./run_log.ts";

/** Errors in degrees after some steps: of each clue, of `final`, and of `final` where the eyes are seen and where not. */
export type GazeAt = { step: number; errors: { [name: string]: number } };

/** What `trainGaze` needs. */
export interface GazeRun {
  readonly device: Device;
  readonly model: McGaze;
  readonly clips: ClipSource;
  /** Tells these clips from others when a run is resumed. */
  readonly dataset: string;
  /** What happens to each clip, anew each epoch. */
  readonly transform: ClipTransform;
  /** Frames of a clip after that; default those of the model. */
  readonly frames?: number;
  readonly recipe: McGazeRecipe;
  /** Rate of each step; default the authors': the recipe's warm-up, and a tenth after each of its milestones. */
  readonly schedule?: Schedule;
  readonly seed: number;
  /** Name on the progress bar. */
  readonly label: string;
  readonly signal?: AbortSignal;
  /** Measures the model along the way and at the end. */
  readonly evaluate?: { readonly every: number; readonly run: () => Promise<GazeEvaluation> };
  /** File that the run is saved to when it is interrupted, and each `every` steps. */
  readonly checkpoint: { readonly path: string; readonly every: number };
  /** Go on from that file where it exists. */
  readonly resume?: boolean;
  /** Told apart from other runs by this when it is resumed. */
  readonly config: JsonObject;
  /** File for a JSON line each few steps. */
  readonly log: string;
}

/** Steps between two readings of the losses. */
const REPORT_EVERY = 10;

/**
 * Trains, or goes on.
 * @returns the curves
 * @throws {DataError} a clip cannot be read
 * @throws {InterruptedError} the signal was aborted; the checkpoint is saved if a step was done
 * @throws {CheckpointError} the checkpoint cannot be written, or the one to resume is of another run or damaged
 */
export async function trainGaze(run: GazeRun): Promise<RunHistory<GazeAt>> {
  const { device, model, recipe, seed, checkpoint, label, signal } = run;
  const { frames = model.config.clipLength } = run;
  const { batchSize, lr, steps, weightDecay, maxGradNorm, milestones, warmupSteps } = recipe;
  const { schedule = stepDecay({ lr, milestones, warmupSteps }) } = run;
  const loader = new ClipLoader(run.clips, {
    batchSize,
    seed,
    transform: run.transform,
    dropLast: true,
  });
  const groups = mcGazeGroups(model.namedParameters(), recipe.backboneScale);
  const optimizer = new AdamW(groups, { lr, weightDecay, maxGradNorm });
  const { dataset, config } = run;
  const parts: RunParts = { device, model, optimizer, loader, dataset, seed, config };
  let history: RunHistory<GazeAt> = { losses: [], evaluations: [], seconds: 0 };
  let startStep = 0;
  if (run.resume && await exists(checkpoint.path)) {
    ({ step: startStep, history } = await resumeRun<GazeAt>(checkpoint.path, parts));
    console.error(`${label}: going on after step ${startStep} of ${steps}`);
  }
  if (startStep === 0 && recipe.calibrate) await calibrate(run);
  using log = await RunLog.open(run.log, historyLines(history));
  const bar = new Progress(label, steps, startStep);
  let clock = performance.now();
  const stopClock = (): void => {
    history.seconds += (performance.now() - clock) / 1000;
    clock = performance.now();
  };
  const evaluate = async (step: number): Promise<void> => {
    if (!run.evaluate || history.evaluations.some((e) => e.step === step)) return;
    stopClock();
    model.eval();
    const errors = errorsIn(await run.evaluate.run());
    model.train();
    history.evaluations.push({ step, errors });
    await log.write({ step, errors });
    clock = performance.now();
  };
  let saved = startStep;
  const saveAt = async (step: number): Promise<void> => {
    stopClock();
    try {
      await saveRun(checkpoint.path, step, parts, history);
      saved = step;
    } catch (error) {
      if (!(error instanceof CheckpointError) || saved === 0) throw error;
      const wayOut = `The checkpoint of step ${saved} is whole; the run can go on from there.`;
      throw new CheckpointError(`${error.message}. ${wayOut}`, { cause: error });
    }
  };
  // A model of single frames learns nothing from how the gaze changes over a clip either.
  const span = model.config.temporal ? frames : 1;
  const lossOf = (images: Tensor, boxes: Tensor, faceKnown: Tensor, gaze: Tensor): Tensor =>
    mcGazeLoss(model, images, { boxes, faceKnown, gaze }, span);
  stopIfAsked(signal);
  try {
    await train({
      device,
      model,
      optimizer,
      schedule,
      steps,
      startStep,
      batches: trainBatches(loader, frames),
      loss: lossOf,
      reportEvery: REPORT_EVERY,
      onProgress: async ({ step, losses, lr }) => {
        history.losses.push(...losses);
        stopClock();
        const loss = losses.reduce((a, b) => a + b, 0) / losses.length;
        const error = history.evaluations.at(-1)?.errors.final;
        const measured = error === undefined ? "" : `  ${error.toFixed(2)}° unseen`;
        bar.update(
          step,
          `loss ${loss.toFixed(2)}  ${(history.seconds / step).toFixed(2)} s/step${measured}`,
        );
        await log.write({ step, loss, lr, seconds: Math.round(history.seconds * 10) / 10 });
        const due = run.evaluate && step % run.evaluate.every < losses.length;
        if (due || step === steps) await evaluate(step);
      },
      checkpoint: { every: checkpoint.every, save: saveAt },
      signal,
    });
    stopClock();
    const final = history.evaluations.at(-1)?.errors.final;
    bar.finish(final === undefined ? "" : `${final.toFixed(2)}° on unseen clips`);
    return history;
  } finally {
    optimizer.dispose();
  }
}

/** Frames that give the batch norms their first statistics. */
const CALIBRATION_FRAMES = 56;

/** Gives the batch norms the statistics of the first clips. */
async function calibrate(run: GazeRun): Promise<void> {
  const { device, model, clips, transform, seed, frames = model.config.clipLength } = run;
  const count = Math.min(Math.ceil(CALIBRATION_FRAMES / frames), clips.count);
  const options = { batchSize: count, seed, transform, shuffle: false };
  for await (const { images, shape } of new ClipLoader(clips, options).epoch()) {
    await device.step(() => model.calibrate(device.tensor(images, shape)));
    return;
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Batches as the captured step takes them. */
async function* trainBatches(loader: ClipLoader, frames: number): AsyncGenerator<TrainBatch> {
  for await (const batch of loader.batches()) yield asTrainBatch(batch, frames);
}

/** Images, boxes, what is known and gaze of a batch. @throws {ShapeError} its clips are of another length */
export function asTrainBatch(batch: ClipBatch, frames: number): TrainBatch {
  const { images, shape, boxes, faceKnown, gaze, clipLength } = batch, [n] = shape;
  if (clipLength !== frames) {
    throw new ShapeError(`clips have ${clipLength} frames, the model is trained on ${frames}`);
  }
  const known = Float32Array.from(faceKnown);
  return [[images, shape], [boxes, [n, 3, 4]], [known, [n]], [gaze, [n, 3]]];
}

/** The errors of an evaluation over all frames, unsmoothed, by name. */
function errorsIn({ clues, visible, hidden }: GazeEvaluation): Record<string, number> {
  const errors: Record<string, number> = {};
  for (const [clue, { raw }] of Object.entries(clues)) errors[clue] = raw.all360.degrees ?? NaN;
  if (visible !== null) errors.visible = visible;
  if (hidden !== null) errors.hidden = hidden;
  return errors;
}

/** The log of what a resumed run did before. */
function historyLines({ losses, evaluations }: RunHistory<GazeAt>): JsonObject[] {
  const lines: JsonObject[] = [];
  for (let from = 0; from < losses.length; from += REPORT_EVERY) {
    const part = losses.slice(from, from + REPORT_EVERY), step = from + part.length;
    lines.push({ step, loss: part.reduce((a, b) => a + b, 0) / part.length });
    lines.push(...evaluations.filter((e) => e.step > from && e.step <= step));
  }
  return lines;
}
