/**
 * The functions and classes of a pickle that stand for something here: PyTorch's ways to rebuild a tensor, and ordered
 * dicts. Each is written down as what it means for its arguments; Python's own are never involved. All other names
 * become inert stand-ins.
 *
 * Meaning of the arguments: torch/_utils.py, torch/_tensor.py and torch/serialization.py of PyTorch 1.6 to 2.x.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import type { FileDType } from "../named_array.ts";
import { excerpt } from "../strict_json.ts";
import { dtypeOfTorch, type StorageClass, storageClass } from "./dtypes.ts";
import {
  describeValue,
  PyDict,
  PyForeign,
  PyGlobal,
  PyList,
  PyTuple,
  PyUnknown,
  type PyValue,
  shortName,
} from "./pickle_values.ts";
import type { PickleConstructors } from "./unpickler.ts";

/** Bytes that tensors are views of; the file keeps them outside of the pickle. */
export class TorchStorage extends PyForeign {
  /** For errors. */
  override readonly kind = "a storage";
  /** A storage, as its persistent id describes it. */
  constructor(
    /** Names it in the file. */
    readonly key: string,
    /** What its class says about its elements. */
    readonly elements: StorageClass,
    /** How many elements it has. */
    readonly length: number,
    /** First element of the part that is meant, in files of PyTorch 0.4 and before; else 0. */
    readonly viewOffset: number,
  ) {
    super();
  }

  /** Its length in bytes. */
  get byteLength(): number {
    return this.length * this.elements.bytes;
  }
}

/** A tensor: a view of a storage. Nothing is checked yet but that the numbers are whole. */
export class TorchTensor extends PyForeign {
  /** For errors. */
  override readonly kind = "a tensor";
  /** A view, as the file describes it; offset and strides count elements. */
  constructor(
    readonly storage: TorchStorage,
    /** The element type; null where it is not read. */
    readonly dtype: FileDType | null,
    /** PyTorch's name of the element type. */
    readonly torchName: string,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly offset: number,
  ) {
    super();
  }
}

/** Most dimensions of a tensor; PyTorch has 64. */
const MAX_RANK = 64;

type Known = (args: readonly PyValue[]) => PyValue;

const KNOWN: ReadonlyMap<string, Known> = new Map<string, Known>([
  ["collections.OrderedDict", orderedDict],
  ["torch.Size", (args) => args.length === 1 ? args[0] : refuse("torch.Size", args)],
  ["torch._utils._rebuild_tensor", (args) => tensor("_rebuild_tensor", args, 4)],
  ["torch._utils._rebuild_tensor_v2", (args) => tensor("_rebuild_tensor_v2", args, 6)],
  ["torch._utils._rebuild_tensor_v3", (args) => tensor("_rebuild_tensor_v3", args, 7)],
  ["torch._utils._rebuild_parameter", parameter],
  ["torch._utils._rebuild_parameter_with_state", parameter],
  ["torch._tensor._rebuild_from_type_v2", withAttributes],
]);

/** Tensors with attributes are rebuilt as one of these; any other class may mean something else by its values. */
const PLAIN_TENSORS: ReadonlySet<string> = new Set([
  "torch.Tensor",
  "torch.nn.parameter.Parameter",
  "torch.nn.parameter.Buffer",
]);

/** What a checkpoint's pickle may build; every storage that it names is added to `storages`. */
export function torchConstructors(storages: Map<string, TorchStorage>): PickleConstructors {
  return {
    known: KNOWN,
    persistent(id) {
      const storage = storageOf(id);
      const first = storages.get(storage.key);
      if (
        first !== undefined &&
        (first.length !== storage.length || first.elements !== storage.elements)
      ) {
        throw new CheckpointError(
          `storage ${excerpt(storage.key)} is described in two ways: ${first.length} of ` +
            `${first.elements.torchName}, ${storage.length} of ${storage.elements.torchName}`,
        );
      }
      if (first === undefined) storages.set(storage.key, storage);
      return storage;
    },
  };
}

/** `("storage", class, key, device, elements[, view])`; the device does not matter here. */
function storageOf(id: PyValue): TorchStorage {
  const items = id instanceof PyTuple ? id.items : [];
  const [kind, type, key, , length, view = null] = items;
  const sound = kind === "storage" && type instanceof PyGlobal && typeof key === "string" &&
    isCount(length) && items.length <= 6;
  if (!sound) throw new CheckpointError(`${describeValue(id)} does not describe a storage`);
  const elements = storageClass(type.name);
  if (elements === undefined) {
    throw new CheckpointError(
      `storage ${excerpt(key)} is of unknown class ${shortName(type.name)}`,
    );
  }
  return new TorchStorage(key, elements, length, viewOffset(view, length));
}

/** `(key, first element, elements)` of a part of a storage, or None. */
function viewOffset(view: PyValue, length: number): number {
  if (view === null) return 0;
  const [, offset, size] = view instanceof PyTuple ? view.items : [];
  if (!isCount(offset) || !isCount(size) || offset + size > length) {
    throw new CheckpointError("a view of a storage does not lie inside of it");
  }
  return offset;
}

/**
 * `(storage, offset, shape, strides)`, from the second version on with `requires_grad` and hooks, from the third with the
 * dtype, and then in both, where there are some, flags such as "conjugated".
 */
function tensor(name: string, args: readonly PyValue[], least: number): TorchTensor {
  const [storage, offset, size, stride] = args;
  const shape = sizes(size), strides = sizes(stride);
  const flags = args[least] ?? null;
  const sound = storage instanceof TorchStorage && isWhole(offset) && shape !== null &&
    strides !== null && shape.length === strides.length &&
    (args.length === least || (args.length === least + 1 && least > 4)) &&
    (flags === null || (flags instanceof PyDict && flags.entries.size === 0));
  if (!sound) return refuse(name, args);
  let { dtype, torchName } = storage.elements;
  if (least === 7) {
    const given = args[6];
    if (!(given instanceof PyGlobal)) return refuse(name, args);
    dtype = dtypeOfTorch(given.name) ?? null;
    torchName = given.name.replace(/^torch\./, "");
  }
  return new TorchTensor(storage, dtype, torchName, shape, strides, offset + storage.viewOffset);
}

/** `(tensor, requires_grad, hooks[, attributes])` */
function parameter(args: readonly PyValue[]): PyValue {
  const [data] = args;
  const sound = (data instanceof TorchTensor || data instanceof PyUnknown) &&
    (args.length === 3 || args.length === 4);
  return sound ? data : refuse("_rebuild_parameter", args);
}

/** `(function, class, arguments, attributes)` of a tensor that somebody hung attributes on. */
function withAttributes(args: readonly PyValue[]): PyValue {
  const [fn, type, inner] = args;
  const sound = args.length === 4 && fn instanceof PyGlobal && type instanceof PyGlobal &&
    inner instanceof PyTuple;
  if (!sound) return refuse("_rebuild_from_type_v2", args);
  const known = fn.name.startsWith("torch._utils.") ? KNOWN.get(fn.name) : undefined;
  if (known === undefined) return new PyUnknown(fn.name);
  return PLAIN_TENSORS.has(type.name) ? known(inner.items) : new PyUnknown(type.name);
}

/** Lists that an ordered dict was made of: one that is used again and again would cost its length each time. */
const usedLists = new WeakSet<PyList>();

/** `()`, or from Python 2 `([[key, value], …],)` */
function orderedDict(args: readonly PyValue[]): PyDict {
  const dict = new PyDict();
  if (args.length === 0) return dict;
  const [list] = args;
  const sound = args.length === 1 && list instanceof PyList && !usedLists.has(list);
  if (!sound) return refuse("OrderedDict", args);
  usedLists.add(list);
  for (const pair of list.items) {
    const items = pair instanceof PyList || pair instanceof PyTuple ? pair.items : [];
    if (items.length !== 2 || dict.entries.has(items[0])) return refuse("OrderedDict", args);
    dict.entries.set(items[0], items[1]);
  }
  return dict;
}

/** The numbers of a shape or of strides; null where it is none. */
function sizes(value: PyValue | undefined): readonly number[] | null {
  const items = value instanceof PyTuple || value instanceof PyList ? value.items : null;
  return items !== null && items.length <= MAX_RANK && items.every(isWhole) ? items : null;
}

function isWhole(value: PyValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}

function isCount(value: PyValue | undefined): value is number {
  return isWhole(value) && value >= 0;
}

function refuse(name: string, args: readonly PyValue[]): never {
  const given = args.slice(0, 8).map((arg) => describeValue(arg)).join(", ");
  throw new CheckpointError(`${name}() does not take (${given})`);
}
