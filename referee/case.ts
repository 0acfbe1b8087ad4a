/**
 * A golden case with its tensors: what a runner of one kind of case works from.
 * @module
 */
import { DataError } from "../engine/errors.ts";
import type { Device } from "../engine/device.ts";
import type { Tensor } from "../engine/tensor.ts";
import { elementsOf, type NamedArray } from "../io/named_array.ts";
import { readSafetensors } from "../io/safetensors.ts";
import type { JsonObject, JsonValue } from "../io/json.ts";
import type { CaseEntry } from "./manifest.ts";

/** What a runner computed, by the full name of the stored tensor: `output.y`, `grad.param.phi`. */
export type Results = Map<string, ArrayLike<number>>;

/** A case that wgrad has no code for, or a setting that it does not know. Always reported as a failure. */
export class NotUnderstoodError extends Error {
  /** The class name. */
  override readonly name = "NotUnderstoodError";
}

/** A case in memory. */
export class GoldenCase {
  /** Its name, for messages. */
  readonly name: string;
  /** Settings of the layer or model. */
  readonly config: CaseConfig;
  /** Names and lists beside the tensors. */
  readonly data: JsonObject;
  readonly #tensors: ReadonlyMap<string, NamedArray>;

  private constructor(
    /** Its part of the manifest. */ readonly entry: CaseEntry,
    tensors: ReadonlyMap<string, NamedArray>,
  ) {
    this.#tensors = tensors;
    this.name = entry.name;
    this.config = new CaseConfig(entry.name, entry.config);
    this.data = entry.data;
  }

  /**
   * Reads a case's file and checks it against the manifest.
   * @throws {DataError} a tensor is missing or has another dtype or shape
   * @throws {CheckpointError} the file is no safetensors file
   */
  static async read(entry: CaseEntry, bytes: Uint8Array): Promise<GoldenCase> {
    const { tensors } = await readSafetensors(bytes);
    for (const { name, dtype, shape } of entry.tensors) {
      const found = tensors.get(name);
      if (found === undefined) throw new DataError(`${entry.file}: there is no tensor ${name}`);
      if (found.dtype !== dtype || found.shape.join() !== shape.join()) {
        throw new DataError(
          `${entry.file}: ${name} is ${found.dtype}[${found.shape}], the manifest says ` +
            `${dtype}[${shape}]`,
        );
      }
    }
    return new GoldenCase(entry, tensors);
  }

  /** True when the case has this tensor. */
  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** The names that begin with a prefix, without it, in the order of the file. */
  namesUnder(prefix: string): string[] {
    return this.entry.tensors.filter(({ name }) => name.startsWith(prefix))
      .map(({ name }) => name.slice(prefix.length));
  }

  /** A tensor's shape. @throws {DataError} there is none */
  shape(name: string): readonly number[] {
    return this.#array(name).shape;
  }

  /** The values of an F32 tensor. @throws {DataError} there is none */
  floats(name: string): Float32Array {
    const values = elementsOf(this.#array(name));
    if (!(values instanceof Float32Array)) throw new DataError(`${this.name}: ${name} is not F32`);
    return values;
  }

  /** The values of an I32 tensor. @throws {DataError} there is none */
  ints(name: string): Int32Array {
    const values = elementsOf(this.#array(name));
    if (!(values instanceof Int32Array)) throw new DataError(`${this.name}: ${name} is not I32`);
    return values;
  }

  /** The values of a tensor of either type. @throws {DataError} there is none */
  values(name: string): Float32Array | Int32Array {
    return this.#array(name).dtype === "F32" ? this.floats(name) : this.ints(name);
  }

  /** A tensor on the device; it asks for a gradient where the case stores one. */
  upload(device: Device, name: string): Tensor {
    const requiresGrad = this.has(`grad.${name}`);
    return device.tensor(this.values(name), this.shape(name), { requiresGrad, label: name });
  }

  #array(name: string): NamedArray {
    const array = this.#tensors.get(name);
    if (array === undefined) throw new DataError(`${this.name}: there is no tensor ${name}`);
    return array;
  }
}

/** A case's settings, read by name with the type they must have. */
export class CaseConfig {
  readonly #where: string;
  readonly #values: JsonObject;

  /** Wraps settings; `where` names them in errors. */
  constructor(where: string, values: JsonObject) {
    this.#where = where;
    this.#values = values;
  }

  /** True when the case has this setting, and not as null. */
  has(key: string): boolean {
    return this.#values[key] !== undefined && this.#values[key] !== null;
  }

  /** A number. @throws {DataError} it is missing (and has no default) or of another type */
  number(key: string, fallback?: number): number {
    return this.#read(key, fallback, (v) => typeof v === "number" ? v : undefined, "a number");
  }

  /** True or false. @throws {DataError} it is missing (and has no default) or of another type */
  flag(key: string, fallback?: boolean): boolean {
    return this.#read(
      key,
      fallback,
      (v) => typeof v === "boolean" ? v : undefined,
      "true or false",
    );
  }

  /** A text. @throws {DataError} it is missing (and has no default) or of another type */
  text(key: string, fallback?: string): string {
    return this.#read(key, fallback, (v) => typeof v === "string" ? v : undefined, "a text");
  }

  /** A list of numbers. @throws {DataError} it is missing (and has no default) or of another type */
  numbers(key: string, fallback?: readonly number[]): readonly number[] {
    const read = (v: JsonValue) =>
      Array.isArray(v) && v.every((x) => typeof x === "number") ? v as number[] : undefined;
    return this.#read(key, fallback, read, "a list of numbers");
  }

  /** An object of settings. @throws {DataError} it is missing or of another type */
  object(key: string): CaseConfig {
    const isObject = (v: JsonValue) =>
      typeof v === "object" && v !== null && !Array.isArray(v) ? v as JsonObject : undefined;
    return new CaseConfig(
      `${this.#where}: ${key}`,
      this.#read(key, undefined, isObject, "an object"),
    );
  }

  /** All of it, as it stands in the manifest. */
  get json(): JsonObject {
    return this.#values;
  }

  #read<T>(
    key: string,
    fallback: T | undefined,
    convert: (value: JsonValue) => T | undefined,
    what: string,
  ): T {
    const value = this.#values[key];
    const result = value === undefined || value === null ? fallback : convert(value);
    if (result === undefined) {
      throw new DataError(`${this.#where}: ${key} is ${JSON.stringify(value)}, needs ${what}`);
    }
    return result;
  }
}
