/**
 * Finding the state dict in what a checkpoint's pickle holds.
 *
 * A file is a bare dict of tensors, or one that training tools wrapped: timm writes `state_dict`, `state_dict_ema`,
 * DeiT and MAE `model`, `model_ema`, mmcv `meta`, `state_dict`, `optimizer`, mmengine also `message_hub`. The weights are
 * the only part that is used. What is unknown inside of them (a class whose meaning would have to be guessed) is an
 * error; outside it is dropped, and listed.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import { excerpt } from "../strict_json.ts";
import { TorchTensor } from "./constructors.ts";
import {
  describeValue,
  PyDict,
  PyGlobal,
  PyList,
  PySet,
  PyTuple,
  PyUnknown,
  type PyValue,
  shortName,
} from "./pickle_values.ts";

/** Something of a file that was not used. */
export interface Dropped {
  /** Where it stands, keys and indices joined by dots. */
  readonly path: string;
  /** What it is: the name of a class or function, or a few words. */
  readonly what: string;
}

/** A state dict, and what was around it. */
export interface FoundStateDict {
  /** The key under which it stands; null where the file is a bare state dict. */
  readonly part: string | null;
  /** The tensors by name, in the file's order. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Other keys of the file, in its order. */
  readonly beside: readonly string[];
  /** Those of them that hold tensors by name too, such as a moving average, and can be chosen instead. */
  readonly choices: readonly string[];
  /** Unknown classes and functions outside of the state dict, and entries of it that are plain data. */
  readonly dropped: readonly Dropped[];
}

/** Where tools put the weights, the first that is there. Moving averages come last: they are taken when alone. */
const PARTS = [
  "state_dict",
  "model",
  "model_state_dict",
  "model_state",
  "module",
  "net",
  "state_dict_ema",
  "model_ema",
  "ema_state_dict",
];
/** Most dropped things that are listed. */
const MAX_LISTED = 1000;
/** Most keys at the start of a path that are kept. */
const MAX_PATH = 8;
/** Deepest nesting that is looked through. Python's own pickler stops near it. */
const MAX_DEPTH = 1000;
/** Assigning to this key of a plain object replaces its prototype, so no such name is let in. */
const FORBIDDEN_NAME = "__proto__";

/**
 * Finds the state dict.
 * @param part the key under which it stands, "" for the file's own dict; undefined: the usual ones are tried
 * @throws {CheckpointError} there is none, it is not clear which is meant, or it holds what is unknown
 */
export function findStateDict(root: PyValue, part?: string): FoundStateDict {
  if (root instanceof PyUnknown) {
    throw new CheckpointError(
      `it holds a pickled ${shortName(root.name)}, which would have to be executed; ` +
        `save its state_dict() instead`,
    );
  }
  if (!(root instanceof PyDict)) {
    throw new CheckpointError(`it holds ${describeValue(root)}, not a dict of tensors`);
  }
  const found = part === "" ? null : part ?? usualPart(root);
  const dict = found === null ? root : root.entries.get(found);
  const where = found === null ? "" : `${excerpt(found)}: `;
  if (dict === undefined) {
    throw new CheckpointError(`it has no ${excerpt(found)}, only ${keyList(root)}`);
  }
  if (!(dict instanceof PyDict)) {
    throw new CheckpointError(`${where}is ${describeValue(dict)}, not a dict of tensors`);
  }
  const dropped: Dropped[] = [];
  const tensors = takeTensors(dict, where, dropped);
  if (tensors.size === 0) throw new CheckpointError(`${where}holds no tensor`);
  const keys = [...root.entries.keys()].filter((key) => typeof key === "string");
  const beside = found === null ? [] : keys.filter((key) => key !== found);
  const choices = beside.filter((key) => holdsTensors(root.entries.get(key)!));
  listUnknown(root, dict, dropped);
  return { part: found, tensors, beside, choices, dropped };
}

/** The key that is meant, or null for the file's dict itself. */
function usualPart(root: PyDict): string | null {
  const usual = PARTS.find((name) => {
    const value = root.entries.get(name);
    return value instanceof PyUnknown || (value !== undefined && holdsTensors(value));
  });
  if (usual !== undefined) return usual;
  const dicts = [...root.entries].filter(([key, value]) =>
    typeof key === "string" && holdsTensors(value)
  ).map(([key]) => key as string);
  const bare = holdsTensors(root);
  if (bare && dicts.length === 0) return null;
  if (!bare && dicts.length === 1) return dicts[0];
  if (dicts.length > 0) {
    const places = [
      ...(bare ? ["at its top"] : []),
      ...dicts.map((key) => `under ${excerpt(key)}`),
    ];
    throw new CheckpointError(
      `tensors stand ${places.join(" and ")}: say which part is meant ("" for the top)`,
    );
  }
  const unknown = [...root.entries.values()].find((value) => value instanceof PyUnknown);
  const instead = unknown === undefined
    ? `it has ${keyList(root)}`
    : `it holds ${describeValue(unknown)}, which was not called`;
  throw new CheckpointError(`there is no state dict in it; ${instead}`);
}

/** Whether dicts hold tensors: one that stands under many keys is looked through once. */
const looked = new WeakMap<PyDict, boolean>();

function holdsTensors(value: PyValue): boolean {
  if (!(value instanceof PyDict)) return false;
  let holds = looked.get(value);
  if (holds === undefined) {
    holds = value.entries.values().some((item) => item instanceof TorchTensor);
    looked.set(value, holds);
  }
  return holds;
}

/** The tensors of a state dict; other entries may only be plain data, such as a count. */
function takeTensors(dict: PyDict, where: string, dropped: Dropped[]): Map<string, TorchTensor> {
  const tensors = new Map<string, TorchTensor>();
  const seen = new Set<PyValue>();
  for (const [name, value] of dict.entries) {
    if (typeof name !== "string" || name === FORBIDDEN_NAME || !name.isWellFormed()) {
      const shown = typeof name === "string" ? excerpt(name) : describeValue(name);
      throw new CheckpointError(`${where}${shown} cannot name a tensor`);
    }
    if (value instanceof TorchTensor) {
      tensors.set(name, value);
      continue;
    }
    for (const { value: inner } of walk(name, value, seen)) {
      const what = inner instanceof TorchTensor
        ? "a tensor inside a container, a state dict has none"
        : `${describeValue(inner)}, which is unknown and was not called`;
      throw new CheckpointError(`${where}entry ${excerpt(name)} holds ${what}`);
    }
    if (dropped.length < MAX_LISTED) dropped.push({ path: name, what: describeValue(value) });
  }
  return tensors;
}

/** Lists the unknown classes and functions outside of the state dict. */
function listUnknown(root: PyDict, dict: PyDict, dropped: Dropped[]): void {
  const seen = new Set<PyValue>([dict]);
  for (const [start, value] of [["_metadata", dict.attributes], ["", root]] as const) {
    for (const { path, value: found } of walk(start, value, seen)) {
      if (found instanceof TorchTensor) continue;
      if (dropped.length === MAX_LISTED) return;
      dropped.push({ path, what: shortName(found.name) });
    }
  }
}

/** A value that is no plain data, and its path. */
interface Found {
  readonly path: string;
  readonly value: TorchTensor | PyUnknown | PyGlobal;
}

/**
 * Finds what is no plain data in a value and below it. Each container is entered once: it may be in several places, and
 * in itself. The way down is a list of iterators, so depth costs no stack.
 */
function* walk(name: string, top: PyValue, seen: Set<PyValue>): Generator<Found> {
  const way: Step[] = [{ key: "", children: [[name, top] as const].values() }];
  while (way.length > 0) {
    const { done, value: child } = way[way.length - 1].children.next();
    if (done) {
      way.pop();
      continue;
    }
    const [key, value] = child;
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    if (value instanceof TorchTensor || value instanceof PyUnknown || value instanceof PyGlobal) {
      seen.add(value);
      yield { path: pathOf(way, key), value };
      continue;
    }
    const children = childrenOf(value);
    if (children === undefined) continue;
    if (way.length > MAX_DEPTH) throw new CheckpointError(`it is nested deeper than ${MAX_DEPTH}`);
    seen.add(value);
    way.push({ key, children });
  }
}

/** A container that `walk` is inside of. */
interface Step {
  readonly key: string;
  readonly children: Iterator<readonly [key: string, child: PyValue], undefined>;
}

function childrenOf(value: PyValue): Step["children"] | undefined {
  if (value instanceof PyDict) return childrenOfDict(value);
  if (value instanceof PyList || value instanceof PyTuple || value instanceof PySet) {
    return value.items.values().map((item, i) => [String(i), item] as const) as Step["children"];
  }
  return undefined;
}

function* childrenOfDict(dict: PyDict): Generator<readonly [string, PyValue], undefined> {
  for (const [key, value] of dict.entries) {
    yield ["key", key];
    yield [typeof key === "string" ? key : describeValue(key), value];
  }
  yield ["__dict__", dict.attributes];
}

/** The keys on the way down, joined by dots; short, whatever the file holds. */
function pathOf(way: readonly Step[], last: string): string {
  const keys = [...way.slice(0, MAX_PATH).map(({ key }) => key), last].filter((key) => key !== "");
  const short = keys.map((key) => key.length > 80 ? `${key.slice(0, 77)}...` : key);
  if (way.length > MAX_PATH) short.splice(-1, 0, "…");
  return short.join(".");
}

function keyList(dict: PyDict): string {
  const keys = [...dict.entries.keys()].slice(0, 12).map((key) =>
    typeof key === "string" ? excerpt(key) : describeValue(key)
  );
  const more = dict.entries.size > keys.length
    ? ` and ${dict.entries.size - keys.length} more`
    : "";
  return keys.length === 0 ? "an empty dict" : `${keys.join(", ")}${more}`;
}
