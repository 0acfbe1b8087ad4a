import { fill } from "../../kernels/fill.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { mutate, mutationsOf } from "./mutation.ts";

/** What becomes of one line in a program with the parameters n and m. */
function mutants(line: string): Record<string, string[]> {
  const code = `struct Params { n: u32, m: u32, f: f32 }\nconst WORKGROUP_SIZE = 8u;\n${line}`;
  const found: Record<string, string[]> = {};
  for (const { kind, mutant } of mutationsOf({ label: "p[v]", code })) {
    (found[kind] ??= []).push(mutant);
  }
  return found;
}

test("mutations of a line are the mistakes people make", () => {
  assertEquals(mutants("  workgroupBarrier(); // + 1u"), { "barrier dropped": ["   // + 1u"] });
  assertEquals(mutants("for (var k = 0u; k < params.n; k++) { s += x[k]; }"), {
    "bound": ["for (var k = 0u; k <= params.n; k++) { s += x[k]; }"],
    "off by one": ["for (var k = 1u; k < params.n; k++) { s += x[k]; }"],
    "accumulation lost": ["for (var k = 0u; k < params.n; k++) { s = x[k]; }"],
    "parameters exchanged": ["for (var k = 0u; k < params.m; k++) { s += x[k]; }"],
  });
  assertEquals(mutants("y[i] = select(0.0, f(y[i], 2u), params.f == 1.0);"), {
    "comparison": ["y[i] = select(0.0, f(y[i], 2u), params.f != 1.0);"],
    "constant": ["y[i] = select(0.0, f(y[i], 2u), params.f == 0.5);"],
    "select exchanged": ["y[i] = select(f(y[i], 2u), 0.0, params.f == 1.0);"],
  });
  assertEquals(mutants("let a = max(b, -c) * d;"), {
    "arithmetic": ["let a = max(b, -c) + d;"],
    "sign": ["let a = max(b, c) * d;"],
    "factor lost": ["let a = max(b, -c);"],
    "extreme": ["let a = min(b, -c) * d;"],
  });
  assertEquals(mutants("  if (i >= params.n) { return; }")["guard dropped"], ["  "]);
  assertEquals(mutants("var<workgroup> a: array<f32, 8>;"), {});
});

test("a mutation changes its line of its program, the occurrence it names", () => {
  const program = { label: "p[v]", code: "const WORKGROUP_SIZE = 1u;\n a + b\n c\n a + b" };
  const [first, second] = mutationsOf(program);
  assertEquals(mutate(program, first), "const WORKGROUP_SIZE = 1u;\n a - b\n c\n a + b");
  assertEquals(mutate(program, second), "const WORKGROUP_SIZE = 1u;\n a + b\n c\n a - b");
  assertEquals(mutate({ ...program, label: "q[v]" }, first), program.code);
  assertEquals(mutate({ ...program, code: "const WORKGROUP_SIZE = 1u;\n c" }, first).length, 29);
});

test("a real kernel has mutants of its guard, its index and its parameters", () => {
  const { program } = fill(3, 0);
  const found = mutationsOf({ label: "fill[readable]", code: program.code });
  assert(found.length > 5, `${found.length} mutants`);
  for (const mutation of found) {
    const code = mutate({ label: "fill[readable]", code: program.code }, mutation);
    assert(code !== program.code, `${mutation.kind} changes nothing`);
  }
});
