/**
 * IDX, the file format of MNIST and its relatives: two zero bytes, one for the element type, one for the number of
 * dimensions, a big-endian u32 a dimension, then the elements, big-endian, row-major.
 * @module
 */
import { DataError } from "../engine/errors.ts";
import { inflateGzip, isGzip } from "./gzip.ts";

/** The elements of an IDX file, in the machine's byte order. */
export type IdxElements =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Float32Array
  | Float64Array;

/** An array from an IDX file. */
export interface IdxArray {
  /** Sizes from the outermost to the innermost dimension. */
  readonly shape: readonly number[];
  /** The elements; bytes share the file's memory. */
  readonly data: IdxElements;
}

/** Element types by their code: bytes an element, and how to read one. */
const TYPES: ReadonlyMap<number, IdxType> = new Map([
  [0x08, {
    bytes: 1,
    read: (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength),
  }],
  [0x09, {
    bytes: 1,
    read: (view) => new Int8Array(view.buffer, view.byteOffset, view.byteLength),
  }],
  [0x0b, { bytes: 2, read: (view, n) => fill(new Int16Array(n), (i) => view.getInt16(2 * i)) }],
  [0x0c, { bytes: 4, read: (view, n) => fill(new Int32Array(n), (i) => view.getInt32(4 * i)) }],
  [0x0d, { bytes: 4, read: (view, n) => fill(new Float32Array(n), (i) => view.getFloat32(4 * i)) }],
  [0x0e, { bytes: 8, read: (view, n) => fill(new Float64Array(n), (i) => view.getFloat64(8 * i)) }],
]);

interface IdxType {
  readonly bytes: number;
  readonly read: (view: DataView, count: number) => IdxElements;
}

/** Most bytes an unpacked file may have. */
const MAX_BYTES = 2 ** 31;

/**
 * Reads an IDX file, packed with gzip or not.
 * @param label names the file in errors
 * @throws {DataError} it is no IDX file, truncated, has bytes left over, or is damaged
 */
export async function readIdx(bytes: Uint8Array, label = "IDX file"): Promise<IdxArray> {
  if (!isGzip(bytes)) return parseIdx(bytes, label);
  // The header says how long the file is, so a small file that unpacks without end is stopped there.
  const limit = (start: Uint8Array): number =>
    start.byteLength < 4 ? MAX_BYTES : Math.min(idxLength(start, label) ?? MAX_BYTES, MAX_BYTES);
  return parseIdx(await inflateGzip(bytes, limit, label), label);
}

/**
 * Reads an unpacked IDX file.
 * @param label names the file in errors
 * @throws {DataError} it is no IDX file, truncated, or has bytes left over
 */
export function parseIdx(bytes: Uint8Array, label = "IDX file"): IdxArray {
  const want = idxLength(bytes, label);
  const got = bytes.byteLength;
  if (want === undefined || got < want) {
    const need = want === undefined ? "more for its header" : `${want}`;
    throw new DataError(
      `${label}: has ${got} bytes, needs ${need}; it is truncated, fetch it again`,
    );
  }
  if (got > want) {
    throw new DataError(`${label}: has ${got} bytes, its header speaks of ${want}`);
  }
  const { shape, type, dataStart } = parseHeader(bytes, label)!;
  const count = (want - dataStart) / type.bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset + dataStart, want - dataStart);
  return { shape, data: type.read(view, count) };
}

/** The whole file's length in bytes by its header; undefined where the header is not complete. */
function idxLength(bytes: Uint8Array, label: string): number | undefined {
  const header = parseHeader(bytes, label);
  if (header === undefined) return undefined;
  const count = header.shape.reduce((product, size) => product * size, 1);
  const length = header.dataStart + count * header.type.bytes;
  if (!Number.isSafeInteger(length)) {
    throw new DataError(`${label}: its shape [${header.shape}] is larger than any file`);
  }
  return length;
}

function parseHeader(
  bytes: Uint8Array,
  label: string,
): { shape: number[]; type: IdxType; dataStart: number } | undefined {
  if (bytes.byteLength < 4) return undefined;
  const type = TYPES.get(bytes[2]);
  if (bytes[0] !== 0 || bytes[1] !== 0 || type === undefined || bytes[3] === 0) {
    const magic = Array.from(bytes.subarray(0, 4), (b) => b.toString(16).padStart(2, "0")).join(
      " ",
    );
    throw new DataError(
      `${label}: no IDX file: it starts with ${magic}, want 00 00 TYPE DIMENSIONS`,
    );
  }
  const dataStart = 4 + 4 * bytes[3];
  if (bytes.byteLength < dataStart) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const shape = Array.from({ length: bytes[3] }, (_, i) => view.getUint32(4 + 4 * i));
  return { shape, type, dataStart };
}

function fill<T extends Int16Array | Int32Array | Float32Array | Float64Array>(
  out: T,
  at: (index: number) => number,
): T {
  for (let i = 0; i < out.length; i++) out[i] = at(i);
  return out;
}
