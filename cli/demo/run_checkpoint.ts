/**
 * Saving and resuming a training run of the demo and of pre-training: weights, optimiser, data order, step, curves.
 * @module
 */
import { type BatchLoader, fingerprint, type ImageSet } from "../../data/mod.ts";
import { CheckpointError, type Device } from "../../engine/mod.ts";
import type { Module, Optimizer, OptimizerState, StateDict } from "../../nn/mod.ts";
import {
  type CheckpointState,
  type JsonObject,
  type NamedArray,
  tensorGroup,
} from "../../io/mod.ts";
import { loadCheckpointFile, saveCheckpointFile } from "../../io/files.ts";
import { arraysOf, stateOf } from "../weights.ts";

/** What a run is made of; all of it is saved. */
export interface RunParts {
  readonly device: Device;
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly loader: BatchLoader;
  readonly data: ImageSet;
  readonly seed: number;
  readonly config: JsonObject;
}

/** The curves so far; saved with the run so that a resumed one draws them whole. */
export interface RunHistory {
  losses: number[];
  evaluations: { step: number; accuracy: number }[];
  /** Seconds of training so far. */
  seconds: number;
}

/** Writes a checkpoint in one step; the one before stays as `.prev`. */
export async function saveRun(
  path: string,
  step: number,
  parts: RunParts,
  history: RunHistory,
): Promise<void> {
  const { device, model, optimizer, loader, data, seed, config } = parts;
  const tensors = new Map<string, NamedArray>();
  const put = (group: "model" | "optimizer", state: StateDict): void => {
    for (const [name, array] of arraysOf(state)) tensors.set(`${group}.${name}`, array);
  };
  const state = await optimizer.state();
  put("model", await model.stateDict());
  put("optimizer", state.tensors);
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
      dataset: fingerprint(data),
      extra: {
        deviceStep: device.stepIndex,
        optimizer: { kind: state.kind, steps: { ...state.steps } },
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
export async function resumeRun(
  path: string,
  parts: RunParts,
): Promise<{ step: number; history: RunHistory }> {
  const { tensors, state } = await loadCheckpointFile(path);
  checkSame(path, "configuration", JSON.stringify(state.config), JSON.stringify(parts.config));
  checkSame(path, "seed", state.seed, String(parts.seed));
  checkSame(path, "training data", state.dataset, fingerprint(parts.data));
  const { optimizer, deviceStep, history } = extraOf(path, state);
  const of = (group: "model" | "optimizer") => stateOf(tensorGroup(tensors, group));
  try {
    parts.model.loadStateDict(of("model"));
    parts.optimizer.loadState({ ...optimizer, tensors: of("optimizer") });
    parts.loader.restore({ epoch: state.epoch, position: state.position });
  } catch (cause) {
    throw new CheckpointError(`${path}: ${(cause as Error).message}`, { cause });
  }
  parts.device.stepIndex = deviceStep;
  return { step: state.step, history };
}

function checkSame(path: string, what: string, got: string, want: string): void {
  if (got === want) return;
  throw new CheckpointError(
    `${path} belongs to a run with another ${what} (${got}, this one has ${want}). ` +
      "Use the same options, or start anew without --resume.",
  );
}

interface Extra {
  readonly deviceStep: number;
  readonly optimizer: Pick<OptimizerState, "kind" | "steps">;
  readonly history: RunHistory;
}

function extraOf(path: string, { step, extra = {} }: CheckpointState): Extra {
  const { optimizer, deviceStep, history } = extra as unknown as Partial<Extra>;
  const whole = typeof optimizer?.kind === "string" && typeof optimizer.steps === "object" &&
    Number.isSafeInteger(deviceStep) && Number.isFinite(history?.seconds) &&
    Array.isArray(history?.losses) && history.losses.length === step &&
    Array.isArray(history.evaluations);
  if (whole) return { optimizer, deviceStep, history } as Extra;
  throw new CheckpointError(
    `${path} lacks the optimiser's state or the curves of its ${step} steps; start anew without --resume`,
  );
}
