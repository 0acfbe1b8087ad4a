/**
 * A JSON reader for files that may be hostile. It differs from `JSON.parse` where that one is silent:
 *
 * - a key given twice is an error (`JSON.parse` keeps the last, so two readers can see two different files);
 * - objects become `Map`s, so a key such as `__proto__` or `constructor` is a key like any other;
 * - nesting, the length of arrays and the number of keys are limited, so that `[[[[...` ends in an error and not in a
 *   stack overflow;
 * - a number must be finite, and a string must be valid Unicode (no half of a surrogate pair).
 * @module
 */

/** A JSON value; objects are maps in the order of the text. */
export type StrictJson =
  | null
  | boolean
  | number
  | string
  | readonly StrictJson[]
  | ReadonlyMap<string, StrictJson>;

const MAX_DEPTH = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const INTEGER = /^-?[0-9]+$/;
const SPACE = new Set([" ", "\t", "\n", "\r"]);
// deno-lint-ignore no-control-regex -- those are what is looked for
const CONTROL = /[\u0000-\u001f]/;

/** Limits of `parseStrictJson`. */
export interface StrictJsonOptions {
  /** Most items an array may have. Default 1,000,000. */
  readonly maxItems?: number;
  /** Most keys that all objects together may have. Default 1,000,000. */
  readonly maxKeys?: number;
  /** Allow no fraction and no exponent. Default false. */
  readonly integersOnly?: boolean;
}

/**
 * Reads one JSON value that fills the whole text.
 * @throws {SyntaxError} says what is wrong and at which character
 */
export function parseStrictJson(text: string, options: StrictJsonOptions = {}): StrictJson {
  const { maxItems = 1_000_000, maxKeys = 1_000_000, integersOnly = false } = options;
  const reader = new Reader(text, maxItems, maxKeys, integersOnly);
  const value = reader.value(0);
  reader.end();
  return value;
}

/** A value from a file for an error message: as JSON, and short however long it is. */
export function excerpt(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  }
  if (typeof value === "object" && value !== null) {
    return Array.isArray(value) ? "an array" : "an object";
  }
  return String(value);
}

class Reader {
  #at = 0;
  #keys = 0;
  constructor(
    readonly text: string,
    readonly maxItems: number,
    readonly maxKeys: number,
    readonly integersOnly: boolean,
  ) {}

  value(depth: number): StrictJson {
    if (depth > MAX_DEPTH) throw this.#error(`nested deeper than ${MAX_DEPTH}`);
    this.#skipSpace();
    switch (this.text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  end(): void {
    this.#skipSpace();
    if (this.#at < this.text.length) throw this.#error("text after the value");
  }

  #object(depth: number): ReadonlyMap<string, StrictJson> {
    const object = new Map<string, StrictJson>();
    this.#at++;
    if (this.#skip("}")) return object;
    do {
      this.#skipSpace();
      const start = this.#at;
      const key = this.#string();
      if (++this.#keys > this.maxKeys) throw this.#error(`more than ${this.maxKeys} keys`, start);
      if (object.has(key)) throw this.#error(`the key ${excerpt(key)} stands twice`, start);
      if (!this.#skip(":")) throw this.#error("want ':'");
      object.set(key, this.value(depth + 1));
    } while (this.#skip(","));
    if (!this.#skip("}")) throw this.#error("want ',' or '}'");
    return object;
  }

  #array(depth: number): readonly StrictJson[] {
    const array: StrictJson[] = [];
    this.#at++;
    if (this.#skip("]")) return array;
    do {
      if (array.length === this.maxItems) {
        throw this.#error(`an array of more than ${this.maxItems} items`);
      }
      array.push(this.value(depth + 1));
    } while (this.#skip(","));
    if (!this.#skip("]")) throw this.#error("want ',' or ']'");
    return array;
  }

  #string(): string {
    const start = this.#at;
    if (this.text[start] !== '"') throw this.#error("want a string");
    const end = this.#closingQuote(start);
    const raw = this.text.slice(start, end + 1);
    if (CONTROL.test(raw)) throw this.#error("a string holds a control character", start);
    const text = raw.includes("\\") ? this.#unescape(raw, start) : raw.slice(1, -1);
    if (!text.isWellFormed()) throw this.#error("a string holds half a surrogate pair", start);
    this.#at = end + 1;
    return text;
  }

  /** Searched for by hand: one regular expression for a string runs out of stack on one of many megabytes. */
  #closingQuote(start: number): number {
    let quote = start;
    do {
      quote = this.text.indexOf('"', quote + 1);
      if (quote < 0) throw this.#error("a string has no end", start);
    } while (this.#isEscaped(quote));
    return quote;
  }

  /** Whether an odd number of backslashes stands before a character. */
  #isEscaped(at: number): boolean {
    let first = at;
    while (this.text[first - 1] === "\\") first--;
    return (at - first) % 2 === 1;
  }

  #unescape(raw: string, start: number): string {
    try {
      return JSON.parse(raw) as string;
    } catch {
      throw this.#error("a string holds an unknown escape", start);
    }
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const found = NUMBER.exec(this.text);
    if (found === null) throw this.#error("want a value");
    if (this.integersOnly && !INTEGER.test(found[0])) throw this.#error("want a whole number");
    const number = Number(found[0]);
    if (!Number.isFinite(number)) throw this.#error("a number is too large");
    this.#at = NUMBER.lastIndex;
    return number;
  }

  #word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.#at)) throw this.#error("want a value");
    this.#at += word.length;
    return value;
  }

  /** Steps over white space and `char` if it comes next. */
  #skip(char: string): boolean {
    this.#skipSpace();
    if (this.text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    while (SPACE.has(this.text[this.#at])) this.#at++;
  }

  #error(what: string, at = this.#at): SyntaxError {
    return new SyntaxError(`${what} at character ${at}`);
  }
}
