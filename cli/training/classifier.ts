/**
 * Training and evaluating an image classifier with progress on the screen.
 * @module
 */
import { BatchLoader, type ImageSet, type ImageSource } from "../../data/mod.ts";
import {
  autocast,
  CheckpointError,
  crossEntropy,
  DataError,
  type Device,
  type Tensor,
} from "../../engine/mod.ts";
import { imageSize, type VisionTransformer } from "../../models/mod.ts";
import { AdamW, Ema, GradScaler, SpheroMoe, train, type TrainBatch } from "../../nn/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import { stopIfAsked } from "../interrupt.ts";
import { Progress } from "../progress.ts";
import { groupsOf, type Recipe, scheduleOf, stepsOf } from "./recipe.ts";
import {
  type AccuracyAt,
  resumeRun,
  type RunHistory,
  type RunParts,
  saveRun,
} from "../run_checkpoint.ts";
import { trainingTransform } from "./transforms.ts";

/** What `trainClassifier` needs. */
export interface ClassifierRun {
  readonly device: Device;
  readonly model: VisionTransformer;
  readonly recipe: Recipe;
  readonly data: ImageSet | ImageSource;
  readonly seed: number;
  /** Name on the progress bar. */
  readonly label: string;
  readonly signal?: AbortSignal;
  /** Accuracy along the way, measured before the first step, `evaluations` times after that, and at the end. */
  readonly evaluate?: () => Promise<number>;
  /** Default 10. */
  readonly evaluations?: number;
  /** File that the run is saved to when it is interrupted, and each `every` steps. */
  readonly checkpoint: { readonly path: string; readonly every: number };
  /** Go on from that file where it exists. */
  readonly resume?: boolean;
  /** Told apart from other runs by this when it is resumed. */
  readonly config: JsonObject;
  /** Told what happens, for logs and plots. */
  readonly observer?: RunObserver;
}

/** Looks at a run. */
export interface RunObserver {
  /** Before the first step of this run; the curves are those of the steps before. */
  onStart?(start: { step: number; steps: number; history: RunHistory }): void | Promise<void>;
  /** After some steps. */
  onSteps?(progress: StepsDone): void | Promise<void>;
  /** After a measurement on held-out images. */
  onEvaluation?(point: AccuracyAt): void | Promise<void>;
}

/** What some steps gave. */
export interface StepsDone {
  /** Steps done so far. */
  readonly step: number;
  /** Steps in all. */
  readonly steps: number;
  /** Losses of the last of them, oldest first. */
  readonly losses: readonly number[];
  /** Rate of the last step. */
  readonly lr: number;
  readonly imagesPerSecond: number;
}

/** What training gave. */
export interface ClassifierResult extends RunHistory {
  readonly imagesPerSecond: number;
}

/**
 * Trains by a recipe, or goes on with it. With an average of the weights the model holds that at the end.
 * @throws {DataError} the images are of another kind than the model takes, or one cannot be read
 * @throws {InterruptedError} the signal was aborted; the checkpoint is saved if a step was done
 * @throws {CheckpointError} the checkpoint cannot be written, or the one to resume is of another run or damaged
 */
export async function trainClassifier(run: ClassifierRun): Promise<ClassifierResult> {
  const { device, model, recipe, data, seed, checkpoint, observer } = run;
  expectFit(model, data);
  const { batchSize, gradAccumSteps, lr, weightDecay, clipGrad, modelEmaDecay } = recipe;
  const mixes = recipe.mixup > 0 || recipe.cutmix > 0;
  const loader = new BatchLoader(data, {
    batchSize,
    seed,
    transform: trainingTransform(recipe, ...imageSize(model.config)),
    ...(mixes && {
      mixup: {
        mixupAlpha: recipe.mixup,
        cutmixAlpha: recipe.cutmix,
        prob: recipe.mixupProb,
        switchProb: recipe.mixupSwitchProb,
      },
    }),
  });
  const steps = stepsOf(recipe, loader.batchesPerEpoch);
  const maxGradNorm = clipGrad ?? Infinity;
  const optimizer = new AdamW(groupsOf(recipe, model), { lr, weightDecay, maxGradNorm });
  const ema = modelEmaDecay === null ? undefined : new Ema(optimizer, modelEmaDecay);
  const dataset = loader.source.fingerprint;
  const amp = recipe.amp && device.gpu.features.has("shader-f16");
  const scaler = amp ? new GradScaler(device) : undefined;
  const config = { ...run.config, ...(recipe.amp && { half: amp }) };
  const parts: RunParts = { device, model, optimizer, ema, scaler, loader, dataset, seed, config };
  let history: RunHistory = { losses: [], evaluations: [], seconds: 0 };
  let startStep = 0;
  if (run.resume) {
    if (await exists(checkpoint.path)) {
      ({ step: startStep, history } = await resumeRun<AccuracyAt>(checkpoint.path, parts));
    }
    console.error(`${run.label}: going on after step ${startStep} of ${steps}`);
  }

  const bar = new Progress(run.label, steps, startStep);
  let saved = startStep;
  const reportEvery = Math.min(
    10,
    Math.max(1, Math.floor(loader.batchesPerEpoch / gradAccumSteps)),
  );
  const evaluateEvery = Math.ceil(steps / (run.evaluations ?? 10) / reportEvery) * reportEvery;
  let clock = performance.now();
  const stopClock = (): void => {
    history.seconds += (performance.now() - clock) / 1000;
    clock = performance.now();
  };
  const evaluate = async (step: number): Promise<void> => {
    if (!run.evaluate || history.evaluations.some((e) => e.step === step)) return;
    stopClock();
    ema?.swap();
    model.eval();
    const accuracy = await run.evaluate();
    const temperatures = await temperaturesOf(model);
    model.train();
    ema?.swap();
    const point = { step, accuracy, ...(temperatures.length > 0 && { temperatures }) };
    history.evaluations.push(point);
    await observer?.onEvaluation?.(point);
    clock = performance.now();
  };
  const images = batchSize * gradAccumSteps;
  const speed = (step: number): number => step * images / history.seconds;
  const saveAt = async (step: number): Promise<void> => {
    stopClock();
    try {
      await saveRun(checkpoint.path, step, parts, history);
      saved = step;
    } catch (error) {
      if (!(error instanceof CheckpointError) || saved === 0) throw error;
      const wayOut = `The checkpoint of step ${saved} is whole; go on from there with --resume.`;
      throw new CheckpointError(`${error.message}. ${wayOut}`, { cause: error });
    }
  };

  const lossOf = (images: Tensor, target: Tensor): Tensor =>
    crossEntropy(autocast(() => model.forward(images), { enabled: amp }), target, {
      labelSmoothing: recipe.smoothing,
    });
  await compileKernels(run, mixes, lossOf);
  stopIfAsked(run.signal);
  await observer?.onStart?.({ step: startStep, steps, history });
  if (startStep === 0) await evaluate(0);
  try {
    await train({
      device,
      model,
      optimizer,
      schedule: scheduleOf(recipe, steps),
      steps,
      startStep,
      batches: trainBatches(loader),
      loss: lossOf,
      accumulate: gradAccumSteps,
      ...(ema && { afterStep: () => ema.update() }),
      ...(scaler && { scaler }),
      reportEvery,
      onProgress: async ({ step, losses, lr }) => {
        history.losses.push(...losses);
        stopClock();
        const imagesPerSecond = speed(step);
        await observer?.onSteps?.({ step, steps, losses, lr, imagesPerSecond });
        bar.update(
          step,
          `loss ${losses[losses.length - 1].toFixed(3)}  ${imagesPerSecond.toFixed(0)} images/s`,
        );
        if (step % evaluateEvery === 0 || step === steps) await evaluate(step);
      },
      checkpoint: { every: checkpoint.every, save: saveAt },
      signal: run.signal,
    });
    stopClock();
    ema?.swap();
    const imagesPerSecond = speed(steps);
    const last = history.losses[history.losses.length - 1];
    bar.finish(`loss ${last.toFixed(3)}  ${imagesPerSecond.toFixed(0)} images/s`);
    return { ...history, imagesPerSecond };
  } finally {
    ema?.dispose();
    scaler?.dispose();
    optimizer.dispose();
  }
}

/** Compiles the kernels of forward and backward with progress; the first run of a process has a few dozen. */
async function compileKernels(
  { device, model, recipe, data, label }: ClassifierRun,
  mixes: boolean,
  lossOf: (images: Tensor, target: Tensor) => Tensor,
): Promise<void> {
  const size = Math.min(recipe.batchSize, data.count);
  const [height, width] = imageSize(model.config);
  const shape = [size, data.channels, height, width];
  let bar: Progress | undefined;
  await device.warmUp(() => {
    const images = device.zeros(shape);
    const target = mixes
      ? device.zeros([size, data.classes])
      : device.tensor(new Uint32Array(size));
    lossOf(images, target).backward();
    model.zeroGrad();
  }, (done, total, kernel) => {
    bar ??= new Progress(`${label}  compiling`, total);
    bar.update(done, kernel);
    if (done === total) bar.finish();
  });
}

/** The temperatures [dispatch, combine] of each SpheroMoE layer. */
async function temperaturesOf(model: VisionTransformer): Promise<number[][]> {
  const layers = model.blocks.flatMap(({ mlp }) => mlp instanceof SpheroMoe ? [mlp] : []);
  return await Promise.all(
    layers.map(({ scales }) => Promise.all(scales.map((scale) => scale.item()))),
  );
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

function expectFit({ config }: VisionTransformer, data: ImageSet | ImageSource): void {
  const kind = (channels: number, classes: number): string =>
    `${channels} channel${channels === 1 ? "" : "s"} and ${classes} classes`;
  const got = kind(data.channels, data.classes), want = kind(config.inChans, config.numClasses);
  if (got !== want) {
    throw new DataError(
      `the images have ${got}, the model takes ${want}; choose others with --data`,
    );
  }
}

async function* trainBatches(loader: BatchLoader): AsyncGenerator<TrainBatch> {
  for await (const { images, shape, labels, targets } of loader.batches()) {
    yield targets === undefined
      ? [[images, shape], [labels, [labels.length]]]
      : [[images, shape], [targets, [labels.length, targets.length / labels.length]]];
  }
}
