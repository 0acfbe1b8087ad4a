/**
 * Assertions that need nothing but the language, so that they run unchanged in Deno and in a browser.
 * @module
 */

/** Thrown by every assertion of this file. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Arrays of numbers that can be compared element by element. */
type Numbers = ArrayLike<number>;
// deno-lint-ignore no-explicit-any -- any[] is what TypeScript asks of a constructor constraint
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Fails unless `condition` is truthy. */
export function assert(condition: unknown, message = "expected a truthy value"): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/**
 * Fails unless both values are the same in depth: primitives, arrays, typed arrays, array buffers, maps, sets, dates,
 * errors (class and message) and plain objects. NaN equals NaN; 0 equals -0 (compare bit patterns to tell them apart).
 */
export function assertEquals(got: unknown, want: unknown, message?: string): void {
  const where = difference(got, want, "value");
  if (where !== undefined) throw new AssertionError(message ? `${message}: ${where}` : where);
}

/** The first place where two values differ, in words; undefined where there is none. */
function difference(got: unknown, want: unknown, path: string): string | undefined {
  if (got === want || (Number.isNaN(got) && Number.isNaN(want))) return undefined;
  const differ = `${path} is ${show(got)}, want ${show(want)}`;
  if (typeof got !== "object" || typeof want !== "object" || got === null || want === null) {
    return differ;
  }
  if (Object.getPrototypeOf(got) !== Object.getPrototypeOf(want)) {
    return `${path} is a ${kindOf(got)}, want a ${kindOf(want)}`;
  }
  if (got instanceof ArrayBuffer && want instanceof ArrayBuffer) {
    return difference(new Uint8Array(got), new Uint8Array(want), path);
  }
  if (got instanceof DataView && want instanceof DataView) {
    const bytes = (view: DataView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    return difference(bytes(got), bytes(want), path);
  }
  if (isList(got) && isList(want)) return listDifference(got, want, path);
  if (got instanceof Map && want instanceof Map) {
    return difference([...got.entries()], [...want.entries()], `${path} (entries)`);
  }
  if (got instanceof Set && want instanceof Set) {
    return difference([...got], [...want], `${path} (members)`);
  }
  if (got instanceof Date && want instanceof Date) {
    return difference(got.getTime(), want.getTime(), `${path} (time)`);
  }
  if (got instanceof Error && want instanceof Error) {
    return difference(got.message, want.message, `${path}.message`);
  }
  return objectDifference(got, want, path);
}

function listDifference(
  got: ArrayLike<unknown>,
  want: ArrayLike<unknown>,
  path: string,
): string | undefined {
  if (got.length !== want.length) {
    return `${path} has length ${got.length}, want ${want.length}: ${show(got)}, want ${
      show(want)
    }`;
  }
  for (let i = 0; i < want.length; i++) {
    const found = difference(got[i], want[i], `${path}[${i}]`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function objectDifference(got: object, want: object, path: string): string | undefined {
  const gotKeys = Object.keys(got).sort(), wantKeys = Object.keys(want).sort();
  const keys = listDifference(gotKeys, wantKeys, `${path} (keys)`);
  if (keys !== undefined) return keys;
  for (const key of wantKeys) {
    const found = difference(Reflect.get(got, key), Reflect.get(want, key), `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isList(value: object): value is ArrayLike<unknown> {
  return Array.isArray(value) || ArrayBuffer.isView(value);
}

function kindOf(value: object): string {
  return value.constructor?.name ?? "object without a class";
}

/** A value in at most about 120 characters. */
function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  const list = isList(value);
  const head = list ? Array.from(value).slice(0, 8).map(show).join(", ") : JSON.stringify(value);
  const text = list ? `${kindOf(value)} [${head}${value.length > 8 ? ", ..." : ""}]` : head;
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** Fails unless `fn` throws; checks class and part of the message where given, and returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  messagePart = "",
): E {
  let value: unknown;
  try {
    value = fn();
  } catch (error) {
    return checkedError(error, errorClass, messagePart);
  }
  // An async function never throws here: say so, instead of leaving its rejection to nobody.
  if (value instanceof Promise) {
    value.catch(() => {});
    throw new AssertionError("expected a throw, got a promise: use assertRejects");
  }
  throw new AssertionError(`expected a throw of ${nameOf(errorClass)}, nothing was thrown`);
}

/** Fails unless `fn` rejects (or throws); checks class and part of the message where given, and returns the error. */
export async function assertRejects<E extends Error = Error>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  messagePart = "",
): Promise<E> {
  try {
    await fn();
  } catch (error) {
    return checkedError(error, errorClass, messagePart);
  }
  throw new AssertionError(`expected a rejection with ${nameOf(errorClass)}, it resolved`);
}

function nameOf(errorClass: { name: string } | undefined): string {
  return errorClass?.name ?? "an error";
}

function checkedError<E extends Error>(
  error: unknown,
  errorClass: ErrorClass<E> | undefined,
  messagePart: string,
): E {
  const got = error instanceof Error ? `${error.constructor.name}: ${error.message}` : show(error);
  if (!(error instanceof (errorClass ?? Error))) {
    throw new AssertionError(`expected ${nameOf(errorClass)}, got ${got}`, { cause: error });
  }
  if (!error.message.includes(messagePart)) {
    throw new AssertionError(`expected a message with ${show(messagePart)}, got ${got}`, {
      cause: error,
    });
  }
  return error as E;
}

/** How far two numbers may be apart: `|got - want| <= atol + rtol * |want|`. Both are 0 unless given. */
export interface Tolerance {
  /** Absolute part, in the unit of the values. Default 0. */
  readonly atol?: number;
  /** Part relative to the wanted value. Default 0. */
  readonly rtol?: number;
  /** What is compared; begins the message. */
  readonly name?: string;
}

/**
 * Fails unless all numbers agree within a tolerance. NaN agrees only with NaN and an infinity only with itself; the
 * lengths must be equal. The message counts what is off and shows the worst.
 */
export function assertClose(got: Numbers, want: Numbers, tolerance: Tolerance): void {
  const { atol = 0, rtol = 0, name = "values" } = tolerance;
  if (!(atol >= 0) || !(rtol >= 0)) {
    throw new AssertionError(`${name}: tolerances must be 0 or more, got ${atol} and ${rtol}`);
  }
  if (got.length !== want.length) {
    throw new AssertionError(`${name}: ${got.length} values, want ${want.length}`);
  }
  let off = 0, worst = -1, worstExcess = 0;
  for (let i = 0; i < want.length; i++) {
    const excess = excessOver(got[i], want[i], atol, rtol);
    if (excess <= 0) continue;
    off++;
    if (excess > worstExcess) [worst, worstExcess] = [i, excess];
  }
  if (off === 0) return;
  throw new AssertionError(
    `${name}: ${off} of ${want.length} off by more than atol ${atol} + rtol ${rtol}; ` +
      `worst at index ${worst}: got ${got[worst]}, want ${want[worst]} ` +
      `(off by ${Math.abs(got[worst] - want[worst])})`,
  );
}

/** By how much a number is beyond its tolerance; 0 or less is within, infinite where no tolerance could help. */
function excessOver(got: number, want: number, atol: number, rtol: number): number {
  if (Number.isNaN(want)) return Number.isNaN(got) ? 0 : Infinity;
  if (Number.isNaN(got)) return Infinity;
  if (got === want) return 0;
  if (!Number.isFinite(got) || !Number.isFinite(want)) return Infinity;
  return Math.abs(got - want) - (atol + rtol * Math.abs(want));
}
