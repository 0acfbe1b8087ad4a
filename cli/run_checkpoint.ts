/**
 * Saving and resuming a training run of the command line: weights, optimiser, average of the weights, data order, step,
 * curves.
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
  type CheckpointGroup,
  type CheckpointState,
  type JsonObject,
  type NamedArray,
  tensorGroup,
} from "../io/mod.ts";
import { loadCheckpointFile, saveCheckpointFile } from "../io/files.ts";
import { arraysOf, stateOf } from "./weights.ts";

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

/** Writes a checkpoint in one step; the one before stays as `.prev`. */
export async function saveRun<E extends JsonObject>(
  path: string,
  step: number,
  parts: RunParts,
  history: RunHistory<E>,
): Promise<void> {
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
  await saveCheckpointFile(path, {
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
  });
}

/** Removes a checkpoint and the one before it, when the run is over. */
export async function removeRun(path: string): Promise<void> {
  for (const name of [path, `${path}.prev`]) await Deno.remove(name).catch(() => {});
}

/**
 * Puts a run back where its checkpoint stood.
 * @returns the step to go on with, and the curves so far
 * @throws {CheckpointError} it cannot be read or is damaged, or is of another configuration, seed, data set or model
 */
export async function resumeRun<E extends JsonObject>(
  path: string,
  parts: RunParts,
): Promise<{ step: number; history: RunHistory<E> }> {
  try {
    const { tensors, state } = await loadCheckpointFile(path);
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
  } catch (cause) {
    const why = (cause as Error).message;
    const named = why.includes(path) ? why : `${path}: ${why}`;
    throw new CheckpointError(`${named}; or remove it to start anew`, { cause });
  }
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
