/**
 * Training checkpoints: one safetensors file that any safetensors reader opens.
 *
 * Its tensors are in groups: `model.*` (weights and buffers), `optimizer.*` (moments and the like) and, where a run keeps
 * one, `ema.*` (an average of the weights). Everything else that decides how training goes on is in `__metadata__`: `format` "wgrad-checkpoint", `version`, and one JSON
 * text a field of `CheckpointState`. The functions here are pure; `io/files.ts` reads and writes the files.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import type { RngState } from "../engine/random/host_rng.ts";
import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  stringifyStrict,
  toPlainJson,
} from "./json.ts";
import type { NamedArray } from "./named_array.ts";
import type { TensorToWrite } from "./safetensors_write.ts";
import { excerpt, parseStrictJson } from "./strict_json.ts";

/** The tensor groups of a checkpoint; a tensor's name is `<group>.<name>`. */
export type CheckpointGroup = "model" | "optimizer" | "ema";

/** All of a training run but its tensors; with them it goes on as if it had never stopped. */
export interface CheckpointState {
  /** Optimiser steps taken. */
  readonly step: number;
  /** Epochs finished. */
  readonly epoch: number;
  /** Examples of the running epoch already used. */
  readonly position: number;
  /** The run's seed in decimal: up to 64 bits, which a JSON number cannot hold. */
  readonly seed: string;
  /** Generators that have a position, by name. */
  readonly rng: { readonly [name: string]: RngState };
  /** Settings and state of the learning-rate schedule. */
  readonly schedule: JsonObject;
  /** Which variant of each kernel was in use, by kernel: float sums are equal bit for bit only with the same. */
  readonly kernelVariants: { readonly [kernel: string]: string };
  /** The run's configuration (model, optimiser, batch size). */
  readonly config: JsonObject;
  /** Identifies the training data, so that a run is not resumed on other data. */
  readonly dataset: string;
  /** Anything more that a program wants to keep. */
  readonly extra?: JsonObject;
}

/** A checkpoint as a program holds it. */
export interface Checkpoint<T = NamedArray> {
  /** Tensors by full name, `model.…`, `optimizer.…`, `ema.…`. */
  readonly tensors: ReadonlyMap<string, T>;
  /** Everything but the tensors. */
  readonly state: CheckpointState;
}

/** A checkpoint as a safetensors file holds it. */
export interface EncodedCheckpoint<T = NamedArray> {
  /** Tensors by full name, `model.…`, `optimizer.…`, `ema.…`. */
  readonly tensors: ReadonlyMap<string, T>;
  /** The `__metadata__` strings. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** What `format` says in the file. */
export const CHECKPOINT_FORMAT = "wgrad-checkpoint";
/** The version that is written, and the only one that is read so far. */
export const CHECKPOINT_VERSION = 1;

type Check = (value: JsonValue) => boolean;

/** Each field of the state: what it must be, in words and as a test. */
const FIELDS: { readonly [F in keyof Required<CheckpointState>]: readonly [string, Check] } = {
  step: ["a whole number >= 0", isCount],
  epoch: ["a whole number >= 0", isCount],
  position: ["a whole number >= 0", isCount],
  seed: [
    "a string of decimal digits",
    (value) => /^[0-9]{1,20}$/.test(String(value)) && isText(value),
  ],
  rng: ["an object of generator states", (value) => isObjectOf(value, isRngState)],
  schedule: ["an object", isJsonObject],
  kernelVariants: ["an object of strings", (value) => isObjectOf(value, isText)],
  config: ["an object", isJsonObject],
  dataset: ["a string", isText],
  extra: ["an object", isJsonObject],
};

/**
 * The tensors and metadata to write with `writeSafetensors` or `streamSafetensors`.
 * @throws {CheckpointError} names the field or tensor that is missing, of the wrong kind, or in no group
 */
export function encodeCheckpoint<T extends TensorToWrite>(
  checkpoint: Checkpoint<T>,
): EncodedCheckpoint<T> {
  const { tensors, state } = checkpoint;
  checkGroups(tensors.keys(), "encodeCheckpoint");
  const metadata = new Map([
    ["format", CHECKPOINT_FORMAT],
    ["version", String(CHECKPOINT_VERSION)],
  ]);
  for (const name of Object.keys(FIELDS) as (keyof CheckpointState)[]) {
    const value = state[name] as JsonValue | undefined;
    if (value === undefined && name === "extra") continue;
    let text: string;
    try {
      text = stringifyStrict(value as JsonValue, name);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new CheckpointError(`encodeCheckpoint: ${why}`, { cause: error });
    }
    checkField(name, value as JsonValue, "encodeCheckpoint");
    metadata.set(name, text);
  }
  return { tensors, metadata };
}

/**
 * The checkpoint that a file's tensors and metadata hold.
 * @param label names the file in errors
 * @throws {CheckpointError} it is no wgrad checkpoint, of another version, or a field is missing or of the wrong kind
 */
export function decodeCheckpoint<T>(
  encoded: EncodedCheckpoint<T>,
  label = "checkpoint",
): Checkpoint<T> {
  const { tensors, metadata } = encoded;
  const state = decodeState(metadata, label);
  checkGroups(tensors.keys(), label);
  return { tensors, state };
}

/**
 * One group's tensors, without the group's name in front.
 * @example
 * ```ts
 * import { namedArray, tensorGroup } from "./mod.ts";
 * const tensors = new Map([["model.head.bias", namedArray(new Float32Array(10))]]);
 * console.log([...tensorGroup(tensors, "model").keys()]); // ["head.bias"]
 * ```
 */
export function tensorGroup<T>(
  tensors: ReadonlyMap<string, T>,
  group: CheckpointGroup,
): Map<string, T> {
  const prefix = `${group}.`;
  const named = [...tensors].filter(([name]) => name.startsWith(prefix));
  return new Map(named.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

function decodeState(metadata: ReadonlyMap<string, string>, label: string): CheckpointState {
  if (metadata.get("format") !== CHECKPOINT_FORMAT) {
    throw new CheckpointError(
      `${label}: no wgrad checkpoint: its metadata has no format "${CHECKPOINT_FORMAT}"; ` +
        `load plain weights with loadSafetensorsFile`,
    );
  }
  const version = metadata.get("version");
  if (version !== String(CHECKPOINT_VERSION)) {
    throw new CheckpointError(
      `${label}: checkpoint version ${excerpt(version)}, this wgrad reads ${CHECKPOINT_VERSION}`,
    );
  }
  const state: { [name: string]: JsonValue } = {};
  for (const [name, text] of metadata) {
    if (name === "format" || name === "version") continue;
    if (!Object.hasOwn(FIELDS, name)) {
      throw new CheckpointError(`${label}: unknown field ${excerpt(name)} in the metadata`);
    }
    try {
      state[name] = toPlainJson(parseStrictJson(text));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new CheckpointError(`${label}: field "${name}" is not proper JSON: ${why}`, {
        cause: error,
      });
    }
  }
  for (const name of Object.keys(FIELDS) as (keyof CheckpointState)[]) {
    if (name === "extra" && !(name in state)) continue;
    if (!(name in state)) throw new CheckpointError(`${label}: field "${name}" is missing`);
    checkField(name, state[name], label);
  }
  return state as unknown as CheckpointState;
}

function checkField(name: keyof CheckpointState, value: JsonValue, label: string): void {
  const [want, check] = FIELDS[name];
  if (!check(value)) {
    throw new CheckpointError(`${label}: field "${name}" must be ${want}, got ${excerpt(value)}`);
  }
}

function checkGroups(names: Iterable<string>, label: string): void {
  let weights = 0;
  for (const name of names) {
    if (!/^(model|optimizer|ema)\../.test(name)) {
      throw new CheckpointError(
        `${label}: tensor ${
          excerpt(name)
        } is in no group; names start with "model.", "optimizer." or "ema."`,
      );
    }
    if (name.startsWith("model.")) weights++;
  }
  if (weights === 0) throw new CheckpointError(`${label}: there is no "model." tensor`);
}

function isCount(value: JsonValue): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: JsonValue): boolean {
  return typeof value === "string";
}

function isObjectOf(value: JsonValue, check: Check): boolean {
  return isJsonObject(value) && Object.values(value).every(check);
}

function isRngState(value: JsonValue): boolean {
  if (!isJsonObject(value)) return false;
  const { seed, stream, cell, position } = value;
  return isText(seed) && (isText(stream) || isCount(stream)) && isCount(position) &&
    Array.isArray(cell) && cell.length === 2 && cell.every(isCount);
}
