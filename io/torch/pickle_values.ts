/**
 * What a pickle is made of once it is read: plain data, and inert stand-ins for all that would be code in Python.
 *
 * None, booleans, integers and strings are JavaScript's own (integers beyond 2^53 bigints). The rest has classes, so that
 * nothing of a file ever becomes a property of an object: a key such as `__proto__` is an entry of a Map.
 * @module
 */

/** A value of a pickle. */
export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PyFloat
  | PyBytes
  | PyTuple
  | PyList
  | PyDict
  | PySet
  | PyGlobal
  | PyUnknown
  | PyForeign;

/** A floating-point number: kept apart from integers, as sizes must not be 3.0. */
export class PyFloat {
  /** A number. */
  constructor(readonly value: number) {}
}

/** `bytes`, `bytearray`, or a Python 2 string that is no text; shares the pickle's memory. */
export class PyBytes {
  /** The bytes. */
  constructor(readonly bytes: Uint8Array) {}
}

/** A `tuple`. */
export class PyTuple {
  /** The items. */
  constructor(readonly items: readonly PyValue[]) {}
}

/** A `list`. */
export class PyList {
  /** The items. */
  readonly items: PyValue[] = [];
}

/** A `dict` or `OrderedDict`. */
export class PyDict {
  /** Its entries in their order. */
  readonly entries: Map<PyValue, PyValue> = new Map();
  /** What was to become attributes of the object, such as a state dict's `_metadata`. */
  attributes: PyValue = null;
}

/** A `set` or `frozenset`. */
export class PySet {
  /** The members. */
  constructor(readonly items: PyValue[]) {}
}

/** A class or function, by name alone: nothing is looked up. */
export class PyGlobal {
  /** @param name module and name, joined by a dot */
  constructor(readonly name: string) {}
}

/**
 * Where Python would have called a class or function that is not on the list of known ones. Its arguments, state, items
 * and entries are dropped.
 */
export class PyUnknown {
  /** @param name the class or function */
  constructor(readonly name: string) {}
}

/** Base of the values that the user of the unpickler makes, from known constructors and persistent ids. */
export abstract class PyForeign {
  /** What it is, with an article, for errors. */
  abstract readonly kind: string;
}

/** A value in a few words, for errors. */
export function describeValue(value: PyValue): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number" || typeof value === "bigint") return `the integer ${value}`;
  if (typeof value === "string") return "a string";
  if (value instanceof PyFloat) return `the float ${value.value}`;
  if (value instanceof PyBytes) return "bytes";
  if (value instanceof PyTuple) return "a tuple";
  if (value instanceof PyList) return "a list";
  if (value instanceof PyDict) return "a dict";
  if (value instanceof PySet) return "a set";
  if (value instanceof PyGlobal) return `the name ${shortName(value.name)}`;
  if (value instanceof PyUnknown) return `a ${shortName(value.name)}`;
  return value.kind;
}

/** A class name of a file, short and without control characters. */
export function shortName(name: string): string {
  const short = name.length > 100 ? `${name.slice(0, 97)}...` : name;
  return /^[\w.<>]+$/.test(short) ? short : JSON.stringify(short);
}
