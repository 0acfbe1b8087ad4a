/**
 * Reading safetensors files tensor by tensor, from bytes in memory or from any source that can hand out ranges (a file,
 * HTTP range requests, a Blob), so that the host never holds more than the header and the largest tensor.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import { asSource, type Bytes, type ByteSource, readExactly } from "./byte_source.ts";
import type { NamedArray } from "./named_array.ts";
import {
  headerLength,
  LENGTH_BYTES,
  parseSafetensorsHeader,
  type TensorEntry,
} from "./safetensors_header.ts";
import { excerpt } from "./strict_json.ts";

/** All of a safetensors file. */
export interface SafetensorsContent {
  /** The arrays by name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, NamedArray>;
  /** The file's `__metadata__` strings, empty where there are none. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** An open safetensors file: its header is read and checked, its tensors are read when asked for. */
export class SafetensorsReader {
  /** Where each tensor lies, by name, in the order of the file. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  /** The file's `__metadata__` strings, empty where there are none. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly #source: ByteSource;

  private constructor(
    source: ByteSource,
    entries: ReadonlyMap<string, TensorEntry>,
    metadata: ReadonlyMap<string, string>,
  ) {
    this.#source = source;
    this.entries = entries;
    this.metadata = metadata;
  }

  /**
   * Reads and checks the header.
   * @throws {CheckpointError} the file is no safetensors file, truncated, or hostile
   */
  static async open(from: Bytes): Promise<SafetensorsReader> {
    const source = asSource(from);
    const label = source.label ?? "safetensors";
    const start = await readExactly(source, 0, Math.min(LENGTH_BYTES, source.size));
    const length = headerLength(start, source.size, label);
    const bytes = await readExactly(source, 0, LENGTH_BYTES + length);
    const { tensors, metadata } = parseSafetensorsHeader(bytes, source.size, label);
    return new SafetensorsReader(source, tensors, metadata);
  }

  /**
   * Reads one tensor.
   * @throws {CheckpointError} there is none of this name, or its bytes cannot be read
   */
  async read(name: string): Promise<NamedArray> {
    const entry = this.entries.get(name);
    if (entry === undefined) {
      const label = this.#source.label ?? "safetensors";
      throw new CheckpointError(
        `${label}: there is no tensor ${excerpt(name)} among its ${this.entries.size}`,
      );
    }
    const { dtype, shape, offset, byteLength } = entry;
    return { dtype, shape, data: await readExactly(this.#source, offset, byteLength) };
  }

  /** Reads the tensors one after the other, in the order of the file. */
  async *[Symbol.asyncIterator](): AsyncGenerator<[name: string, array: NamedArray]> {
    for (const name of this.entries.keys()) yield [name, await this.read(name)];
  }
}

/**
 * Reads a whole safetensors file. From a Uint8Array the arrays share its memory.
 * @throws {CheckpointError} the file is no safetensors file, truncated, or hostile
 */
export async function readSafetensors(from: Bytes): Promise<SafetensorsContent> {
  const reader = await SafetensorsReader.open(from);
  const tensors = new Map<string, NamedArray>();
  for await (const [name, array] of reader) tensors.set(name, array);
  return { tensors, metadata: reader.metadata };
}
