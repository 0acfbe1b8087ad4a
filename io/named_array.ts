/**
 * Arrays as files hold them: an element type, a shape, and little-endian bytes. Everything that reads or writes weights
 * speaks of these, so the engine and the models know no file format, and files know no tensor.
 * @module
 */
import { CheckpointError, DTypeError, ShapeError } from "../engine/errors.ts";
import { excerpt } from "./strict_json.ts";

/**
 * Element types that wgrad reads, under their safetensors names, and their sizes in bytes. F8_E5M2 and F8_E4M3 are those
 * of the Open Compute Project (E4M3 has no infinities); the FNUZ ones have one zero, one NaN and no infinity; F8_E8M0 is
 * a bare power of two, the scale of the MX formats.
 */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E5M2FNUZ: 1,
  F8_E4M3FNUZ: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

/** The name of an element type, as safetensors writes it. */
export type FileDType = keyof typeof DTYPE_BYTES;

/** A dense row-major array of a file. */
export interface NamedArray {
  /** The element type. */
  readonly dtype: FileDType;
  /** Sizes from the outermost to the innermost dimension; [] is a scalar. */
  readonly shape: readonly number[];
  /** The elements, little-endian, without gaps; may start at any address. */
  readonly data: Uint8Array;
}

/** The typed array that holds a file's elements as they are; F16, BF16 and F8 come as their bits. */
export type ElementArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

const VIEWS = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  F8_E5M2: Uint8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2FNUZ: Uint8Array,
  F8_E4M3FNUZ: Uint8Array,
  F8_E8M0: Uint8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
} as const;

/** The file type whose elements a typed array holds. */
const TYPE_OF: ReadonlyMap<string, FileDType> = new Map([
  ["Float32Array", "F32"],
  ["Float64Array", "F64"],
  ["Int8Array", "I8"],
  ["Int16Array", "I16"],
  ["Int32Array", "I32"],
  ["BigInt64Array", "I64"],
  ["Uint8Array", "U8"],
  ["Uint16Array", "U16"],
  ["Uint32Array", "U32"],
  ["BigUint64Array", "U64"],
]);

/** Element types of safetensors that wgrad does not read, and why. */
const UNREAD: ReadonlyMap<unknown, string> = new Map([
  ["F4", "its elements are smaller than a byte"],
  ["F6_E2M3", "its elements are smaller than a byte"],
  ["F6_E3M2", "its elements are smaller than a byte"],
  ["C64", "its elements are complex numbers"],
]);

/** What is wrong with the name of an element type that `isFileDType` refuses, and what can be read. */
export function describeUnread(name: unknown): string {
  const known = `wgrad reads ${Object.keys(DTYPE_BYTES).join(", ")}`;
  const why = UNREAD.get(name);
  return why === undefined
    ? `unknown dtype ${excerpt(name)}; ${known}`
    : `dtype ${name} is not read, as ${why}; ${known}`;
}

/** Whether a string names an element type that wgrad reads. */
export function isFileDType(name: unknown): name is FileDType {
  return typeof name === "string" && Object.hasOwn(DTYPE_BYTES, name);
}

/**
 * How many elements a shape has.
 * @throws {ShapeError} a size is not a whole number >= 0, or the product passes 2^53
 */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0 || Object.is(size, -0)) {
      throw new ShapeError(`shape [${shape}]: ${size} is not a whole number >= 0`);
    }
    count *= size;
    if (!Number.isSafeInteger(count)) {
      throw new ShapeError(`shape [${shape}] has more than 2^53 elements`);
    }
  }
  return count;
}

/**
 * An array from a typed array, sharing its memory. The element type is the typed array's own; name another of the same
 * element size for bits (a Uint16Array as "BF16").
 * @throws {ShapeError} the shape does not hold as many elements
 * @throws {DTypeError} the typed array cannot hold that element type
 */
export function namedArray(
  values: ElementArray,
  shape: readonly number[] = [values.length],
  dtype?: FileDType,
): NamedArray {
  const own = TYPE_OF.get(values.constructor.name);
  const type = dtype ?? own;
  if (type === undefined || !(values instanceof VIEWS[type])) {
    throw new DTypeError(
      `namedArray: ${values.constructor.name} cannot hold ${type ?? "an element type of a file"}`,
    );
  }
  if (elementCount(shape) !== values.length) {
    throw new ShapeError(`namedArray: shape [${shape}] does not fit ${values.length} elements`);
  }
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { dtype: type, shape: [...shape], data };
}

/**
 * The elements as they are, in the file's own type; shares the bytes where their address allows it.
 * @throws {CheckpointError} the bytes do not fit the shape
 */
export function elementsOf(array: NamedArray): ElementArray {
  const { dtype, shape, data } = array;
  const size = DTYPE_BYTES[dtype];
  const count = elementCount(shape);
  if (data.byteLength !== count * size) {
    throw new CheckpointError(
      `${dtype} array of shape [${shape}] needs ${count * size} bytes, has ${data.byteLength}`,
    );
  }
  const aligned = data.byteOffset % size === 0 ? data : data.slice();
  return new VIEWS[dtype](aligned.buffer as ArrayBuffer, aligned.byteOffset, count);
}
