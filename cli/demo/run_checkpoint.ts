/**
 * Saving and resuming a training run of the demo and of pre-training: weights, optimiser, data order, step, curves.
 * @module
 */
import { type BatchLoader, fingerprint, type ImageSet } from "../../data/mod.ts";
import { CheckpointError, type Device } from "../../engine/mod.ts";
import type { Module, Optimizer, OptimizerState, StateEntry } from "../../nn/mod.ts";
import {
  type CheckpointState,
  type JsonObject,
  type NamedArray,
  namedArray,
  tensorGroup,
  toFloat32,
} from "../../io/mod.ts";
import { loadCheckpointFile, saveCheckpointFile } from "../../io/files.ts";

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
  const put = (group: string, entries: ReadonlyMap<string, StateEntry>): void => {
    for (const [name, { data, shape }] of entries) {
      tensors.set(`${group}.${name}`, namedArray(data, shape));
    }
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

/**
 * Puts a run back where its checkpoint stood.
 * @returns the step to go on with, and the curves so far
 * @throws {CheckpointError} when it is of another configuration, seed or data set
 */
export async function resumeRun(
  path: string,
  parts: RunParts,
): Promise<{ step: number; history: RunHistory }> {
  const { tensors, state } = await loadCheckpointFile(path);
  checkSame(path, "configuration", JSON.stringify(state.config), JSON.stringify(parts.config));
  checkSame(path, "seed", state.seed, String(parts.seed));
  checkSame(path, "training data", state.dataset, fingerprint(parts.data));
  const entries = (group: "model" | "optimizer"): Map<string, StateEntry> =>
    new Map([...tensorGroup(tensors, group)].map((
      [name, array],
    ) => [name, { shape: array.shape, data: toFloat32(array) }]));
  await parts.model.loadStateDict(entries("model"));
  const { optimizer, deviceStep, history } = extraOf(path, state);
  parts.optimizer.loadState({ ...optimizer, tensors: entries("optimizer") });
  parts.loader.restore({ epoch: state.epoch, position: state.position });
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

function extraOf(path: string, state: CheckpointState): Extra {
  const extra = state.extra as unknown as Partial<Extra> | undefined;
  if (!extra?.optimizer || !extra.history || typeof extra.deviceStep !== "number") {
    throw new CheckpointError(
      `${path} lacks the optimiser's state or the curves; it cannot be resumed`,
    );
  }
  return extra as Extra;
}
