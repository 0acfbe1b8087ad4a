/**
 * The header of a safetensors file: eight bytes with its length (u64, little-endian), then JSON that maps each tensor's
 * name to its type, shape and place in the bytes that follow.
 *
 * Files come from strangers, so all that can be wrong is checked before a tensor is touched: the header fits the file
 * and is at most 100 MB (the limit of the reference implementation), it is strict JSON without repeated keys, every
 * type is known, every shape fits its bytes, and the tensors cover the data from end to end, without hole, overlap or
 * rest. Memory stays within a small multiple of the header that is really there.
 * @module
 */
import { CheckpointError, ShapeError } from "../engine/errors.ts";
import {
  describeUnread,
  DTYPE_BYTES,
  elementCount,
  type FileDType,
  isFileDType,
} from "./named_array.ts";
import { excerpt, parseStrictJson, type StrictJson } from "./strict_json.ts";

/** Where one tensor lies in a file. */
export interface TensorEntry {
  /** The tensor's name. */
  readonly name: string;
  /** The element type. */
  readonly dtype: FileDType;
  /** Sizes from the outermost to the innermost dimension; [] is a scalar. */
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly offset: number;
  /** Length in bytes. */
  readonly byteLength: number;
}

/** What a header says, checked. */
export interface SafetensorsHeader {
  /** The tensors by name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The `__metadata__` strings, empty where there are none. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Bytes of the length field. */
export const LENGTH_BYTES = 8;
/** Longest header that is read, in bytes; the reference implementation has the same. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Most dimensions of a tensor; NumPy has 64, PyTorch 64. */
const MAX_RANK = 64;
/** Most keys of a header, four a tensor: room for 125,000 tensors. */
const MAX_KEYS = 500_000;
/** Assigning to this key of a plain object replaces its prototype, so no such name is let in. */
const FORBIDDEN_NAME = "__proto__";

/**
 * The header's length in bytes, from the file's first eight.
 * @param fileSize size of the whole file in bytes
 * @param label names the file in errors
 * @throws {CheckpointError} the file is too short, or the header too long for it or over the limit
 */
export function headerLength(start: Uint8Array, fileSize: number, label = "safetensors"): number {
  if (fileSize < LENGTH_BYTES || start.byteLength < LENGTH_BYTES) {
    throw new CheckpointError(
      `${label}: a safetensors file has at least 8 bytes, this has ${fileSize}; it is truncated or no safetensors`,
    );
  }
  const view = new DataView(start.buffer, start.byteOffset, LENGTH_BYTES);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new CheckpointError(
      `${label}: claims a header of ${length} bytes, the limit is ${MAX_HEADER_BYTES}; it is no safetensors file`,
    );
  }
  const present = fileSize - LENGTH_BYTES;
  if (length > BigInt(present)) {
    throw new CheckpointError(
      `${label}: claims a header of ${length} bytes, ${present} follow; it is truncated, fetch or save it again`,
    );
  }
  return Number(length);
}

/**
 * Reads and checks a header.
 * @param bytes the file's start: the length field and at least the whole header
 * @param fileSize size of the whole file in bytes
 * @param label names the file in errors
 * @throws {CheckpointError} says what is wrong and with which tensor
 */
export function parseSafetensorsHeader(
  bytes: Uint8Array,
  fileSize: number = bytes.byteLength,
  label = "safetensors",
): SafetensorsHeader {
  const length = headerLength(bytes, fileSize, label);
  const dataStart = LENGTH_BYTES + length;
  if (bytes.byteLength < dataStart) {
    throw new CheckpointError(
      `${label}: the header has ${length} bytes, got ${bytes.byteLength - LENGTH_BYTES} of them`,
    );
  }
  const root = parseRoot(bytes.subarray(LENGTH_BYTES, dataStart), label);
  let metadata: ReadonlyMap<string, string> = new Map();
  const entries: TensorEntry[] = [];
  for (const [name, value] of root) {
    if (name === FORBIDDEN_NAME) {
      throw new CheckpointError(`${label}: the name ${FORBIDDEN_NAME} is not allowed`);
    }
    if (name === "__metadata__") metadata = parseMetadata(value, label);
    else entries.push(parseEntry(name, value, dataStart, label));
  }
  entries.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  checkCover(entries, dataStart, fileSize, label);
  return { tensors: new Map(entries.map((entry) => [entry.name, entry])), metadata };
}

function parseRoot(json: Uint8Array, label: string): ReadonlyMap<string, StrictJson> {
  let root: StrictJson;
  try {
    // Kept as it is, a byte order mark is no white space: the JSON reader refuses it.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
    root = parseStrictJson(text, { maxItems: MAX_RANK, maxKeys: MAX_KEYS, integersOnly: true });
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : "it is not valid UTF-8 text";
    throw new CheckpointError(`${label}: the header is not proper JSON: ${why}`, { cause: error });
  }
  if (!(root instanceof Map)) {
    throw new CheckpointError(`${label}: the header must be a JSON object`);
  }
  return root;
}

function parseMetadata(value: StrictJson, label: string): ReadonlyMap<string, string> {
  if (!(value instanceof Map)) {
    throw new CheckpointError(`${label}: __metadata__ must be an object of strings`);
  }
  for (const [key, text] of value) {
    if (typeof text !== "string" || key === FORBIDDEN_NAME) {
      throw new CheckpointError(
        `${label}: __metadata__ must be an object of strings; ${excerpt(key)} is not one`,
      );
    }
  }
  return value as ReadonlyMap<string, string>;
}

function parseEntry(
  name: string,
  value: StrictJson,
  dataStart: number,
  label: string,
): TensorEntry {
  const fail = (what: string): never => {
    throw new CheckpointError(`${label}: tensor ${excerpt(name)}: ${what}`);
  };
  if (!(value instanceof Map)) return fail("its entry must be an object");
  for (const key of value.keys()) {
    if (key !== "dtype" && key !== "shape" && key !== "data_offsets") {
      fail(`unknown field ${excerpt(key)}`);
    }
  }
  const dtype = value.get("dtype");
  if (!isFileDType(dtype)) return fail(describeUnread(dtype));
  const shape = value.get("shape");
  if (!isNumbers(shape)) return fail("shape must be an array of numbers");
  const offsets = value.get("data_offsets");
  if (!isNumbers(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    return fail("data_offsets must be two whole numbers >= 0");
  }
  const [begin, end] = offsets;
  if (end < begin) fail(`data_offsets [${begin}, ${end}] run backwards`);
  let bytes: number;
  try {
    bytes = elementCount(shape) * DTYPE_BYTES[dtype];
  } catch (error) {
    if (error instanceof ShapeError) return fail(error.message);
    throw error;
  }
  if (bytes !== end - begin) {
    fail(`${dtype} of shape [${shape}] needs ${bytes} bytes, its data_offsets hold ${end - begin}`);
  }
  return { name, dtype, shape, offset: dataStart + begin, byteLength: bytes };
}

/** Each tensor must start where the one before ends, and the last must end with the file. */
function checkCover(
  entries: readonly TensorEntry[],
  dataStart: number,
  fileSize: number,
  label: string,
): void {
  let end = dataStart;
  for (const { name, offset, byteLength } of entries) {
    if (offset !== end) {
      const what = offset > end ? "leaves a hole before it" : "overlaps the tensor before it";
      const got = offset - dataStart, want = end - dataStart;
      throw new CheckpointError(
        `${label}: tensor ${excerpt(name)} ${what}: starts at data byte ${got}, want ${want}`,
      );
    }
    end += byteLength;
  }
  if (end !== fileSize) {
    const need = end - dataStart, present = fileSize - dataStart;
    const what = need > present
      ? "it is truncated, fetch or save it again"
      : "the rest belongs to no tensor";
    throw new CheckpointError(
      `${label}: the tensors need ${need} bytes, ${present} are there; ${what}`,
    );
  }
}

function isNumbers(value: StrictJson | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => typeof item === "number");
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
