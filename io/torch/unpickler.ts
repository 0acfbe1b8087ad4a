/**
 * A data-only unpickler: it reads Python's pickle format and can build plain data, what its user's list of constructors
 * builds, and nothing else. No name of the file is ever looked up, no function of the file's choosing is ever called.
 *
 * A pickle is a program for a small stack machine. Most instructions push a value or collect the values above a mark into
 * a container; GLOBAL pushes the name of a class or function, REDUCE "calls" the name below a tuple of arguments, and the
 * memo keeps values for use in several places. Here a "call" of a name that is on no list pushes a `PyUnknown`, an inert
 * stand-in that swallows its arguments.
 *
 * Written here because no package on npm is strict enough: pickleparser 0.2.1, the one that is kept, calls what its name
 * resolver gives with the file's arguments, hands Python dicts out as JavaScript objects with the file's keys, and has no
 * bound on anything.
 *
 * Bounds: instructions (and so the stack), objects, memo, marks, names, lengths of names and integers. Every instruction takes
 * a time that depends only on the bytes that it reads and the values that it takes from the stack, so a hostile pickle
 * costs no more than an honest one of its length. Nothing here recurses, so nesting costs no stack; who walks the result
 * must expect any depth, and cycles.
 *
 * Left out are the text instructions of protocol 0 and the extension registry, neither of which `torch.save` can write.
 * Format: CPython's Lib/pickletools.py.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import { excerpt } from "../strict_json.ts";
import {
  describeValue,
  PyBytes,
  PyDict,
  PyFloat,
  PyGlobal,
  PyList,
  PySet,
  PyTuple,
  PyUnknown,
  type PyValue,
} from "./pickle_values.ts";

/** Most instructions of a pickle. One tensor of a state dict takes about 40. */
export const MAX_INSTRUCTIONS = 5_000_000;
/** Most values that cost memory and time of their own: containers, strings, names. One tensor takes about 8. */
const MAX_OBJECTS = 1_000_000;
/** Most values kept in the memo. One tensor takes about 10. */
const MAX_MEMO = 1_000_000;
/** Most marks open at a time: the nesting of containers that are being filled. */
const MAX_MARKS = 1000;
/** Most names of classes and functions. A pickler writes each name once. */
const MAX_NAMES = 10_000;
/** Longest of them in bytes. */
const MAX_NAME = 1000;
/** Longest integer in bytes or digits. PyTorch's own magic number has 10 bytes. */
const MAX_INTEGER = 64;
const HIGHEST_PROTOCOL = 5;
const STOP = 0x2e;

/** What the unpickler builds besides plain data. */
export interface PickleConstructors {
  /** Called for REDUCE with the arguments: the functions and classes that are known, by full name. */
  readonly known: ReadonlyMap<string, (args: readonly PyValue[]) => PyValue>;
  /** Called for BINPERSID: what the file keeps outside of the pickle. */
  readonly persistent: (id: PyValue) => PyValue;
}

/** The pickle goes on beyond the bytes that are there. */
export class PickleTruncatedError extends CheckpointError {}

/**
 * Reads one pickle.
 * @param bytes starts with the pickle; what follows it is not looked at
 * @returns the value, and how many bytes the pickle has
 * @throws {PickleTruncatedError} it does not end within `bytes`
 * @throws {CheckpointError} it is malformed, beyond a bound, or a constructor refused its arguments
 */
export function unpickle(
  bytes: Uint8Array,
  constructors: PickleConstructors,
): { value: PyValue; length: number } {
  const machine = new Machine(bytes, constructors);
  const value = machine.run();
  return { value, length: machine.at };
}

const EMPTY_TUPLE = new PyTuple([]);
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Machine {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #constructors: PickleConstructors;
  readonly #stack: PyValue[] = [];
  /** Heights of the stack at the marks that are open; what lies below the last one is out of reach. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PyValue>();
  #objects = 0;
  #names = 0;

  constructor(bytes: Uint8Array, constructors: PickleConstructors) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#constructors = constructors;
  }

  run(): PyValue {
    for (let count = 0; count < MAX_INSTRUCTIONS; count++) {
      const code = this.#u8();
      if (code === STOP) return this.#result();
      this.#execute(code);
    }
    throw this.#error(`more than ${MAX_INSTRUCTIONS} instructions`);
  }

  #result(): PyValue {
    const value = this.#pop();
    if (this.#stack.length > 0) throw this.#error("values are left over at its end");
    return value;
  }

  /** One instruction; the names are CPython's. */
  #execute(code: number): void {
    const stack = this.#stack;
    switch (code) {
      case 0x80: // PROTO
        if (this.#u8() > HIGHEST_PROTOCOL) throw this.#error("unknown protocol");
        return;
      case 0x95: // FRAME: a hint how much to read at once
        this.#take(8);
        return;
      case 0x28: // MARK
        if (this.#marks.length === MAX_MARKS) throw this.#error(`more than ${MAX_MARKS} marks`);
        this.#marks.push(stack.length);
        return;
      case 0x30: // POP
        if (this.#marks.at(-1) === stack.length) this.#marks.pop();
        else this.#pop();
        return;
      case 0x31: // POP_MARK
        this.#toMark();
        return;

      case 0x4e: // NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE
        stack.push(true);
        return;
      case 0x89: // NEWFALSE
        stack.push(false);
        return;
      case 0x4b: // BININT1
        stack.push(this.#u8());
        return;
      case 0x4d: // BININT2
        stack.push(this.#view.getUint16(this.#take(2), true));
        return;
      case 0x4a: // BININT
        stack.push(this.#view.getInt32(this.#take(4), true));
        return;
      case 0x49: // INT
        this.#push(this.#decimal(this.#line()));
        return;
      case 0x4c: // LONG
        this.#push(this.#decimal(this.#line().replace(/L$/, "")));
        return;
      case 0x8a: // LONG1
        this.#push(this.#integer(this.#u8()));
        return;
      case 0x8b: // LONG4
        this.#push(this.#integer(this.#u32()));
        return;
      case 0x47: // BINFLOAT
        this.#push(new PyFloat(this.#view.getFloat64(this.#take(8), false)));
        return;

      case 0x8c: // SHORT_BINUNICODE
        this.#push(this.#text(this.#u8()));
        return;
      case 0x58: // BINUNICODE
        this.#push(this.#text(this.#u32()));
        return;
      case 0x8d: // BINUNICODE8
        this.#push(this.#text(this.#u64()));
        return;
      case 0x55: // SHORT_BINSTRING
        this.#push(this.#string2(this.#u8()));
        return;
      case 0x54: // BINSTRING
        this.#push(this.#string2(this.#u32()));
        return;
      case 0x43: // SHORT_BINBYTES
        this.#push(this.#raw(this.#u8()));
        return;
      case 0x42: // BINBYTES
        this.#push(this.#raw(this.#u32()));
        return;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        this.#push(this.#raw(this.#u64()));
        return;

      case 0x29: // EMPTY_TUPLE
        stack.push(EMPTY_TUPLE);
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.#push(new PyTuple(this.#popMany(code - 0x84)));
        return;
      case 0x74: // TUPLE
        this.#push(new PyTuple(this.#toMark()));
        return;
      case 0x5d: // EMPTY_LIST
        this.#push(new PyList());
        return;
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        return;
      case 0x65: // APPENDS
        this.#append(this.#toMark());
        return;
      case 0x7d: // EMPTY_DICT
        this.#push(new PyDict());
        return;
      case 0x73: // SETITEM
        this.#setItems(this.#popMany(2));
        return;
      case 0x75: // SETITEMS
        this.#setItems(this.#toMark());
        return;
      case 0x8f: // EMPTY_SET
        this.#push(new PySet([]));
        return;
      case 0x90: // ADDITEMS
        this.#addItems(this.#toMark());
        return;
      case 0x91: // FROZENSET
        this.#push(new PySet(this.#toMark()));
        return;

      case 0x71: // BINPUT
        this.#keep(this.#u8());
        return;
      case 0x72: // LONG_BINPUT
        this.#keep(this.#u32());
        return;
      case 0x94: // MEMOIZE
        this.#keep(this.#memo.size);
        return;
      case 0x68: // BINGET
        stack.push(this.#recall(this.#u8()));
        return;
      case 0x6a: // LONG_BINGET
        stack.push(this.#recall(this.#u32()));
        return;

      case 0x63: // GLOBAL
        this.#push(this.#global(this.#line(), this.#line()));
        return;
      case 0x93: { // STACK_GLOBAL
        const [module, name] = this.#popMany(2);
        this.#push(this.#global(module, name));
        return;
      }
      case 0x52: // REDUCE
      case 0x81: { // NEWOBJ
        const [callee, args] = this.#popMany(2);
        this.#push(this.#call(callee, args));
        return;
      }
      case 0x92: { // NEWOBJ_EX: a constructor with keyword arguments, which none of the known ones takes
        const [callee] = this.#popMany(3);
        this.#push(new PyUnknown(this.#callee(callee)));
        return;
      }
      case 0x62: // BUILD
        this.#build(this.#pop());
        return;
      case 0x51: // BINPERSID
        this.#push(this.#constructors.persistent(this.#pop()));
        return;
    }
    const hex = code.toString(16).padStart(2, "0");
    throw this.#error(`instruction 0x${hex}, which torch.save() does not write`);
  }

  // ---- the stack

  /** Pushes what costs memory and time of its own. */
  #push(value: PyValue): void {
    if (++this.#objects > MAX_OBJECTS) throw this.#error(`more than ${MAX_OBJECTS} objects`);
    this.#stack.push(value);
  }

  /** The lowest index within reach: that of the last mark. */
  #floor(): number {
    return this.#marks.length === 0 ? 0 : this.#marks[this.#marks.length - 1];
  }

  #top(): PyValue {
    if (this.#stack.length <= this.#floor()) throw this.#error("too few values on the stack");
    return this.#stack[this.#stack.length - 1];
  }

  #pop(): PyValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PyValue[] {
    const values: PyValue[] = new Array(count);
    for (let i = count - 1; i >= 0; i--) values[i] = this.#pop();
    return values;
  }

  /** Takes all values above the last mark, and the mark. */
  #toMark(): PyValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#error("no mark on the stack");
    return this.#stack.splice(mark);
  }

  #keep(key: number): void {
    if (this.#memo.size >= MAX_MEMO) throw this.#error(`more than ${MAX_MEMO} values kept`);
    this.#memo.set(key, this.#top());
  }

  #recall(key: number): PyValue {
    const value = this.#memo.get(key);
    if (value === undefined) throw this.#error(`nothing is kept under ${key}`);
    return value;
  }

  // ---- containers and objects

  #append(items: readonly PyValue[]): void {
    const target = this.#top();
    if (target instanceof PyUnknown) return;
    if (!(target instanceof PyList)) throw this.#misplaced("items appended to", target);
    for (const item of items) target.items.push(item);
  }

  #addItems(items: readonly PyValue[]): void {
    const target = this.#top();
    if (target instanceof PyUnknown) return;
    if (!(target instanceof PySet)) throw this.#misplaced("members added to", target);
    for (const item of items) target.items.push(item);
  }

  #setItems(pairs: readonly PyValue[]): void {
    const target = this.#top();
    if (pairs.length % 2 !== 0) throw this.#error("a key without a value");
    if (target instanceof PyUnknown) return;
    if (!(target instanceof PyDict)) throw this.#misplaced("entries set in", target);
    for (let i = 0; i < pairs.length; i += 2) {
      const key = pairs[i];
      if (target.entries.has(key)) {
        const shown = typeof key === "string" ? excerpt(key) : describeValue(key);
        throw this.#error(`the key ${shown} stands twice in a dict`);
      }
      target.entries.set(key, pairs[i + 1]);
    }
  }

  #global(module: PyValue, name: PyValue): PyGlobal {
    if (typeof module !== "string" || typeof name !== "string") {
      throw this.#error("a class whose name is no string");
    }
    if (module.length + name.length > MAX_NAME) throw this.#error("a class name that is too long");
    if (++this.#names > MAX_NAMES) throw this.#error(`more than ${MAX_NAMES} class names`);
    return new PyGlobal(`${module}.${name}`);
  }

  #call(callee: PyValue, args: PyValue): PyValue {
    const name = this.#callee(callee);
    if (!(args instanceof PyTuple)) throw this.#misplaced("a call with", args);
    const known = callee instanceof PyGlobal ? this.#constructors.known.get(name) : undefined;
    return known === undefined ? new PyUnknown(name) : known(args.items);
  }

  /** The name of what is called: a class, a function, or (say) a method that a stand-in stands for. */
  #callee(callee: PyValue): string {
    if (callee instanceof PyGlobal || callee instanceof PyUnknown) return callee.name;
    throw this.#misplaced("a call of", callee);
  }

  #build(state: PyValue): void {
    const target = this.#top();
    if (target instanceof PyDict) target.attributes = state;
    else if (!(target instanceof PyUnknown)) throw this.#misplaced("a state for", target);
  }

  // ---- reading

  /** Steps over `length` bytes and returns where they start. */
  #take(length: number): number {
    const start = this.at;
    if (length > this.#bytes.length - start) {
      throw new PickleTruncatedError("the pickle ends in the middle");
    }
    this.at = start + length;
    return start;
  }

  #u8(): number {
    return this.#bytes[this.#take(1)];
  }

  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #u64(): number {
    const length = this.#view.getBigUint64(this.#take(8), true);
    return length <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(length) : Infinity;
  }

  /** Text up to the next newline, which is skipped. */
  #line(): string {
    const end = this.#bytes.subarray(this.at, this.at + MAX_NAME + 1).indexOf(0x0a);
    if (end < 0 && this.#bytes.length - this.at > MAX_NAME) throw this.#error("a line too long");
    const text = this.#text(end < 0 ? Infinity : end);
    this.at++;
    return text;
  }

  #text(length: number): string {
    const start = this.#take(length);
    try {
      return UTF8.decode(this.#bytes.subarray(start, this.at));
    } catch (cause) {
      throw new CheckpointError(`byte ${start} of the pickle: a string that is not valid UTF-8`, {
        cause,
      });
    }
  }

  /** A string of Python 2, which is text only if it happens to be. */
  #string2(length: number): string | PyBytes {
    const bytes = this.#raw(length);
    try {
      return UTF8.decode(bytes.bytes);
    } catch {
      return bytes;
    }
  }

  #raw(length: number): PyBytes {
    const start = this.#take(length);
    return new PyBytes(this.#bytes.subarray(start, this.at));
  }

  /** A little-endian integer in two's complement. */
  #integer(length: number): number | bigint {
    if (length > MAX_INTEGER) throw this.#error(`an integer of ${length} bytes`);
    const words = new BigUint64Array(Math.ceil(length / 8));
    new Uint8Array(words.buffer).set(this.#raw(length).bytes);
    const value = words.reduceRight((sum, word) => sum << 64n | word, 0n);
    return small(BigInt.asIntN(8 * length, value));
  }

  /** An integer in digits; 00 and 01 are protocol 1's booleans. */
  #decimal(text: string): number | bigint | boolean {
    if (text === "00" || text === "01") return text === "01";
    if (text.length > MAX_INTEGER || !/^-?[0-9]+$/.test(text)) {
      throw this.#error("an integer that is none");
    }
    return small(BigInt(text));
  }

  #misplaced(what: string, value: PyValue): CheckpointError {
    return this.#error(`${what} ${describeValue(value)}`);
  }

  #error(what: string): CheckpointError {
    return new CheckpointError(`byte ${this.at} of the pickle: ${what}`);
  }
}

/** An integer as a number where that is exact. */
function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
