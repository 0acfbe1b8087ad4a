/**
 * Reading PyTorch checkpoints (`torch.save`) tensor by tensor: the object is read and checked when the file is opened, a
 * tensor's bytes when they are asked for. Nothing of a file is ever executed.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import { asSource, type Bytes, readExactly } from "../byte_source.ts";
import { DTYPE_BYTES, type FileDType, type NamedArray } from "../named_array.ts";
import { excerpt } from "../strict_json.ts";
import type { TorchTensor } from "./constructors.ts";
import { openLegacyFormat, startsLegacyFormat } from "./legacy_format.ts";
import { type Dropped, findStateDict, type FoundStateDict } from "./state_dict.ts";
import { checkView, readView } from "./strided.ts";
import type { TorchStorages } from "./torch_file.ts";
import { openZipFormat, startsZipFormat } from "./zip_format.ts";

/** A tensor of a checkpoint. */
export interface TorchEntry {
  /** Its name in the state dict. */
  readonly name: string;
  /** The element type. */
  readonly dtype: FileDType;
  /** Sizes from the outermost to the innermost dimension; [] is a scalar. */
  readonly shape: readonly number[];
  /** Bytes of the dense tensor. */
  readonly byteLength: number;
}

/** Options of `TorchReader.open`. */
export interface TorchOptions {
  /** The key of the file under which the state dict stands, such as "model_ema" ("": at the top). Default: the usual ones are tried. */
  readonly part?: string;
}

/**
 * What all tensors together may cost to read: so much more than the file has bytes. Tied weights and expanded rows need
 * some; only a bomb needs more.
 */
const MAX_READ = { times: 64, plus: 16 << 20 };

/** An open PyTorch checkpoint. */
export class TorchReader {
  /** Which of PyTorch's two file formats it has. */
  readonly format: "zip" | "legacy";
  /** The tensors of the state dict by name, in its order. */
  readonly entries: ReadonlyMap<string, TorchEntry>;
  /** The key of the file under which the state dict stands; null where the file is a bare state dict. */
  readonly part: string | null;
  /** The file's other keys, which are not used. */
  readonly beside: readonly string[];
  /** Those of them that could be chosen as `part`. */
  readonly choices: readonly string[];
  /** Unknown classes and functions outside of the state dict, and entries of it that are plain data. */
  readonly dropped: readonly Dropped[];
  readonly #label: string;
  readonly #storages: TorchStorages;
  readonly #tensors: ReadonlyMap<string, TorchTensor>;

  private constructor(
    label: string,
    storages: TorchStorages,
    found: FoundStateDict,
    entries: ReadonlyMap<string, TorchEntry>,
  ) {
    this.#label = label;
    this.#storages = storages;
    this.#tensors = found.tensors;
    this.format = storages.format;
    this.entries = entries;
    this.part = found.part;
    this.beside = found.beside;
    this.choices = found.choices;
    this.dropped = found.dropped;
  }

  /**
   * Reads and checks everything but the tensors' bytes.
   * @throws {CheckpointError} the file is no checkpoint, truncated, hostile, or has no state dict that can be read
   */
  static async open(from: Bytes, options: TorchOptions = {}): Promise<TorchReader> {
    const source = asSource(from);
    const label = source.label ?? "checkpoint";
    return await labelled(label, async () => {
      const start = await readExactly(source, 0, Math.min(4, source.size));
      const isZip = startsZipFormat(start);
      if (!isZip && !startsLegacyFormat(start)) {
        throw new CheckpointError("it is neither of PyTorch's file formats (zip, legacy)");
      }
      const { root, storages } = await (isZip ? openZipFormat(source) : openLegacyFormat(source));
      const found = findStateDict(root, options.part);
      const entries = checkTensors(found.tensors, storages, source.size);
      return new TorchReader(label, storages, found, entries);
    });
  }

  /**
   * Reads one tensor, dense and little-endian.
   * @throws {CheckpointError} there is none of this name, its bytes are damaged or cannot be read
   */
  async read(name: string): Promise<NamedArray> {
    const entry = this.entries.get(name), tensor = this.#tensors.get(name);
    if (entry === undefined || tensor === undefined) {
      throw new CheckpointError(
        `${this.#label}: there is no tensor ${excerpt(name)} among its ${this.entries.size}`,
      );
    }
    return await labelled(this.#label, async () => {
      const { dtype, shape } = entry;
      const bytes = DTYPE_BYTES[dtype];
      const storage = await this.#storages.open(tensor.storage.key);
      const data = await readView(storage, tensor, bytes);
      return { dtype, shape, data: this.#storages.bigEndian ? swapped(data, bytes) : data };
    });
  }

  /**
   * Compares the checksums of all bytes that the tensors are made of; a file of the legacy format has none.
   * @throws {CheckpointError} the file is damaged
   */
  async verify(): Promise<void> {
    const keys = new Set([...this.#tensors.values()].map(({ storage }) => storage.key));
    await labelled(this.#label, async () => {
      for (const key of keys) await this.#storages.verify(key);
    });
  }

  /** Reads the tensors one after the other, in the order of the state dict. */
  async *[Symbol.asyncIterator](): AsyncGenerator<[name: string, array: NamedArray]> {
    for (const name of this.entries.keys()) yield [name, await this.read(name)];
  }
}

/** Checks that each tensor can be read and lies inside of its storage, and that all together cost no more than they may. */
function checkTensors(
  tensors: ReadonlyMap<string, TorchTensor>,
  storages: TorchStorages,
  fileSize: number,
): ReadonlyMap<string, TorchEntry> {
  const entries = new Map<string, TorchEntry>();
  const limit = MAX_READ.times * fileSize + MAX_READ.plus;
  let cost = 0;
  for (const [name, tensor] of tensors) {
    const { dtype, shape, storage } = tensor;
    if (dtype === null) {
      throw new CheckpointError(
        `tensor ${excerpt(name)}: elements of type ${excerpt(tensor.torchName)} are not read`,
      );
    }
    const bytes = DTYPE_BYTES[dtype];
    const byteLength = bytes * named(name, () => {
      return checkView(tensor, Math.floor(storage.byteLength / bytes), bytes);
    });
    entries.set(name, { name, dtype, shape, byteLength });
    cost += storages.isPacked(storage.key) ? byteLength + storage.byteLength : byteLength;
    if (cost > limit) {
      throw new CheckpointError(
        `tensor ${excerpt(name)}: the tensors so far take ${cost} bytes to read, from a file of ` +
          `${fileSize}; the limit is ${limit}`,
      );
    }
  }
  return entries;
}

function named<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError(`tensor ${excerpt(name)}: ${error.message}`, { cause: error });
  }
}

/** Puts the file's name in front of errors that do not have it. */
async function labelled<T>(label: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CheckpointError) || error.message.startsWith(`${label}:`)) throw error;
    throw new CheckpointError(`${label}: ${error.message}`, { cause: error });
  }
}

/** The bytes of each element in reverse order. */
function swapped(data: Uint8Array, bytes: number): Uint8Array {
  const out = data.slice();
  for (let at = 0; at < out.length; at += bytes) out.subarray(at, at + bytes).reverse();
  return out;
}
