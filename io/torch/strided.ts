/**
 * Tensors as views: element (i0, i1, …) of a tensor is element `offset + i0 * stride0 + i1 * stride1 + …` of its storage.
 * A transposed matrix, a slice or an expanded row share their storage's bytes in this way, and are saved so.
 *
 * Reading one makes a dense row-major array. Bytes that lie in a row in the storage are read as they are; else the
 * dimensions are walked from the largest stride to the smallest, which visits the storage from its start to its end, and
 * a window moves along. So the host holds the tensor and a window, however large the storage is. (A view that overlaps
 * itself otherwise than by a stride of 0 would make the window jump: its part of the storage is held whole, up to a bound.)
 * @module
 */
import { CheckpointError, ShapeError } from "../../engine/errors.ts";
import { type ByteSource, readExactly } from "../byte_source.ts";
import { elementCount } from "../named_array.ts";

/** A view of a storage; offset and strides count elements. */
export interface View {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/** Bytes of the window. */
const WINDOW = 1 << 20;
/** Most bytes of a storage that a view may go over again and again; those are held at once. */
const MAX_OVERLAP = 64 << 20;

/**
 * Checks that a view lies inside of its storage.
 * @param length elements of the storage
 * @param bytes bytes of an element
 * @returns how many elements the tensor has
 * @throws {CheckpointError} it does not, a number is negative, it has more than 2^53 elements, or overlaps itself in a
 * way that is not read
 */
export function checkView(view: View, length: number, bytes: number): number {
  const { shape, strides, offset } = view;
  const shown = `shape [${shape}] with strides [${strides}] from element ${offset}`;
  let count: number;
  try {
    count = elementCount(shape);
  } catch (error) {
    if (error instanceof ShapeError) throw new CheckpointError(error.message);
    throw error;
  }
  if (offset < 0 || strides.some((stride) => stride < 0)) {
    throw new CheckpointError(`${shown}: offset and strides must not be negative`);
  }
  const last = offset + shape.reduce((sum, size, i) => sum + (size - 1) * strides[i], 0);
  if (count > 0 && last >= length) {
    throw new CheckpointError(
      `${shown} reaches element ${last} of a storage with ${length} elements`,
    );
  }
  if (count > 0 && (last - offset + 1) * bytes > MAX_OVERLAP && goesBack(byFallingStride(view))) {
    throw new CheckpointError(
      `${shown}: goes over more than ${MAX_OVERLAP} bytes again and again, which is not read`,
    );
  }
  return count;
}

/**
 * Reads a view as a dense row-major array.
 * @param view one that `checkView` passed
 * @param bytes bytes of an element
 * @throws {CheckpointError} the source fails
 */
export async function readView(source: ByteSource, view: View, bytes: number): Promise<Uint8Array> {
  const count = elementCount(view.shape);
  if (count === 0) return new Uint8Array(0);
  if (isDense(view)) return await readExactly(source, view.offset * bytes, count * bytes);
  const out = new Uint8Array(count * bytes);
  const steps = byFallingStride(view);
  const windowSize = goesBack(steps) ? MAX_OVERLAP : WINDOW;
  const place = steps.map(() => 0);
  let from = view.offset, to = 0; // element in the storage, element in the tensor
  let window: Uint8Array = new Uint8Array(0), start = 0;
  for (let done = 0; done < count; done++) {
    if (from * bytes < start || (from + 1) * bytes > start + window.length) {
      start = from * bytes;
      window = await readExactly(source, start, Math.min(windowSize, source.size - start));
    }
    const at = from * bytes - start;
    for (let i = 0; i < bytes; i++) out[to * bytes + i] = window[at + i];
    for (let d = steps.length - 1; d >= 0; d--) { // the next place, as an odometer turns
      const { size, stride, pace } = steps[d];
      from += stride;
      to += pace;
      if (++place[d] < size) break;
      from -= size * stride;
      to -= size * pace;
      place[d] = 0;
    }
  }
  return out;
}

/** Whether the elements lie in the storage as in the tensor, without gaps. A dimension of size 1 has any stride. */
function isDense({ shape, strides }: View): boolean {
  const paces = rowMajor(shape);
  return shape.every((size, i) => size === 1 || strides[i] === paces[i]);
}

/** A dimension: how often and how far it moves in the storage (`stride`) and in the tensor (`pace`), in elements. */
interface Step {
  readonly size: number;
  readonly stride: number;
  readonly pace: number;
}

/**
 * Whether the walk ever moves backwards: the inner dimensions together reach further than a step of an outer one. That
 * is so for sliding windows, not for what transposing, slicing and expanding make.
 */
function goesBack(steps: readonly Step[]): boolean {
  let reach = 0;
  for (const { size, stride } of steps.toReversed()) {
    if (stride < reach) return true;
    reach += (size - 1) * stride;
  }
  return false;
}

/** The dimensions with more than one place, largest stride first. */
function byFallingStride({ shape, strides }: View): readonly Step[] {
  const paces = rowMajor(shape);
  return shape
    .map((size, i) => ({ size, stride: strides[i], pace: paces[i] }))
    .filter(({ size }) => size > 1)
    .sort((a, b) => b.stride - a.stride || b.pace - a.pace);
}

/** The strides of a dense row-major array. */
function rowMajor(shape: readonly number[]): readonly number[] {
  const paces = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) paces[i] = paces[i + 1] * shape[i + 1];
  return paces;
}
