/**
 * Training in the page: a run that can be stopped, saved, loaded and goes on as if nothing had happened. It knows no
 * elements of the page.
 * @module
 */
import {
  type AccuracyAt,
  restoreRun,
  runCheckpoint,
  type RunHistory,
  type RunParts,
} from "../../../cli/run_state.ts";
import { arraysOf } from "../../../cli/state_arrays.ts";
import { withChannels } from "../../../cli/training/channels.ts";
import { evaluateClassifier } from "../../../cli/training/evaluation.ts";
import { cardMetadata } from "../../../cli/training/model_card.ts";
import { groupsOf, scheduleOf } from "../../../cli/training/recipe.ts";
import { evaluationTransform, trainingTransform } from "../../../cli/training/transforms.ts";
import {
  balancedSample,
  BatchLoader,
  type DatasetParts,
  type ImageSource,
  Rng,
  sourceOf,
  subset,
} from "../../../data/mod.ts";
import { type Checkpoint, encodeCheckpoint, writeSafetensors } from "../../../io/mod.ts";
import { imageSize, visionModel, type VisionTransformer } from "../../../models/mod.ts";
import { AdamW, crossEntropy, type Device, train, type TrainBatch } from "../../../mod.ts";
import { type PageRun, toJson } from "./run_config.ts";

/** Told what happens. */
export interface FineTuningObserver {
  /** After some steps; `ms` is what each of them took. */
  onSteps(step: number, ms: number): void;
  /** After a measurement. */
  onEvaluation(point: AccuracyAt): void;
}

/** Steps between two measurements on held-out digits. */
const EVALUATE_EVERY = 20;
/** Held-out digits of a measurement on an adapter that is software; hardware takes all. */
const SOFTWARE_HELD_OUT = 100;

/** A run on a device. */
export class FineTuning {
  /** The model that learns. */
  readonly net: VisionTransformer;
  /** Curves so far. */
  history: RunHistory = { losses: [], evaluations: [], seconds: 0 };
  /** Steps done. */
  step = 0;
  /** How many digits are measured on. */
  readonly heldOut: number;
  readonly #device: Device;
  readonly #optimizer: AdamW;
  readonly #loader: BatchLoader;
  readonly #held: ImageSource;
  readonly #seed: number;

  private constructor(
    device: Device,
    net: VisionTransformer,
    /** Its settings. */
    readonly run: PageRun,
    digits: DatasetParts,
    seed: number,
  ) {
    this.#device = device;
    this.net = net;
    this.#seed = seed;
    const { recipe } = run, { inChans } = net.config;
    const { batchSize, lr, weightDecay, clipGrad } = recipe;
    this.#optimizer = new AdamW(groupsOf(recipe, net), {
      lr,
      weightDecay,
      maxGradNorm: clipGrad ?? Infinity,
    });
    this.#loader = new BatchLoader(withChannels(sourceOf(digits.train), inChans), {
      batchSize,
      seed,
      transform: trainingTransform(recipe, ...imageSize(net.config)),
    });
    this.heldOut = device.software ? SOFTWARE_HELD_OUT : digits.test.count;
    const sample = balancedSample(digits.test, this.heldOut, new Rng(0, "page/curve"));
    this.#held = withChannels(sourceOf(subset(digits.test, sample)), inChans);
  }

  /** A run at its beginning. @param net a model on the device, which the run owns from now on */
  static begin(
    device: Device,
    net: VisionTransformer,
    run: PageRun,
    digits: DatasetParts,
    seed: number,
  ): FineTuning {
    return new FineTuning(device, net, run, digits, seed);
  }

  /**
   * A run where its checkpoint stood.
   * @throws {CheckpointError} it lacks something, or is of other digits
   */
  static async restore(
    device: Device,
    run: PageRun,
    checkpoint: Checkpoint,
    digits: DatasetParts,
  ): Promise<FineTuning> {
    const net = await visionModel(run.model).to(device);
    const tuning = new FineTuning(device, net, run, digits, Number(checkpoint.state.seed));
    try {
      const { step, history } = restoreRun<AccuracyAt>(checkpoint, tuning.#parts());
      tuning.step = step;
      tuning.history = history;
      return tuning;
    } catch (error) {
      tuning.dispose();
      net.dispose();
      throw error;
    }
  }

  /**
   * Trains to the end, or until the signal stops it after a step.
   * @throws {InterruptedError} it was stopped; the run can go on
   * @throws {NonFiniteError} the loss is not a number any more
   */
  async go(signal: AbortSignal, observer: FineTuningObserver): Promise<void> {
    const { run: { recipe, steps }, net } = this;
    // The curve's first point; a run that was stopped has it.
    if (this.history.evaluations.length === 0) await this.#evaluate(observer);
    let clock = performance.now();
    await train({
      device: this.#device,
      model: net,
      optimizer: this.#optimizer,
      schedule: scheduleOf(recipe, steps),
      steps,
      startStep: this.step,
      batches: batchesOf(this.#loader),
      loss: (images, labels) =>
        crossEntropy(net.forward(images), labels, { labelSmoothing: recipe.smoothing }),
      // Reading the losses waits for the GPU: rarely where a step is short.
      reportEvery: this.#device.software ? 1 : 5,
      onProgress: async ({ step, losses }) => {
        const now = performance.now();
        this.history.losses.push(...losses);
        this.history.seconds += (now - clock) / 1000;
        this.step = step;
        observer.onSteps(step, (now - clock) / losses.length);
        if (step % EVALUATE_EVERY === 0 || step === steps) await this.#evaluate(observer);
        clock = performance.now();
      },
      // Called when it is stopped too, so that no loss stays unread; the page saves when it is asked to.
      checkpoint: { every: steps, save: () => Promise.resolve() },
      signal,
    });
  }

  /** Everything needed to go on, as a safetensors file. */
  async save(): Promise<Uint8Array<ArrayBuffer>> {
    const checkpoint = await runCheckpoint(this.step, this.#parts(), this.history);
    const { tensors, metadata } = encodeCheckpoint(checkpoint);
    return writeSafetensors(tensors, metadata);
  }

  /** The model as it is, as a safetensors file that says what it is. */
  async saveModel(): Promise<Uint8Array<ArrayBuffer>> {
    const { model, recipe, names } = this.run;
    return writeSafetensors(
      arraysOf(await this.net.stateDict()),
      cardMetadata({ model, recipe, names }),
    );
  }

  /** Gives the optimiser's memory back; the model stays. */
  dispose(): void {
    this.#optimizer.dispose();
  }

  #parts(): RunParts {
    return {
      device: this.#device,
      model: this.net,
      optimizer: this.#optimizer,
      loader: this.#loader,
      dataset: this.#loader.source.fingerprint,
      seed: this.#seed,
      config: toJson(this.run),
    };
  }

  async #evaluate(observer: FineTuningObserver): Promise<void> {
    const { recipe } = this.run;
    const transform = evaluationTransform(recipe, ...imageSize(this.net.config));
    this.net.eval();
    const { accuracy } = await evaluateClassifier(this.#device, this.net, this.#held, transform);
    this.net.train();
    const point = { step: this.step, accuracy };
    this.history.evaluations.push(point);
    observer.onEvaluation(point);
  }
}

async function* batchesOf(loader: BatchLoader): AsyncGenerator<TrainBatch> {
  for await (const { images, shape, labels } of loader.batches()) {
    yield [[images, shape], [labels, [labels.length]]];
  }
}
