import { assert, assertEquals, assertThrows, test } from "../harness.ts";
import { excerpt, parseStrictJson } from "../../io/strict_json.ts";
import { Rng } from "../../engine/random/host_rng.ts";
import { type JsonValue, stringifyStrict, toPlainJson } from "../../io/json.ts";

test("parseStrictJson() agrees with JSON.parse on what both accept", () => {
  const texts = [
    "null",
    " true ",
    "\t[false,\n0 ]\r\n",
    "-0",
    "-12.5e+3",
    "1E-2",
    '""',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"',
    '"\u{1f600}\\ud83d\\ude00"',
    "[]",
    "{}",
    '[[],{},[{"a":[1,{"b":null}]}]]',
    '{"":0,"constructor":1,"a\\u0062":2}',
  ];
  for (const text of texts) assertEquals(toPlainJson(parseStrictJson(text)), JSON.parse(text));
});

test("parseStrictJson() takes back random values that JSON.stringify wrote", () => {
  const rng = new Rng(1, "json");
  for (let i = 0; i < 300; i++) {
    const value = randomJson(rng, 0);
    for (const indent of [0, 2]) {
      const text = JSON.stringify(value, null, indent);
      assertEquals(toPlainJson(parseStrictJson(text)), value, text);
    }
  }
});

test("parseStrictJson() refuses what JSON.parse refuses", () => {
  const texts = [
    "",
    " ",
    "nul",
    "truefalse",
    "1 2",
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "0x10",
    "NaN",
    "Infinity",
    "'a'",
    '"a',
    '"a\\"',
    '"\\x"',
    '"\\u12"',
    '"a\nb"',
    "[1,]",
    "[,]",
    "[1 2]",
    "[",
    "{",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{a:1}",
    '{1:"a"}',
    "]",
    "\ufeff{}",
    "// c\n1",
  ];
  for (const text of texts) {
    assertThrows(() => JSON.parse(text), SyntaxError);
    assertThrows(() => parseStrictJson(text), SyntaxError, "at character");
  }
});

test("parseStrictJson() refuses what JSON.parse lets pass in silence", () => {
  assertThrows(() => parseStrictJson('{"a":1,"a":1}'), SyntaxError, 'the key "a" stands twice');
  assertThrows(() => parseStrictJson('{"a":1,"\\u0061":2}'), SyntaxError, "twice");
  assertThrows(() => parseStrictJson("1e999"), SyntaxError, "too large");
  assertThrows(() => parseStrictJson('"\\ud800"'), SyntaxError, "surrogate");
  assertThrows(() => parseStrictJson("[".repeat(1e6)), SyntaxError, "nested deeper");
  assertThrows(() => parseStrictJson("[0,0,0]", { maxItems: 2 }), SyntaxError, "more than 2 items");
  const keys = '{"a":{"b":0},"c":0}';
  assertThrows(() => parseStrictJson(keys, { maxKeys: 2 }), SyntaxError, "more than 2 keys");
  parseStrictJson(keys, { maxKeys: 3 });
  assertThrows(() => parseStrictJson("[1.0]", { integersOnly: true }), SyntaxError, "whole number");
  assertThrows(() => parseStrictJson("1e2", { integersOnly: true }), SyntaxError, "whole number");
});

test("parseStrictJson() keeps __proto__ as a key, and toPlainJson() refuses it", () => {
  const value = parseStrictJson('{"__proto__":{"x":1}}');
  assert(value instanceof Map && value.has("__proto__"));
  assertThrows(() => toPlainJson(value), SyntaxError, "__proto__");
  assertEquals(Reflect.get({}, "x"), undefined);
});

test("parseStrictJson() needs time in line with the text, however it is built", () => {
  const n = 2_000_000;
  const texts = [
    " ".repeat(n),
    "1".repeat(n),
    `"${"a".repeat(n)}"`,
    `"${"\\\\".repeat(n)}"`,
    `"${'\\"'.repeat(n)}`,
    "[".repeat(n),
    `[${"0,".repeat(n)}0]`,
  ];
  const start = performance.now();
  for (const text of texts) {
    try {
      parseStrictJson(text);
    } catch (error) {
      assert(error instanceof SyntaxError, String(error));
    }
  }
  // About 0.3 s here; a quadratic reader would need hours.
  assert(performance.now() - start < 20_000);
});

test("excerpt() is short for any value", () => {
  assertEquals(excerpt("a\n"), '"a\\n"');
  assert(excerpt("x".repeat(1e6)).length < 90);
  assertEquals([excerpt(new Map()), excerpt([1]), excerpt(undefined)], [
    "an object",
    "an array",
    "undefined",
  ]);
});

test("stringifyStrict() refuses what would come back as something else, by its place", () => {
  const value = { a: [1, { b: "c" }], d: null, e: true };
  assertEquals(stringifyStrict(value, "v"), JSON.stringify(value));
  const bad: [unknown, string][] = [
    [{ a: [0, NaN] }, "v.a[1] is NaN"],
    [{ a: undefined }, "v.a is undefined"],
    [[1n], "v[0] is 1"],
    [{ a: { b: new Float32Array(1) } }, "v.a.b is Float32Array"],
    [new Date(), "v is Date"],
    [-Infinity, "v is -Infinity"],
  ];
  for (const [wrong, message] of bad) {
    assertThrows(() => stringifyStrict(wrong as JsonValue, "v"), TypeError, message);
  }
});

function randomJson(rng: Rng, depth: number): JsonValue {
  switch (rng.integer(depth < 4 ? 7 : 5)) {
    case 0:
      return null;
    case 1:
      return rng.integer(2) === 0;
    case 2:
      return rng.normal() * 10 ** (rng.integer(41) - 20);
    case 3:
      return rng.integer(2 ** 32) - 2 ** 31;
    case 4:
      return randomText(rng);
    case 5:
      return Array.from({ length: rng.integer(4) }, () => randomJson(rng, depth + 1));
    default: {
      const keys = new Set(Array.from({ length: rng.integer(4) }, () => randomText(rng)));
      return Object.fromEntries([...keys].map((key) => [key, randomJson(rng, depth + 1)]));
    }
  }
}

function randomText(rng: Rng): string {
  const letters = ["a", '"', "\\", "\n", "\u0000", "é", "\u2028", "\u{1f600}", "/", " "];
  return Array.from({ length: rng.integer(6) }, () => letters[rng.integer(letters.length)]).join(
    "",
  );
}
