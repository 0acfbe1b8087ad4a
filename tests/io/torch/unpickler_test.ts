import { assert, assertEquals, assertThrows, test } from "../../harness.ts";
import { CheckpointError } from "../../../engine/errors.ts";
import { Rng } from "../../../engine/random/host_rng.ts";
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
} from "../../../io/torch/pickle_values.ts";
import {
  MAX_INSTRUCTIONS,
  type PickleConstructors,
  PickleTruncatedError,
  unpickle,
} from "../../../io/torch/unpickler.ts";
import { concat } from "../zip_writer.ts";
import { dict, global, int, list, none, pickle, raw, reduce, str, tuple } from "./pickle_writer.ts";

/** What happens in the tests: `known.make` gives back its first argument, a persistent id itself. */
const CONSTRUCTORS: PickleConstructors = {
  known: new Map([["known.make", (args) => args[0] ?? null]]),
  persistent: (id) => id,
};

const load = (bytes: Uint8Array): PyValue => unpickle(bytes, CONSTRUCTORS).value;
const one = (...bytes: number[]): PyValue => load(raw(...bytes, 0x2e));

/** As plain data, for comparing. */
function plain(value: PyValue): unknown {
  if (value instanceof PyFloat) return { float: value.value };
  if (value instanceof PyBytes) return { bytes: [...value.bytes] };
  if (value instanceof PyTuple) return { tuple: value.items.map(plain) };
  if (value instanceof PyList) return value.items.map(plain);
  if (value instanceof PySet) return { set: value.items.map(plain) };
  if (value instanceof PyDict) return [...value.entries].map((pair) => pair.map(plain));
  if (value instanceof PyGlobal) return { global: value.name };
  if (value instanceof PyUnknown) return { unknown: value.name };
  return value;
}

/** Each instruction, in a pickle of its own. */
const INSTRUCTIONS: readonly (readonly [string, readonly number[] | Uint8Array, unknown])[] = [
  ["PROTO and NONE", [0x80, 5, 0x4e], null],
  ["FRAME", [0x95, 1, 0, 0, 0, 0, 0, 0, 0, 0x4e], null],
  ["NEWTRUE", [0x88], true],
  ["NEWFALSE", [0x89], false],
  ["BININT1", [0x4b, 200], 200],
  ["BININT2", [0x4d, 1, 2], 513],
  ["BININT", [0x4a, 0xfe, 0xff, 0xff, 0xff], -2],
  ["INT", [0x49, 0x2d, 0x31, 0x32, 0x0a], -12],
  ["INT as a boolean", [0x49, 0x30, 0x31, 0x0a], true],
  ["LONG", [0x4c, 0x37, 0x4c, 0x0a], 7],
  ["LONG1 of no bytes", [0x8a, 0], 0],
  ["LONG1", [0x8a, 2, 0, 0x80], -32768],
  ["LONG1 of 9 bytes", [0x8a, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0x80], -(2n ** 71n)],
  ["LONG4", [0x8b, 2, 0, 0, 0, 1, 1], 257],
  ["BINFLOAT", [0x47, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], { float: 1.5 }],
  ["SHORT_BINUNICODE", [0x8c, 2, 0xc3, 0xa9], "é"],
  ["BINUNICODE", [0x58, 1, 0, 0, 0, 0x61], "a"],
  ["BINUNICODE8", [0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0x61], "a"],
  ["SHORT_BINSTRING", [0x55, 1, 0x61], "a"],
  ["SHORT_BINSTRING that is no text", [0x55, 1, 0xff], { bytes: [255] }],
  ["BINSTRING", [0x54, 1, 0, 0, 0, 0x61], "a"],
  ["SHORT_BINBYTES", [0x43, 1, 9], { bytes: [9] }],
  ["BINBYTES", [0x42, 1, 0, 0, 0, 9], { bytes: [9] }],
  ["BINBYTES8", [0x8e, 1, 0, 0, 0, 0, 0, 0, 0, 9], { bytes: [9] }],
  ["BYTEARRAY8", [0x96, 1, 0, 0, 0, 0, 0, 0, 0, 9], { bytes: [9] }],
  ["EMPTY_TUPLE", [0x29], { tuple: [] }],
  ["TUPLE1", [0x4e, 0x85], { tuple: [null] }],
  ["TUPLE2", [0x4b, 1, 0x4b, 2, 0x86], { tuple: [1, 2] }],
  ["TUPLE3", [0x4b, 1, 0x4b, 2, 0x4b, 3, 0x87], { tuple: [1, 2, 3] }],
  ["MARK and TUPLE", [0x28, 0x4b, 1, 0x4b, 2, 0x74], { tuple: [1, 2] }],
  ["EMPTY_LIST and APPEND", [0x5d, 0x4b, 1, 0x61], [1]],
  ["APPENDS", [0x5d, 0x28, 0x4b, 1, 0x4b, 2, 0x65], [1, 2]],
  ["EMPTY_DICT and SETITEM", [0x7d, 0x4b, 1, 0x4e, 0x73], [[1, null]]],
  ["SETITEMS", [0x7d, 0x28, 0x4b, 1, 0x4e, 0x4b, 2, 0x4e, 0x75], [[1, null], [2, null]]],
  ["EMPTY_SET and ADDITEMS", [0x8f, 0x28, 0x4b, 1, 0x90], { set: [1] }],
  ["FROZENSET", [0x28, 0x4b, 1, 0x91], { set: [1] }],
  ["POP", [0x4b, 1, 0x4b, 2, 0x30], 1],
  ["POP of a mark", [0x4b, 1, 0x28, 0x30], 1],
  ["POP_MARK", [0x4b, 1, 0x28, 0x4b, 2, 0x31], 1],
  ["BINPUT and BINGET", [0x4b, 1, 0x71, 7, 0x30, 0x68, 7], 1],
  ["LONG_BINPUT, LONG_BINGET", [0x4b, 1, 0x72, 0, 1, 0, 0, 0x30, 0x6a, 0, 1, 0, 0], 1],
  ["MEMOIZE", [0x4b, 1, 0x94, 0x4b, 2, 0x94, 0x86, 0x30, 0x68, 1], 2],
  ["GLOBAL", global("os", "system"), { global: "os.system" }],
  ["STACK_GLOBAL", concat([str("os"), str("system"), raw(0x93)]), { global: "os.system" }],
  ["REDUCE of what is known", reduce(global("known", "make"), int(5)), 5],
  ["REDUCE of what is not", reduce(global("os", "system"), str("rm")), { unknown: "os.system" }],
  ["NEWOBJ", concat([global("a.b", "C"), raw(0x29, 0x81)]), { unknown: "a.b.C" }],
  ["NEWOBJ_EX", concat([global("known", "make"), raw(0x29, 0x7d, 0x92)]), {
    unknown: "known.make",
  }],
  ["BINPERSID", concat([str("id"), raw(0x51)]), "id"],
];

for (const [name, code, want] of INSTRUCTIONS) {
  test(`unpickle(): ${name}`, () => assertEquals(plain(one(...code)), want));
}

test("unpickle() knows no other instruction", () => {
  // Protocol 0's text, DUP, the extension registry, buffers outside of the pickle; and codes that mean nothing.
  const others = [...raw(...new TextEncoder().encode("SVPiogpldF2")), 0x82, 0x83, 0x84, 0x97, 0x98];
  for (let code = 0; code < 256; code++) if (code < 0x28 || code > 0x98) others.push(code);
  for (const code of others) {
    assertThrows(() => one(0x4e, code, 0x4e), CheckpointError, "which torch.save() does not write");
  }
});

test("unpickle() says how long the pickle was, and wants all of it", () => {
  const bytes = pickle(dict(["a", list(int(1), str("xy"))]));
  assertEquals(unpickle(concat([bytes, raw(1, 2, 3)]), CONSTRUCTORS).length, bytes.length);
  for (let length = 0; length < bytes.length; length++) {
    assertThrows(() => load(bytes.subarray(0, length)), PickleTruncatedError);
  }
});

test("unpickle() calls nothing that is not on the list, and drops what belongs to it", () => {
  const state = dict(["cmd", str("rm -rf /")]);
  const object = concat([
    reduce(global("posix", "system"), str("rm -rf /")),
    state,
    raw(0x62), // BUILD
    raw(0x28),
    str("k"),
    none,
    raw(0x75), // SETITEMS
    raw(0x28),
    none,
    raw(0x65), // APPENDS
    raw(0x28),
    none,
    raw(0x90), // ADDITEMS
  ]);
  assertEquals(plain(load(pickle(object))), { unknown: "posix.system" });
  // A call of what a stand-in stands for (a bound method, say) is a stand-in too.
  assertEquals(plain(load(pickle(reduce(object, int(1))))), { unknown: "posix.system" });
  // Names that objects of JavaScript have are names like any other.
  for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
    assertEquals(plain(load(pickle(reduce(global(name, name))))), { unknown: `${name}.${name}` });
    assertEquals(plain(load(pickle(dict([name, none])))), [[name, null]]);
  }
});

test("unpickle() keeps attributes of a dict apart from its entries", () => {
  const value = load(pickle(concat([dict(["a", none]), dict(["b", none]), raw(0x62)])));
  assert(value instanceof PyDict);
  assertEquals([...value.entries.keys()], ["a"]);
  assertEquals(plain(value.attributes), [["b", null]]);
});

test("unpickle() builds containers that hold themselves", () => {
  const value = one(0x5d, 0x71, 0, 0x68, 0, 0x61);
  assert(value instanceof PyList && value.items[0] === value);
});

test("unpickle() refuses malformed pickles", () => {
  const cases: readonly (readonly [readonly number[] | Uint8Array, string])[] = [
    [[0x80, 6], "unknown protocol"],
    [[], "too few values"],
    [[0x61], "too few values"],
    [[0x4e, 0x86], "too few values"],
    [[0x4e, 0x28, 0x85], "too few values"], // must not reach below the mark
    [[0x4e, 0x28], "too few values"],
    [[0x4e, 0x74], "no mark"],
    [[0x4e, 0x4e], "left over"],
    [[0x68, 0], "nothing is kept under 0"],
    [[0x71, 0], "too few values"],
    [[0x4e, 0x4e, 0x61], "items appended to None"],
    [[0x5d, 0x4e, 0x4e, 0x73], "entries set in a list"],
    [[0x7d, 0x28, 0x4e, 0x75], "a key without a value"],
    [[0x5d, 0x28, 0x4e, 0x90], "members added to a list"],
    [[0x29, 0x7d, 0x62], "a state for a tuple"],
    [[0x4e, 0x29, 0x52], "a call of None"],
    [concat([global("a", "b"), none, raw(0x52)]), "a call with None"],
    [concat([int(1), str("b"), raw(0x93)]), "whose name is no string"],
    [dict(["a", none], ["a", none]), 'the key "a" stands twice'],
    [[0x8c, 1, 0xff], "not valid UTF-8"],
    [[0x8c, 3, 0xed, 0xa0, 0x80], "not valid UTF-8"], // half a surrogate pair
    [[0x63, 0xff, 0x0a, 0x61, 0x0a], "not valid UTF-8"],
    [[0x49, 0x31, 0x2e, 0x35, 0x0a], "an integer that is none"],
    [[0x49, 0x0a], "an integer that is none"],
    [[0x8a, 65], "an integer of 65 bytes"],
    [[0x8b, 0xff, 0xff, 0xff, 0xff], "an integer of 4294967295 bytes"],
    [global("a".repeat(600), "b".repeat(600)), "class name that is too long"],
    [global("a".repeat(2000), "b"), "a line too long"],
    [[0x58, 0xff, 0xff, 0xff, 0xff], "ends in the middle"],
    [[0x8d, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "ends in the middle"],
    [[0x8e, 0, 0, 0, 0, 0, 0, 0, 0x80], "ends in the middle"],
  ];
  for (const [code, message] of cases) {
    assertThrows(() => one(...code), CheckpointError, message);
  }
});

/** Many times the same instruction of one byte. */
function repeated(count: number, code: number): Uint8Array {
  return new Uint8Array(count).fill(code);
}

test("unpickle() has bounds", () => {
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [repeated(MAX_INSTRUCTIONS + 1, 0x4e), "more than 5000000 instructions"],
    [repeated(1_000_001, 0x5d), "more than 1000000 objects"],
    [concat([none, repeated(1_000_001, 0x94)]), "more than 1000000 values kept"],
    [repeated(1001, 0x28), "more than 1000 marks"],
    [concat(Array(10_001).fill(global("a", "b"))), "more than 10000 class names"],
  ];
  for (const [bytes, message] of cases) assertThrows(() => load(bytes), CheckpointError, message);
});

test("unpickle() gives a value or a CheckpointError for any bytes", () => {
  const rng = new Rng(7, "pickles");
  const codes = INSTRUCTIONS.map(([, code]) => code);
  const start = pickle(tuple(dict(["a", list(int(1))]), reduce(global("x", "y"), none)));
  for (let round = 0; round < 1500; round++) {
    const parts = Array.from(
      { length: rng.integer(30) },
      () => rng.integer(3) === 0 ? raw(rng.integer(256)) : raw(...codes[rng.integer(codes.length)]),
    );
    const bytes = concat([...parts, raw(0x2e)]);
    const damaged = start.slice();
    damaged[rng.integer(start.length)] = rng.integer(256);
    for (const candidate of [bytes, damaged]) {
      try {
        describeValue(load(candidate));
      } catch (error) {
        assert(error instanceof CheckpointError, `round ${round}, [${candidate}]: ${error}`);
      }
    }
  }
});
