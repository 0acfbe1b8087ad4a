/**
 * Plain JSON values: what a checkpoint's settings are made of.
 * @module
 */
import { excerpt, type StrictJson } from "./strict_json.ts";

/** A JSON value made of plain objects and arrays. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** A JSON object. */
export type JsonObject = { readonly [key: string]: JsonValue };

/** Whether a value is a plain object, not an array. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The text of a JSON value. Unlike `JSON.stringify` it refuses what would come back as something else: NaN, infinities,
 * undefined, bigints and class instances.
 * @throws {TypeError} names where in the value it stands
 */
export function stringifyStrict(value: JsonValue, path: string): string {
  check(value, path);
  return JSON.stringify(value);
}

function check(value: unknown, path: string): void {
  if (value === null || typeof value === "boolean" || typeof value === "string") return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(value[i], `${path}[${i}]`);
    return;
  }
  if (typeof value === "object" && isPlain(value)) {
    for (const [key, item] of Object.entries(value)) check(item, `${path}.${key}`);
    return;
  }
  const kind = typeof value === "object" ? value?.constructor?.name : String(value);
  throw new TypeError(`${path} is ${kind}, which JSON cannot hold`);
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Plain objects for the maps of `parseStrictJson`.
 * @throws {SyntaxError} a key is `__proto__`, which some later copy would take for the object's prototype
 */
export function toPlainJson(value: StrictJson): JsonValue {
  if (value instanceof Map) {
    if (value.has("__proto__")) throw new SyntaxError(`the key ${excerpt("__proto__")}`);
    return Object.fromEntries([...value].map(([key, item]) => [key, toPlainJson(item)]));
  }
  return Array.isArray(value) ? value.map(toPlainJson) : value as JsonValue;
}
