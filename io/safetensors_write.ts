/**
 * Writing safetensors files, whole or as a stream of chunks.
 *
 * The bytes depend on the content alone: metadata is sorted by key, tensors by element size (largest first, so that
 * each lies at a multiple of its own size) and then by name, and the header is padded with spaces to a multiple of 8.
 * @module
 */
import { CheckpointError, ShapeError } from "../engine/errors.ts";
import {
  DTYPE_BYTES,
  elementCount,
  type FileDType,
  isFileDType,
  type NamedArray,
} from "./named_array.ts";
import { LENGTH_BYTES, MAX_HEADER_BYTES } from "./safetensors_header.ts";
import { excerpt } from "./strict_json.ts";

/** A tensor to be written, whose bytes may be fetched only when their turn comes. */
export interface TensorToWrite {
  /** The element type. */
  readonly dtype: FileDType;
  /** Sizes from the outermost to the innermost dimension; [] is a scalar. */
  readonly shape: readonly number[];
  /** The little-endian bytes, or a function that gets them, such as a read from the GPU. */
  readonly data: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

/** Tensors by name: a map, or any list of pairs. */
export type TensorsToWrite = Iterable<readonly [name: string, tensor: TensorToWrite]>;

/** Strings that go into `__metadata__`. */
export type MetadataToWrite = Iterable<readonly [key: string, value: string]>;

/**
 * A safetensors file in memory.
 * @throws {CheckpointError} a name, type or size that a file cannot hold
 */
export function writeSafetensors(
  tensors: Iterable<readonly [name: string, array: NamedArray]>,
  metadata: MetadataToWrite = [],
): Uint8Array<ArrayBuffer> {
  const { header, order, dataBytes } = layOut(tensors, metadata);
  const file = new Uint8Array(header.byteLength + dataBytes);
  file.set(header);
  let at = header.byteLength;
  for (const [name, tensor] of order) {
    const bytes = checkBytes(name, tensor, tensor.data);
    file.set(bytes, at);
    at += bytes.byteLength;
  }
  return file;
}

/**
 * A safetensors file as chunks: the header, then one chunk a tensor, fetched when the one before was taken. All names,
 * types and shapes are checked before the first chunk.
 * @throws {CheckpointError} a name, type or size that a file cannot hold
 */
export async function* streamSafetensors(
  tensors: TensorsToWrite,
  metadata: MetadataToWrite = [],
): AsyncGenerator<Uint8Array> {
  const { header, order } = layOut(tensors, metadata);
  yield header;
  for (const [name, tensor] of order) {
    const { data } = tensor;
    yield checkBytes(name, tensor, typeof data === "function" ? await data() : data);
  }
}

interface Layout<T> {
  readonly header: Uint8Array;
  readonly order: readonly (readonly [string, T])[];
  readonly dataBytes: number;
}

function layOut<T extends TensorToWrite>(
  tensors: Iterable<readonly [string, T]>,
  metadata: MetadataToWrite,
): Layout<T> {
  const order = [...tensors].sort(([nameA, a], [nameB, b]) =>
    DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || compare(nameA, nameB)
  );
  const fields: string[] = [];
  const strings = [...metadata].sort(([a], [b]) => compare(a, b));
  if (strings.length > 0) {
    const pairs = strings.map(([key, value]) => `${quote(key)}:${quote(value)}`);
    checkDistinct(strings, "metadata key");
    fields.push(`"__metadata__":{${pairs.join(",")}}`);
  }
  checkDistinct(order, "tensor name");
  let dataBytes = 0;
  for (const [name, tensor] of order) {
    if (name === "__metadata__") {
      throw new CheckpointError(`writeSafetensors: "__metadata__" cannot name a tensor`);
    }
    const begin = dataBytes;
    dataBytes += byteLength(name, tensor);
    const place = `"data_offsets":[${begin},${dataBytes}]`;
    fields.push(`${quote(name)}:{"dtype":"${tensor.dtype}","shape":[${tensor.shape}],${place}}`);
  }
  return { header: encodeHeader(`{${fields.join(",")}}`), order, dataBytes };
}

/** The length field and the JSON, padded with spaces so that the data starts at a multiple of 8. */
function encodeHeader(json: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  const length = Math.ceil(text.byteLength / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new CheckpointError(
      `writeSafetensors: a header of ${length} bytes, the limit is ${MAX_HEADER_BYTES}`,
    );
  }
  const header = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, LENGTH_BYTES);
  return header;
}

function byteLength(name: string, tensor: TensorToWrite): number {
  if (!isFileDType(tensor.dtype)) {
    throw new CheckpointError(
      `writeSafetensors: ${excerpt(name)} has the unknown dtype ${excerpt(tensor.dtype)}`,
    );
  }
  try {
    return elementCount(tensor.shape) * DTYPE_BYTES[tensor.dtype];
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new CheckpointError(`writeSafetensors: ${excerpt(name)}: ${error.message}`);
  }
}

function checkBytes(name: string, tensor: TensorToWrite, bytes: Uint8Array): Uint8Array {
  const want = byteLength(name, tensor);
  if (bytes.byteLength !== want) {
    throw new CheckpointError(
      `writeSafetensors: ${excerpt(name)} (${tensor.dtype} of shape [${tensor.shape}]) needs ` +
        `${want} bytes, got ${bytes.byteLength}`,
    );
  }
  return bytes;
}

function checkDistinct(sorted: readonly (readonly [string, unknown])[], what: string): void {
  const seen = new Set<string>();
  for (const [name] of sorted) {
    if (seen.has(name)) {
      throw new CheckpointError(`writeSafetensors: the ${what} ${excerpt(name)} is given twice`);
    }
    seen.add(name);
  }
}

/** A JSON string that our reader, and any other, takes back as it was. */
function quote(text: string): string {
  if (text === "__proto__" || !text.isWellFormed()) {
    throw new CheckpointError(`writeSafetensors: ${excerpt(text)} cannot stand in a file`);
  }
  return JSON.stringify(text);
}

/** By UTF-16 unit: the same on every machine, unlike an order that follows the user's language. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
