/**
 * A training run as a checkpoint, and back: weights, optimiser, average of the weights, data order, step, curves. It knows
 * no file system, so pages use it too; `run_checkpoint.ts` writes and reads the files.
 * @module
 */
import type { LoaderState } from "../data/mod.ts";
import { CheckpointError, type Device } from "../engine/mod.ts";
import type {
  Ema,
  GradScaler,
  GradScalerState,
  Module,
  Optimizer,
  OptimizerState,
  StateDict,
} from "../nn/mod.ts";
import {
  type Checkpoint,
  type CheckpointGroup,
  type CheckpointState,
  type JsonObject,
  type NamedArray,
  tensorGroup,
} from "../io/mod.ts";
import { arraysOf, stateOf } from "./state_arrays.ts";

/** What a run is made of; all of it is saved. */
export interface RunParts {
  readonly device: Device;
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly ema?: Ema;
  readonly scaler?: GradScaler;
  /** Where the data order stands. */
  readonly loader: { state(): LoaderState; restore(state: LoaderState): void };
  /** Tells its data from others. */
  readonly dataset: string;
  readonly seed: number;
  readonly config: JsonObject;
}

/** A classifier's accuracy on held-out images after some steps, a share. */
export type AccuracyAt = {
  step: number;
  accuracy: number;
  /** The temperatures of each SpheroMoE layer, dispatch before combine; absent for a model without. */
  temperatures?: readonly (readonly number[])[];
};

/** The curves so far; saved with the run so that a resumed one draws them whole. `E` is what is measured on the way. */
export interface RunHistory<E extends JsonObject = AccuracyAt> {
  losses: number[];
  evaluations: E[];
  /** Seconds of training so far. */
  seconds: number;
}

/** Everything that a run needs to go on. */
export async function runCheckpoint<E extends JsonObject>(
  step: number,
  parts: RunParts,
  history: RunHistory<E>,
): Promise<Checkpoint> {
  const { device, model, optimizer, ema, scaler, loader, dataset, seed, config } = parts;
  const tensors = new Map<string, NamedArray>();
  const put = (group: CheckpointGroup, state: StateDict): void => {
    for (const [name, array] of arraysOf(state)) tensors.set(`${group}.${name}`, array);
  };
  const state = await optimizer.state();
  put("model", await model.stateDict());
  put("optimizer", state.tensors);
  const average = await ema?.state();
  if (average) put("ema", average.tensors);
  const { epoch, position } = loader.state();
  return {
    tensors,
    state: {
      step,
      epoch,
      position,
      seed: String(seed),
      rng: {},
      schedule: {},
      kernelVariants: device.kernelVariants,
      config,
      dataset,
      extra: {
        deviceStep: device.stepIndex,
        optimizer: { kind: state.kind, steps: { ...state.steps } },
        ...(average && { emaUpdates: average.updates }),
        ...(scaler && { scaler: { ...await scaler.state() } }),
        history: { ...history },
      },
    },
  };
}

/**
 * Puts a run back where its checkpoint stood.
 * @returns the step to go on with, and the curves so far
 * @throws {CheckpointError} it is of another configuration, seed, data set or model, or lacks something
 */
export function restoreRun<E extends JsonObject>(
  { tensors, state }: Checkpoint,
  parts: RunParts,
): { step: number; history: RunHistory<E> } {
  checkSame(state, parts);
  const { optimizer, deviceStep, emaUpdates, scaler, history } = extraOf<E>(state);
  const of = (group: CheckpointGroup) => stateOf(tensorGroup(tensors, group));
  parts.model.loadStateDict(of("model"));
  parts.optimizer.loadState({ ...optimizer, tensors: of("optimizer") });
  parts.ema?.loadState({ updates: emaUpdates ?? NaN, tensors: of("ema") });
  if (scaler) parts.scaler?.loadState(scaler);
  parts.loader.restore({ epoch: state.epoch, position: state.position });
  parts.device.stepIndex = deviceStep;
  return { step: state.step, history };
}

/** @throws {CheckpointError} naming each setting that differs */
function checkSame(state: CheckpointState, { config, seed, dataset }: RunParts): void {
  const was: JsonObject = { ...state.config, seed: state.seed, data: state.dataset };
  const is: JsonObject = { ...config, seed: String(seed), data: dataset };
  const differences = Object.keys({ ...was, ...is }).flatMap((key) => {
    const [a, b] = [JSON.stringify(was[key]), JSON.stringify(is[key])];
    return a === b ? [] : [`${key} ${a}, here ${b}`];
  });
  if (differences.length === 0) return;
  throw new CheckpointError(
    `it is of another run (${differences.join("; ")}): use the same options`,
  );
}

interface Extra<E extends JsonObject> {
  readonly deviceStep: number;
  readonly optimizer: Pick<OptimizerState, "kind" | "steps">;
  readonly emaUpdates?: number;
  readonly scaler?: GradScalerState;
  readonly history: RunHistory<E>;
}

/** @throws {CheckpointError} something that a run needs is not there or not what it should be */
function extraOf<E extends JsonObject>({ step, extra = {} }: CheckpointState): Extra<E> {
  const { optimizer, deviceStep, emaUpdates, scaler, history } = extra as unknown as Partial<
    Extra<E>
  >;
  const whole = typeof optimizer?.kind === "string" && typeof optimizer.steps === "object" &&
    Number.isSafeInteger(deviceStep) && Number.isFinite(history?.seconds) &&
    Array.isArray(history?.losses) && history.losses.length === step &&
    Array.isArray(history.evaluations);
  if (whole) return { optimizer, deviceStep, emaUpdates, scaler, history } as Extra<E>;
  throw new CheckpointError(`the optimiser's state or the curves of its ${step} steps are missing`);
}
