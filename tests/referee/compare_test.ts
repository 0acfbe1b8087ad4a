import { CheckpointError, DataError } from "../../engine/errors.ts";
import { namedArray } from "../../io/named_array.ts";
import { writeSafetensors } from "../../io/safetensors_write.ts";
import { GoldenCase } from "../../referee/case.ts";
import { compareCase, formatVerdict } from "../../referee/compare.ts";
import { matcher } from "../../referee/glob.ts";
import { parseManifest } from "../../referee/manifest.ts";
import { assert, assertEquals, assertRejects, assertThrows, test } from "../harness.ts";

const TENSORS = {
  "input.x": { values: Float32Array.of(1, 2) },
  "output.y": { values: Float32Array.of(1, 100, -2), tol_abs: 0.01, tol_rel: 0.001 },
  "output.index": { values: Int32Array.of(3, 4) },
  "grad.input.x": { values: Float32Array.of(NaN, Infinity), tol_abs: 0.01, tol_rel: 0 },
  "mask.y": { values: Int32Array.of(1, 1, 0) },
};

function manifestText(tensors: Record<string, { values: Float32Array | Int32Array }>): string {
  return JSON.stringify({
    cases: [{
      name: "moe_99_test",
      file: "a.safetensors",
      config: { size: 3, flag: true, list: [1, 2], none: null, inner: { a: "b" } },
      tensors: Object.entries(tensors).map(([name, { values, ...rest }]) => ({
        name,
        dtype: values instanceof Float32Array ? "F32" : "I32",
        shape: [values.length],
        ...rest,
      })),
    }],
  });
}

async function goldenCase(): Promise<GoldenCase> {
  const arrays = new Map(
    Object.entries(TENSORS).map(([name, { values }]) => [name, namedArray(values)]),
  );
  const [entry] = parseManifest(manifestText(TENSORS)).cases;
  return await GoldenCase.read(entry, writeSafetensors(arrays));
}

const GOOD: readonly (readonly [string, readonly number[]])[] = [
  ["output.y", [1.01, 100.1, 77]], // 77 is masked
  ["output.index", [3, 4]],
  ["grad.input.x", [NaN, Infinity]],
];

const judge = async (...changes: (readonly [string, readonly number[]])[]) =>
  compareCase(await goldenCase(), new Map([...GOOD, ...changes]));

test("compareCase() accepts what is within abs + rel |want| and leaves masked values out", async () => {
  const verdict = await judge();
  assert(verdict.ok, verdict.what);
  assert(Math.abs(verdict.maxAbs - 0.1) < 1e-5 && Math.abs(verdict.maxRel - 0.001) < 1e-7);
  assertEquals(formatVerdict(verdict), "moe_99_test ok max_abs=1.0e-1 max_rel=1.0e-3");
});

test("compareCase() names the tensor and its worst value", async () => {
  const verdict = await judge(["output.y", [1.02, 200, -2]]);
  assert(!verdict.ok);
  assertEquals(
    formatVerdict(verdict),
    "moe_99_test FAIL max_abs=1.0e+2 max_rel=1.0e+0 (output.y: 2 of 3 off by more than 0.01 + " +
      "0.001 |want|; worst at 1: got 200, want 100)",
  );
});

test("compareCase() wants integers to be equal", async () => {
  const { what } = await judge(["output.index", [3, 5]]);
  assert(what?.startsWith("output.index: 1 of 2"), what);
});

test("compareCase() lets NaN agree with NaN and an infinity with itself only", async () => {
  for (const bad of [[0, Infinity], [NaN, NaN], [NaN, -Infinity], [Infinity, Infinity], [NaN, 1]]) {
    const { ok, what } = await judge(["grad.input.x", bad]);
    assert(!ok && what?.startsWith("grad.input.x: 1 of 2"), `${bad}: ${what}`);
  }
  const { what } = await judge(["output.y", [NaN, 100, 0]]);
  assert(what?.includes("got NaN, want 1"), what);
});

test("compareCase() fails what was not computed, or has another size", async () => {
  const results = new Map(GOOD.filter(([name]) => name !== "output.index"));
  const verdict = compareCase(await goldenCase(), results);
  assertEquals(verdict.what, "output.index was not computed");
  const { what } = await judge(["output.y", [1, 100]]);
  assertEquals(what, "output.y: 2 values, want 3");
});

test("compareCase() fails a case of which masks leave nothing", async () => {
  const tensors = {
    "output.y": { values: Float32Array.of(1), tol_abs: 0.01, tol_rel: 0 },
    "mask.y": { values: Int32Array.of(0) },
  };
  const arrays = Object.entries(tensors).map(([n, { values }]) => [n, namedArray(values)] as const);
  const [entry] = parseManifest(manifestText(tensors)).cases;
  const golden = await GoldenCase.read(entry, writeSafetensors(new Map(arrays)));
  const { ok, what } = compareCase(golden, new Map([["output.y", [1]]]));
  assert(!ok && what === "nothing to compare", what);
});

test("GoldenCase.read() refuses a file that is not what the manifest says", async () => {
  const [entry] = parseManifest(manifestText(TENSORS)).cases;
  const only = (name: string, values: Float32Array | Int32Array) =>
    GoldenCase.read(entry, writeSafetensors(new Map([[name, namedArray(values)]])));
  await assertRejects(() => only("input.y", Float32Array.of(1)), DataError, "no tensor input.x");
  await assertRejects(() => only("input.x", Float32Array.of(1)), DataError, "F32[1], the manifest");
  await assertRejects(
    () => only("input.x", Int32Array.of(1, 2)),
    DataError,
    "I32[2], the manifest",
  );
  await assertRejects(() => GoldenCase.read(entry, new Uint8Array(3)), CheckpointError);
});

test("CaseConfig reads settings by type", async () => {
  const { config } = await goldenCase();
  assertEquals(config.number("size"), 3);
  assertEquals(config.number("other", 7), 7);
  assertEquals(config.number("none", 7), 7);
  assertEquals(config.flag("flag"), true);
  assertEquals([...config.numbers("list")], [1, 2]);
  assertEquals(config.object("inner").text("a"), "b");
  assertThrows(() => config.number("flag"), DataError, "flag is true, needs a number");
  assertThrows(() => config.text("other"), DataError, "other is undefined, needs a text");
});

test("parseManifest() refuses what is no manifest", () => {
  const bad = (text: string, message: string) =>
    assertThrows(() => parseManifest(text), DataError, message);
  bad("{", "not JSON");
  bad("[]", "a list named cases");
});

test("parseManifest() notes the fault of a case and reads the others", () => {
  const faulty = (extra: object, message: string) => {
    const good = { name: "a", file: "b", tensors: [] };
    const { cases } = parseManifest(JSON.stringify({ cases: [{ ...good, ...extra }, good] }));
    assertEquals(cases.map(({ fault }) => fault !== undefined), [true, false]);
    assert(cases[0].fault?.message.includes(message), String(cases[0].fault));
    return cases[0].name;
  };
  assertEquals(faulty({ name: undefined }, "case 0: name"), "case_0");
  assertEquals(faulty({ file: "" }, "a: file"), "a");
  faulty({ tensors: [{ name: "x", dtype: "F16", shape: [] }] }, "x is F16");
  faulty({ tensors: [{ name: "x", dtype: "F32", shape: [-1] }] }, "x has no shape");
  const tolerance = { name: "x", dtype: "F32", shape: [], tol_abs: -1 };
  faulty({ tensors: [tolerance] }, "tol_abs of x is -1");
});

test("matcher() knows * and ? and lists, and takes all else literally", () => {
  const matches = matcher(["moe_0?_*, mc_1", "a.b"]);
  assertEquals(
    ["moe_01_x", "moe_10_x", "mc_1", "mc_12", "a.b", "axb"].map(matches),
    [true, false, true, false, true, false],
  );
  assert(!matcher([])("x"));
});
