/**
 * PyTorch's file format before version 1.6 (and today with `_use_new_zipfile_serialization=False`): five pickles in a row
 * (a magic number, the protocol version, facts about the machine, the object, a list of storage keys), then for each key
 * of the list the storage: its number of elements as a 64-bit integer, and its elements. All is little-endian, on every
 * machine.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import { type ByteSource, readExactly } from "../byte_source.ts";
import { excerpt } from "../strict_json.ts";
import { torchConstructors, type TorchStorage } from "./constructors.ts";
import { PyList, type PyValue } from "./pickle_values.ts";
import { MAX_PICKLE, type TorchFile } from "./torch_file.ts";
import { type PickleConstructors, PickleTruncatedError, unpickle } from "./unpickler.ts";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;
/** Bytes that are read for a pickle at first, whose length nothing tells. */
const FIRST_READ = 1 << 16;
/** Bytes of the number of elements before a storage. */
const LENGTH_BYTES = 8;

/** How a file of this format starts: protocol 2 and up, then a LONG1 of 10 bytes. */
export function startsLegacyFormat(start: Uint8Array): boolean {
  return start[0] === 0x80 && start[2] === 0x8a && start[3] === 10;
}

/**
 * Reads and checks all but the storages' elements.
 * @throws {CheckpointError} it is truncated, hostile, or no checkpoint
 */
export async function openLegacyFormat(source: ByteSource): Promise<TorchFile> {
  const plain: PickleConstructors = { known: new Map(), persistent: notHere };
  const magic = await readPickle(source, 0, plain);
  if (magic.value !== MAGIC) throw new CheckpointError("its magic number is not PyTorch's");
  const version = await readPickle(source, magic.end, plain);
  if (version.value !== PROTOCOL_VERSION) {
    throw new CheckpointError(`its protocol version is not ${PROTOCOL_VERSION}`);
  }
  const machine = await readPickle(source, version.end, plain);
  const storages = new Map<string, TorchStorage>();
  const object = await readPickle(source, machine.end, torchConstructors(storages));
  const keys = await readPickle(source, object.end, plain);
  const offsets = await findStorages(source, keys.end, keys.value, storages);
  const open = (key: string): Promise<ByteSource> => {
    const start = offsets.get(key)!;
    return Promise.resolve({
      size: storages.get(key)!.byteLength,
      label: source.label,
      read: (offset, length) => readExactly(source, start + offset, length),
    });
  };
  const verify = () => Promise.resolve(); // the format has no checksums
  return {
    root: object.value,
    storages: { format: "legacy", bigEndian: false, isPacked: () => false, verify, open },
  };
}

function notHere(): never {
  throw new CheckpointError("a storage where none can be");
}

/** Reads one pickle of unknown length: more and more of the file is given to the unpickler until it reaches the end. */
async function readPickle(
  source: ByteSource,
  offset: number,
  constructors: PickleConstructors,
): Promise<{ value: PyValue; end: number }> {
  const most = Math.min(source.size - offset, MAX_PICKLE);
  for (let length = Math.min(FIRST_READ, most);; length = Math.min(4 * length, most)) {
    try {
      const { value, length: used } = unpickle(
        await readExactly(source, offset, length),
        constructors,
      );
      return { value, end: offset + used };
    } catch (error) {
      if (!(error instanceof PickleTruncatedError) || length === most) throw error;
    }
  }
}

/** Where each storage's elements start. They must be all that the object names, once each, to the file's end. */
async function findStorages(
  source: ByteSource,
  start: number,
  keys: PyValue,
  storages: ReadonlyMap<string, TorchStorage>,
): Promise<ReadonlyMap<string, number>> {
  if (!(keys instanceof PyList)) throw new CheckpointError("its list of storages is none");
  const offsets = new Map<string, number>();
  let at = start;
  for (const key of keys.items) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (storage === undefined || offsets.has(storage.key)) {
      throw new CheckpointError("its list of storages is not that of its tensors");
    }
    const what = `storage ${excerpt(storage.key)}`;
    if (source.size - at < LENGTH_BYTES + storage.byteLength) {
      throw new CheckpointError(`${what} reaches beyond the end of the file; it is truncated`);
    }
    const head = await readExactly(source, at, LENGTH_BYTES);
    const length = new DataView(head.buffer, head.byteOffset).getBigInt64(0, true);
    if (length !== BigInt(storage.length)) {
      throw new CheckpointError(`${what} has ${length} elements instead of ${storage.length}`);
    }
    offsets.set(storage.key, at + LENGTH_BYTES);
    at += LENGTH_BYTES + storage.byteLength;
  }
  for (const key of storages.keys()) {
    if (!offsets.has(key)) throw new CheckpointError(`storage ${excerpt(key)} is missing`);
  }
  if (at !== source.size) {
    throw new CheckpointError(`${source.size - at} bytes are left over after the last storage`);
  }
  return offsets;
}
