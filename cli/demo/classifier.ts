/**
 * Training and evaluating an image classifier with progress on the screen.
 * @module
 */
import { BatchLoader, fingerprint, type ImageSet, type Transform } from "../../data/mod.ts";
import {
  CheckpointError,
  crossEntropy,
  DataError,
  type Device,
  noGrad,
  type Tensor,
} from "../../engine/mod.ts";
import { imageSize, type VisionTransformer } from "../../models/mod.ts";
import { AdamW, train, type TrainBatch, warmupCosine, withoutDecay } from "../../nn/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import { stopIfAsked } from "../interrupt.ts";
import { Progress } from "../progress.ts";
import { NORMALISE, TRAINING } from "./recipe.ts";
import {
  type AccuracyAt,
  resumeRun,
  type RunHistory,
  type RunParts,
  saveRun,
} from "../run_checkpoint.ts";

/** What `trainClassifier` needs. */
export interface ClassifierRun {
  readonly device: Device;
  readonly model: VisionTransformer;
  readonly data: ImageSet;
  /** What happens to each training image, anew each epoch. */
  readonly transform: Transform;
  readonly epochs: number;
  readonly seed: number;
  /** Name on the progress bar. */
  readonly label: string;
  readonly signal?: AbortSignal;
  /** Accuracy along the way, measured before the first step and after each epoch or so. */
  readonly evaluate?: () => Promise<number>;
  /** File that the run is saved to when it is interrupted, and each `every` steps. */
  readonly checkpoint: { readonly path: string; readonly every: number };
  /** Go on from that file where it exists. */
  readonly resume?: boolean;
  /** Told apart from other runs by this when it is resumed. */
  readonly config: JsonObject;
}

/** What training gave. */
export interface ClassifierResult extends RunHistory {
  readonly imagesPerSecond: number;
}

/** Points of the accuracy curve between its ends. */
const EVALUATIONS = 10;

/** Parameters that are not decayed although they are matrices: embeddings, and the biases and slots of experts. */
const NOT_DECAYED = /bias$|pos_embed|cls_token|phi/;

/**
 * Trains with the shared recipe, or goes on with it.
 * @throws {DataError} the images are of another size or kind than the model takes
 * @throws {InterruptedError} the signal was aborted; the checkpoint is saved if a step was done
 * @throws {CheckpointError} the checkpoint cannot be written, or the one to resume is of another run or damaged
 */
export async function trainClassifier(run: ClassifierRun): Promise<ClassifierResult> {
  const { device, model, data, epochs, seed, config, checkpoint } = run;
  expectFit(model, data);
  const { batchSize, lr, weightDecay, labelSmoothing, warmup, maxGradNorm } = TRAINING;
  const loader = new BatchLoader(data, { batchSize, seed, transform: run.transform });
  const steps = epochs * loader.batchesPerEpoch;
  const groups = withoutDecay(model.namedParameters(), (name) => NOT_DECAYED.test(name));
  const optimizer = new AdamW(groups, { lr, weightDecay, maxGradNorm });
  const parts: RunParts = {
    device,
    model,
    optimizer,
    loader,
    dataset: fingerprint(data),
    seed,
    config,
  };
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
  const reportEvery = Math.min(10, loader.batchesPerEpoch);
  const evaluateEvery = Math.ceil(steps / EVALUATIONS / reportEvery) * reportEvery;
  let clock = performance.now();
  const stopClock = (): void => {
    history.seconds += (performance.now() - clock) / 1000;
    clock = performance.now();
  };
  const evaluate = async (step: number): Promise<void> => {
    if (!run.evaluate || history.evaluations.some((e) => e.step === step)) return;
    stopClock();
    model.eval();
    history.evaluations.push({ step, accuracy: await run.evaluate() });
    model.train();
    clock = performance.now();
  };
  const speed = (step: number): number => step * batchSize / history.seconds;
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

  const lossOf = (images: Tensor, labels: Tensor): Tensor =>
    crossEntropy(model.forward(images), labels, { labelSmoothing });
  await compileKernels(run, lossOf);
  stopIfAsked(run.signal);
  await evaluate(startStep);
  try {
    await train({
      device,
      model,
      optimizer,
      schedule: warmupCosine({ lr, steps, warmupSteps: Math.round(warmup * steps) }),
      steps,
      startStep,
      batches: trainBatches(loader),
      loss: lossOf,
      reportEvery,
      onProgress: async ({ step, losses }) => {
        history.losses.push(...losses);
        stopClock();
        bar.update(
          step,
          `loss ${losses[losses.length - 1].toFixed(3)}  ${speed(step).toFixed(0)} images/s`,
        );
        if (step % evaluateEvery === 0 || step === steps) await evaluate(step);
      },
      checkpoint: { every: checkpoint.every, save: saveAt },
      signal: run.signal,
    });
    stopClock();
    const imagesPerSecond = speed(steps);
    const last = history.losses[history.losses.length - 1];
    bar.finish(`loss ${last.toFixed(3)}  ${imagesPerSecond.toFixed(0)} images/s`);
    return { ...history, imagesPerSecond };
  } finally {
    optimizer.dispose();
  }
}

/** Compiles the kernels of forward and backward with progress; the first run of a process has a few dozen. */
async function compileKernels(
  { device, model, data, label }: ClassifierRun,
  lossOf: (images: Tensor, labels: Tensor) => Tensor,
): Promise<void> {
  const size = Math.min(TRAINING.batchSize, data.count);
  const shape = [size, data.channels, data.height, data.width];
  let bar: Progress | undefined;
  await device.warmUp(() => {
    const images = device.tensor(new Float32Array(size * data.height * data.width), shape);
    lossOf(images, device.tensor(new Uint32Array(size))).backward();
    model.zeroGrad();
  }, (done, total, kernel) => {
    bar ??= new Progress(`${label}  compiling`, total);
    bar.update(done, kernel);
    if (done === total) bar.finish();
  });
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

function expectFit({ config }: VisionTransformer, data: ImageSet): void {
  const size = (height: number, width: number, channels: number, classes: number): string =>
    `${height} x ${width} pixels, ${channels} channel${
      channels === 1 ? "" : "s"
    }, ${classes} classes`;
  const got = size(data.height, data.width, data.channels, data.classes);
  const [height, width] = imageSize(config);
  const want = size(height, width, config.inChans, config.numClasses);
  if (got !== want) {
    throw new DataError(
      `the images have ${got}, the model takes ${want}; choose others with --data`,
    );
  }
}

async function* trainBatches(loader: BatchLoader): AsyncGenerator<TrainBatch> {
  for await (const { images, shape, labels } of loader.batches()) {
    yield [[images, shape], [labels, [labels.length]]];
  }
}

/** What evaluation gives. */
export interface Evaluation {
  readonly accuracy: number;
  /** confusion[true][predicted]. */
  readonly confusion: number[][];
  /** The answer for each image, in order. */
  readonly predictions: Uint8Array;
}

/** Classifies all images of a set. */
export async function evaluateClassifier(
  device: Device,
  model: VisionTransformer,
  data: ImageSet,
): Promise<Evaluation> {
  const classes = data.classes;
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  const predictions = new Uint8Array(data.count);
  const loader = new BatchLoader(data, {
    batchSize: Math.min(100, data.count),
    seed: 0,
    shuffle: false,
    transform: NORMALISE,
  });
  let right = 0;
  for await (const { images, shape, labels, indices } of loader.epoch()) {
    const logits = await device.step(() =>
      noGrad(() => model.forward(device.tensor(images, shape))).data()
    );
    for (let i = 0; i < labels.length; i++) {
      const answer = argmax(logits.subarray(i * classes, (i + 1) * classes));
      predictions[indices[i]] = answer;
      confusion[labels[i]][answer]++;
      if (answer === labels[i]) right++;
    }
  }
  return { accuracy: right / data.count, confusion, predictions };
}

function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
