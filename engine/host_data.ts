/**
 * Between the host's arrays and tensors: nested numbers, dtypes, bytes, and the tensors inside a returned value.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import { DTypeError, ShapeError } from "./errors.ts";
import { type DType, type HostArray, Tensor } from "./tensor.ts";

/** Numbers, or arrays of them to any depth. */
export type NestedNumbers = number | readonly NestedNumbers[];

/** The bytes of a typed array, copied only where an odd number of halves must be padded to whole words. */
export function bytesOf(data: HostArray): Uint8Array<ArrayBuffer> {
  if (data.byteLength % 4 !== 0) {
    const padded = new Uint8Array(data.byteLength + 2);
    padded.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return padded;
  }
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

/**
 * Nested numbers in row-major order, and their shape.
 * @throws {DTypeError} something inside is neither a number nor an array
 * @throws {ShapeError} arrays at one depth differ in length
 */
export function fromNested(
  data: NestedNumbers,
  name: string,
): { values: number[]; shape: number[] } {
  if (typeof data === "number") return { values: [data], shape: [] };
  if (!Array.isArray(data)) {
    const got = data === null ? "null" : typeof data;
    throw new DTypeError(`${name}: needs numbers, arrays of them or a typed array, got ${got}`);
  }
  const items = data.map((item: NestedNumbers) => fromNested(item, name));
  const [first] = items;
  const odd = items.findIndex(({ shape }) => shape.join() !== first.shape.join());
  if (odd >= 0) {
    throw new ShapeError(
      `${name}: nested arrays must be of one size, item 0 has shape [${first.shape.join(", ")}] ` +
        `and item ${odd} [${items[odd].shape.join(", ")}]`,
    );
  }
  return {
    values: items.flatMap(({ values }) => values),
    shape: [data.length, ...first?.shape ?? []],
  };
}

/** The buffers of all tensors in a returned value: itself, array items and the fields of plain objects. */
export function buffersIn(
  value: unknown,
  found: Set<VirtualBuffer> = new Set(),
): Set<VirtualBuffer> {
  if (value instanceof Tensor) {
    for (const buffer of value.buffers) found.add(buffer);
  } else if (Array.isArray(value)) {
    for (const item of value) buffersIn(item, found);
  } else if (value !== null && typeof value === "object") {
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) {
      for (const item of Object.values(value)) buffersIn(item, found);
    }
  }
  return found;
}

/** Dtype of a host array. @throws {DTypeError} for other types */
export function dtypeOf(data: unknown, name: string): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof Uint32Array) return "u32";
  if (typeof Float16Array === "function" && data instanceof Float16Array) return "f16";
  throw new DTypeError(
    `${name}: needs a Float32Array, Float16Array, Int32Array or Uint32Array, got ${
      (data as object | null)?.constructor?.name ?? typeof data
    }`,
  );
}
