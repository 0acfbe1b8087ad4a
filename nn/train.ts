/**
 * The training loop: steps, schedule, losses, checkpoints, interruption. It knows neither files nor screens.
 *
 *     for step in start … steps:   rate = schedule(step);  loss(batch).backward();  optimizer.step()
 *
 * The step is captured: recorded once for each batch shape, replayed from then on. Losses stay on the GPU and are read
 * every few steps in one go, so no step waits for the GPU.
 * @module
 */
import type { Device } from "../engine/device.ts";
import { InterruptedError, NonFiniteError, ShapeError } from "../engine/errors.ts";
import type { CapturedInput } from "../engine/capture.ts";
import { Tensor } from "../engine/tensor.ts";
import { checkCount } from "./check.ts";
import type { GradScaler } from "./grad_scaler.ts";
import type { Module } from "./module.ts";
import type { Optimizer } from "./optim/optimizer.ts";
import type { Schedule } from "./optim/schedule.ts";

/** One batch: the inputs of the loss function, each a host array with its shape. */
export type TrainBatch = readonly CapturedInput[];

/** Progress after some steps. */
export interface TrainProgress {
  /** Steps done so far, counted from the very beginning. */
  readonly step: number;
  /** Steps in all. */
  readonly steps: number;
  /** Losses of the steps since the last report, oldest first. */
  readonly losses: readonly number[];
  /** Examples (first dimension of the first input) per second since this run began. */
  readonly examplesPerSecond: number;
  /** Rate of the last step. */
  readonly lr: number;
}

/** What `train` needs. */
export interface TrainOptions {
  /** Where the model lives. */
  device: Device;
  /** Set to training mode. */
  model: Module;
  /** Its rate is set from the schedule. */
  optimizer: Optimizer;
  /** Rate of each step; default: the optimiser's own rate. */
  schedule?: Schedule;
  /** Steps in all. */
  steps: number;
  /** First step, when a run is resumed. Default 0. */
  startStep?: number;
  /** Batches, at least `steps - startStep` times `accumulate` of them. */
  batches: AsyncIterable<TrainBatch>;
  /** The loss of a batch, a scalar; called with tensors of the batch's arrays. */
  loss: (...inputs: Tensor[]) => Tensor;
  /** Scales the loss and skips steps whose gradients are not finite; for losses computed within `autocast`. */
  scaler?: GradScaler;
  /** Batches whose gradients are added up for one step; each loss is divided by this. Default 1. */
  accumulate?: number;
  /** Recorded as the end of each step, after the optimiser's: such as the update of a weight average. */
  afterStep?: () => void;
  /** Record each step's commands once and replay them. Default true. */
  capture?: boolean;
  /** Losses are read when a multiple of this many steps is done, before a save and at the end. Default 10. */
  reportEvery?: number;
  /** Called after each read of the losses. */
  onProgress?: (progress: TrainProgress) => void | Promise<void>;
  /** Called when `every` steps are done, at the end and when interrupted; saves everything needed to resume. */
  checkpoint?: { every: number; save: (step: number) => Promise<void> };
  /** Ends the run after the current step: saves, then throws `InterruptedError`. */
  signal?: AbortSignal;
}

/**
 * Trains a model.
 * @returns the losses of all steps of this run
 * @throws {InterruptedError} when `signal` was aborted; the checkpoint is saved
 * @throws {NonFiniteError} naming the step whose loss was NaN or infinite; nothing is saved after it
 * @throws {ShapeError} when the batches end early, or a number of steps is none
 */
export async function train(options: TrainOptions): Promise<number[]> {
  const { device, model, optimizer, steps, batches, checkpoint, signal } = options;
  const { startStep = 0, schedule, reportEvery = 10, accumulate = 1 } = options;
  if (!Number.isSafeInteger(steps) || steps < 0) {
    throw new ShapeError(`train(): steps is ${steps}, needs a whole number of 0 or more`);
  }
  const { every = 1 } = checkpoint ?? {};
  const counts = { reportEvery, accumulate, "checkpoint.every": every };
  for (const [name, value] of Object.entries(counts)) checkCount("train()", name, value);
  model.train();
  const ring = new LossRing(device, reportEvery, accumulate);
  const runner = stepRunner(options);
  const iterator = batches[Symbol.asyncIterator]();
  const losses: number[] = [];
  const begin = performance.now();
  let examples = 0, unread = 0, saved = startStep;
  const report = async (step: number): Promise<void> => {
    const fresh = await ring.read(unread);
    unread = 0;
    const bad = fresh.findIndex((loss) => !Number.isFinite(loss));
    if (bad >= 0) {
      throw new NonFiniteError(
        `train(): the loss of step ${step - fresh.length + bad + 1} is ${
          fresh[bad]
        }. Lower the rate or the ` +
          "gradient norm, or find the op with device.detectAnomaly().",
      );
    }
    losses.push(...fresh);
    const examplesPerSecond = 1000 * examples / (performance.now() - begin);
    await options.onProgress?.({ step, steps, losses: fresh, examplesPerSecond, lr: optimizer.lr });
  };
  const save = async (step: number): Promise<void> => {
    if (!checkpoint || saved === step) return;
    if (unread > 0) await report(step); // never save weights that a NaN has reached
    await checkpoint.save(step);
    saved = step;
  };
  try {
    for (let step = startStep; step < steps; step++) {
      if (schedule) optimizer.lr = schedule(step);
      for (let part = 0; part < accumulate; part++) {
        const next = await iterator.next();
        if (next.done) {
          throw new ShapeError(
            `train(): the batches ended at step ${step} of ${steps}; it needs steps x accumulate of them, such as ` +
              "the endless BatchLoader.batches()",
          );
        }
        examples += next.value[0][1][0] ?? 1;
        // Masks and noise belong to the step of the training, not to how many steps this device has run.
        device.stepIndex = step * accumulate + part;
        const position = unread;
        await runner.run(next.value, part, (loss) => ring.add(loss, position, part));
      }
      unread++;
      const done = step + 1;
      if (done % reportEvery === 0 || done === steps) await report(done);
      if (signal?.aborted) {
        await save(done);
        throw new InterruptedError(
          `Training was interrupted after step ${done} of ${steps}${
            checkpoint
              ? "; its checkpoint is saved and can be resumed"
              : "; nothing is saved: with a checkpoint it could be resumed"
          }.`,
        );
      }
      if (checkpoint && (done % checkpoint.every === 0 || done === steps)) await save(done);
    }
  } finally {
    await iterator.return?.();
    runner.dispose();
    ring.dispose();
  }
  return losses;
}

interface StepRunner {
  /** Runs part `part` of a step and hands its loss over; the last one updates the parameters. */
  run(batch: TrainBatch, part: number, keep: (loss: Tensor) => void): Promise<void>;
  dispose(): void;
}

/** What the parts of a step are made of. */
export interface StepOptions
  extends Pick<TrainOptions, "optimizer" | "loss" | "accumulate" | "scaler" | "afterStep"> {
  /** Where the model lives. */
  readonly device: Device;
}

/**
 * @internal The work of each part of a step, in order; parts that do the same are the same function. The first part
 * overwrites gradients, later ones add; the last one updates.
 */
export function stepParts(
  { device, optimizer, loss, accumulate = 1, scaler, afterStep }: StepOptions,
): ((...inputs: Tensor[]) => Tensor)[] {
  const work = (first: boolean, last: boolean) => (...inputs: Tensor[]): Tensor => {
    if (first) optimizer.zeroGrad();
    const value = loss(...inputs);
    const share = accumulate === 1 ? undefined : device.full(value.shape, 1 / accumulate);
    (scaler?.scale(value) ?? value).backward(share);
    if (last && scaler) {
      scaler.step(optimizer);
      scaler.update();
    } else if (last) optimizer.step();
    if (last) afterStep?.();
    return value.detach();
  };
  const first = work(true, accumulate === 1), middle = work(false, false), last = work(false, true);
  return Array.from(
    { length: accumulate },
    (_, part) => part === 0 ? first : part < accumulate - 1 ? middle : last,
  );
}

function stepRunner(options: TrainOptions): StepRunner {
  const { device } = options;
  const parts = stepParts(options);
  if (options.capture ?? true) {
    const captured = new Map([...new Set(parts)].map((part) => [part, device.capture(part)]));
    return {
      run: async (batch, part, keep) => keep(await captured.get(parts[part])!(...batch)),
      dispose: () => captured.forEach((c) => c.dispose()),
    };
  }
  return {
    // Kept within the step: a loss that left it would hold memory until the garbage collector finds it.
    run: (batch, part, keep) =>
      device.step(() =>
        keep(parts[part](...batch.map(([data, shape]) => device.tensor(data, shape))))
      ),
    dispose: () => {},
  };
}

/** Keeps the losses of the last steps on the GPU until they are read together. */
class LossRing {
  readonly #values: Tensor;
  constructor(private readonly device: Device, steps: number, private readonly parts: number) {
    const buffer = device.persistent(steps * parts, "losses");
    this.#values = new Tensor(device, [steps * parts], "f32", { buffer, offset: 0 });
  }

  /** Keeps the loss of one part of a step. */
  add(loss: Tensor, step: number, part: number): void {
    const { buffer } = this.#values.storage;
    const offset = 4 * (step * this.parts + part);
    this.device.copy(loss, new Tensor(this.device, loss.shape, "f32", { buffer, offset }));
  }

  /** The losses of the first `steps` steps, each the mean over its parts. */
  async read(steps: number): Promise<number[]> {
    const values = Array.from(await this.#values.data());
    return Array.from({ length: steps }, (_, step) => {
      const parts = values.slice(step * this.parts, (step + 1) * this.parts);
      return parts.reduce((sum, value) => sum + value, 0) / this.parts;
    });
  }

  dispose(): void {
    this.#values.dispose();
  }
}
