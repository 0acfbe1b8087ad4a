/** The assertions themselves: what they let pass, what they refuse, and what they say. */
import {
  assert,
  assertClose,
  assertEquals,
  AssertionError,
  assertRejects,
  assertThrows,
  test,
} from "./harness.ts";

const fails = (fn: () => void, messagePart: string) =>
  assertThrows(fn, AssertionError, messagePart);

test("assert refuses falsy values with its message", () => {
  assert(1);
  fails(() => assert(0, "zero"), "zero");
});

test("assertEquals accepts equal values in depth", () => {
  assertEquals(NaN, NaN);
  assertEquals(0, -0);
  assertEquals({ a: [1, { b: "x" }], c: undefined }, { c: undefined, a: [1, { b: "x" }] });
  assertEquals(new Float32Array([1, NaN]), new Float32Array([1, NaN]));
  assertEquals(new Map([["a", 1]]), new Map([["a", 1]]));
  assertEquals(new Set([1, 2]), new Set([1, 2]));
  assertEquals(new Uint8Array([1, 2]).buffer, new Uint8Array([1, 2]).buffer);
  assertEquals(new RangeError("x"), new RangeError("x"));
  assertEquals(new Date(5), new Date(5));
});

test("assertEquals names the first difference", () => {
  fails(() => assertEquals([1, 2, 3], [1, 5, 4]), "value[1] is 2, want 5");
  fails(() => assertEquals({ a: { b: 1 } }, { a: { b: 2 } }, "options"), "options: value.a.b is 1");
  fails(() => assertEquals([1, 2], [1, 2, 3]), "value has length 2, want 3");
  fails(() => assertEquals({ a: 1 }, { a: 1, b: undefined }), "value (keys)");
  fails(() => assertEquals(new Float32Array(2), [0, 0]), "is a Float32Array, want a Array");
  fails(() => assertEquals(new Uint8Array([1]).buffer, new Uint8Array([2]).buffer), "[0] is 1");
  fails(() => assertEquals(new Error("x"), new TypeError("x")), "is a Error, want a TypeError");
  fails(() => assertEquals(new Map([["a", 1]]), new Map([["a", 2]])), "is 1, want 2");
  fails(() => assertEquals("1", 1), 'value is "1", want 1');
  fails(() => assertEquals(null, {}), "value is null");
});

test("assertThrows checks class and message and returns the error", () => {
  const error = assertThrows(
    () => {
      throw new RangeError("too far");
    },
    RangeError,
    "far",
  );
  assertEquals(error.message, "too far");
  const thrower = () => {
    throw new RangeError("too far");
  };
  fails(() => assertThrows(thrower, TypeError), "expected TypeError, got RangeError: too far");
  fails(() => assertThrows(thrower, RangeError, "near"), '"near"');
  fails(() => assertThrows(() => 1), "nothing was thrown");
  fails(() => assertThrows(() => Promise.reject(new Error("x"))), "use assertRejects");
});

test("assertRejects checks class and message and returns the error", async () => {
  const reject = () => Promise.reject(new RangeError("too far"));
  assertEquals((await assertRejects(reject, RangeError, "too")).message, "too far");
  await assertRejects(() => assertRejects(reject, TypeError), AssertionError, "expected TypeError");
  await assertRejects(() => assertRejects(() => Promise.resolve()), AssertionError, "it resolved");
});

test("assertClose measures against atol + rtol |want|", () => {
  assertClose([1, 2], new Float32Array([1, 2]), {});
  assertClose([100.9], [100], { rtol: 0.01 });
  assertClose([1.5], [1], { atol: 0.5 });
  fails(() => assertClose([101.1], [100], { rtol: 0.01 }), "1 of 1 off");
  fails(() => assertClose([1 + 1e-15], [1], {}), "1 of 1 off");
});

test("assertClose counts what is off and shows the worst", () => {
  fails(
    () => assertClose([1, 2.5, 7, 4], [1, 2, 3, 4], { atol: 0.1, name: "row sums" }),
    "row sums: 2 of 4 off by more than atol 0.1 + rtol 0; worst at index 2: got 7, want 3 (off by 4)",
  );
});

test("assertClose treats NaN and infinity as values of their own", () => {
  const loose = { atol: Infinity, rtol: 1 };
  assertClose([NaN, Infinity, -Infinity], [NaN, Infinity, -Infinity], {});
  // A NaN with another bit pattern than the language's own.
  const odd = new Float32Array(new Uint32Array([0xffc12345]).buffer);
  assertClose(odd, [NaN], {});
  fails(() => assertClose(odd, [1], loose), "got NaN, want 1");
  fails(() => assertClose([1], [NaN], loose), "got 1, want NaN");
  fails(() => assertClose([Infinity], [-Infinity], loose), "got Infinity, want -Infinity");
  fails(() => assertClose([1e38], [Infinity], loose), "want Infinity");
  fails(() => assertClose([1, NaN], [1.2, 0], { atol: 0.1 }), "worst at index 1");
});

test("assertClose refuses other lengths and tolerances that accept nothing", () => {
  fails(() => assertClose([1], [1, 2], {}), "1 values, want 2");
  fails(() => assertClose([1], [1], { atol: NaN }), "tolerances must be 0 or more");
  fails(() => assertClose([1], [1], { rtol: -1 }), "tolerances must be 0 or more");
});
