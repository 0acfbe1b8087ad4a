/**
 * Training and evaluating an image classifier with progress on the screen.
 * @module
 */
import { BatchLoader, type ImageSet, type Transform } from "../../data/mod.ts";
import { crossEntropy, type Device, noGrad, type Tensor } from "../../engine/mod.ts";
import type { VisionTransformer } from "../../models/mod.ts";
import {
  AdamW,
  type NamedParameters,
  type ParameterGroup,
  train,
  type TrainBatch,
  warmupCosine,
} from "../../nn/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import { Progress } from "../progress.ts";
import { PLAIN, TRAINING } from "./recipe.ts";
import { resumeRun, type RunHistory, type RunParts, saveRun } from "./run_checkpoint.ts";

/** What `trainClassifier` needs. */
export interface ClassifierRun {
  readonly device: Device;
  readonly model: VisionTransformer;
  readonly data: ImageSet;
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

/** Trains with the shared recipe, or goes on with it. */
export async function trainClassifier(run: ClassifierRun): Promise<ClassifierResult> {
  const { device, model, data, epochs, seed, config, checkpoint } = run;
  const { batchSize, lr, weightDecay, labelSmoothing, warmup, maxGradNorm } = TRAINING;
  const loader = new BatchLoader(data, { batchSize, seed, transform: run.transform });
  const steps = epochs * loader.batchesPerEpoch;
  const optimizer = new AdamW(decayGroups(model), { lr, weightDecay, maxGradNorm });
  const parts: RunParts = { device, model, optimizer, loader, data, seed, config };
  let history: RunHistory = { losses: [], evaluations: [], seconds: 0 };
  let startStep = 0;
  if (run.resume && await exists(checkpoint.path)) {
    ({ step: startStep, history } = await resumeRun(checkpoint.path, parts));
    console.error(`${run.label}: going on after step ${startStep} of ${steps}`);
  }

  const bar = new Progress(run.label, steps, startStep);
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
    await saveRun(checkpoint.path, step, parts, history);
  };

  const lossOf = (images: Tensor, labels: Tensor): Tensor =>
    crossEntropy(model.forward(images), labels, { labelSmoothing });
  await compileKernels(run, lossOf);
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

/** Weights are decayed; biases, norms, embeddings and scales are not. */
function decayGroups(model: VisionTransformer): ParameterGroup[] {
  const decayed: [string, ReturnType<typeof model.parameters>[number]][] = [];
  const rest: typeof decayed = [];
  for (const [name, parameter] of model.namedParameters()) {
    const plain = parameter.rank < 2 || /bias$|pos_embed|cls_token|phi/.test(name);
    (plain ? rest : decayed).push([name, parameter]);
  }
  return [
    { params: decayed satisfies NamedParameters },
    { params: rest satisfies NamedParameters, weightDecay: 0 },
  ];
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
    transform: PLAIN,
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
