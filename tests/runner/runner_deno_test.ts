/** The runner: its counting, its bundles, its server. A runner that counts wrongly would hide every other failure. */
import { bundle, parseNpmSpecifier } from "../../cli/bundle.ts";
import { assert, assertEquals, assertRejects, assertThrows, denoTest } from "../harness.ts";
import { passesFilter } from "./counts.ts";
import { judge } from "./deno.ts";
import { serve } from "./server.ts";

const report = (...bodies: string[]) =>
  `<?xml version="1.0"?><testsuites><testsuite>${
    bodies.map((body) => `<testcase name="a" classname="b">${body}</testcase>`).join("")
  }</testsuite></testsuites>`;

denoTest("passes, failures and skipped tests are counted from the report", () => {
  const output = "running 4 tests from ./a_test.ts\n";
  const text = report("", "", `<failure message="x"/>`, "<skipped/>");
  assertEquals(judge({ report: text, output, code: 1, signal: null }).counts, {
    passed: 2,
    failed: 2,
  });
});

denoTest("tests that a filter left out do not count, ignored ones fail", () => {
  const output = "running 2 tests from ./a_test.ts\n\nok | 1 passed | 0 failed | 1 ignored | " +
    "2 filtered out (7ms)\n";
  const text = report("", "<skipped/>", "<skipped/>", "<skipped/>");
  assertEquals(judge({ report: text, output, code: 0, signal: null }), {
    counts: { passed: 1, failed: 1 },
  });
});

denoTest("errors outside of tests and tests cut short are failures", () => {
  const output = "\x1b[0mrunning 5 tests from ./a_test.ts\x1b[0m\na ... ok\n" +
    "Uncaught error from ./a_test.ts \x1b[31mFAILED\x1b[0m\n";
  const { counts, complaint } = judge({ report: report(""), output, code: 1, signal: null });
  assertEquals(counts, { passed: 1, failed: 5 });
  assert(complaint !== undefined, "no complaint");
});

denoTest("a crash or a type error without any report is a failure", () => {
  const nothing = { report: "", output: "" };
  assertEquals(judge({ ...nothing, code: 1, signal: null }).counts.failed, 1);
  assertEquals(judge({ ...nothing, code: 139, signal: "SIGSEGV" }).counts.failed, 1);
  const afterTests = { report: report(""), output: "running 1 test from ./a_test.ts\n" };
  assertEquals(judge({ ...afterTests, code: 1, signal: null }).counts, { passed: 1, failed: 1 });
  assertEquals(judge({ ...afterTests, code: 0, signal: null }), {
    counts: { passed: 1, failed: 0 },
  });
});

denoTest("filters are text or an expression", () => {
  assert(passesFilter("matmul 3x5", "3x") && !passesFilter("matmul", "softmax"), "text");
  assert(passesFilter("matmul 3x5", "/^matmul \\d/") && !passesFilter("a", "/b/"), "expression");
  assert(passesFilter("anything", ""), "empty");
});

denoTest("npm specifiers are taken apart", () => {
  assertEquals(parseNpmSpecifier("npm:a@1.0.1/b/c.js"), {
    name: "a",
    version: "1.0.1",
    path: "b/c.js",
  });
  assertEquals(parseNpmSpecifier("npm:@s/a@1.0.1"), { name: "@s/a", version: "1.0.1", path: "" });
  assertThrows(() => parseNpmSpecifier("npm:a"), Error, "npm:name@version/path");
});

denoTest(
  "the server gives the page, bundles and fixtures, and nothing outside of tests",
  async () => {
    const server = serve(new Map([["a/b.js", new TextEncoder().encode("export {};")]]));
    const get = async (path: string) => {
      const response = await fetch(server.origin + path);
      return [
        response.status,
        response.headers.get("content-type"),
        await response.text(),
      ] as const;
    };
    try {
      assertEquals((await get("/"))[0], 200);
      assertEquals(await get("/bundle/a/b.js"), [200, "text/javascript", "export {};"]);
      assert((await get("/tests/harness.ts"))[2].includes("gpuTest"), "fixture");
      const outside = ["/deno.json", "/tests/../deno.json", "/tests/%2e%2e/deno.json", "/tests/no"];
      for (const path of [...outside, "/tests/%2e%2e%2fdeno.json", "/bundle/none.js"]) {
        assertEquals((await get(path))[0], 404, path);
      }
    } finally {
      await server.close();
    }
  },
);

// Last in its file: what it leaves behind cannot end during another test.
denoTest("a bundle holds its entries, and a missing module is named", async () => {
  const files = await bundle(["tests/runner/page.ts"]);
  assert(files.has("tests/runner/page.js") && files.has("tests/runner/page.js.map"), "names");
  await assertRejects(() => bundle(["tests/none.ts"]), Error, "tests/none.ts");
  // esbuild's process ends a moment after its stop() has resolved.
}, { allowLeaks: true });
