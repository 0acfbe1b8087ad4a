/**
 * The atlas's examples: what a page draws and runs is checked here, for every rung of every page.
 * @module
 */
import { CATALOGUE } from "../../kernels/catalogue.ts";
import { type Chapter, pass, type Rung } from "../../web/atlas/chapter.ts";
import { CHAPTERS } from "../../web/atlas/chapters.ts";
import { dependence } from "../../web/atlas/dependence.ts";
import { readHeader } from "../../web/atlas/header.ts";
import { inputsOf } from "../../web/atlas/inputs.ts";
import { markOwners, ownerOf } from "../../web/atlas/ownership.ts";
import { check, outputsOf } from "../../web/client/execute.ts";
import { matmulReadable } from "../../kernels/matmul.ts";
import { assert, assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

function* rungs(): Generator<{ chapter: Chapter; rung: Rung; label: string }> {
  for (const chapter of CHAPTERS) {
    for (const { title, rungs } of chapter.passes) {
      for (const rung of rungs) {
        yield { chapter, rung, label: `${chapter.slug} / ${title} / ${rung.title}` };
      }
    }
  }
}

test("every example has a plain loop and a shape for each binding, of its size", () => {
  for (const { rung, label } of rungs()) {
    for (const { kernel, shapes } of [rung.picture(), rung.timed()]) {
      assert(kernel.reference !== undefined, `${label}: no plain loop`);
      for (const { name } of kernel.program.bindings) {
        const size = shapes[name]?.reduce((a, b) => a * b, 1);
        assertEquals(size, kernel.sizes[name], `${label}: ${name}`);
      }
    }
  }
});

test("every family of the catalogue is on a page", () => {
  const shown = new Set(CHAPTERS.flatMap(({ files }) => files));
  const missing = CATALOGUE.map(({ family }) => `${family}.ts`).filter((file) => !shown.has(file));
  assertEquals([...new Set(missing)], []);
});

test("rungs of a pass compute the same: equal outputs of equal shapes", () => {
  for (const chapter of CHAPTERS) {
    for (const { title, rungs } of chapter.passes) {
      const outputs = rungs.map((rung) => {
        const { kernel, shapes } = rung.picture();
        return kernel.program.bindings.filter(({ access }) => access !== "read")
          .map(({ name }) => [name, shapes[name]]);
      });
      for (const other of outputs) assertEquals(other, outputs[0], `${chapter.slug} / ${title}`);
    }
  }
});

gpuTest("every rung computes in small what its plain loop does", async (device) => {
  for (const { rung, label } of rungs()) {
    const { ok, error } = await check(device, rung.picture());
    assert(ok, `${label}: off by ${error}`);
  }
});

gpuTest("marked stores are whole numbers of invocations that were launched", async (device) => {
  for (const { rung, label } of rungs()) {
    const { kernel } = rung.picture(), { program, workgroups } = kernel;
    const groups = workgroups.reduce((a, b) => a * b);
    const inputs = { ...inputsOf(rung.picture()) };
    for (const { name, access } of program.bindings) if (access !== "read") delete inputs[name];
    let owned = 0;
    for (const values of Object.values(await outputsOf(device, markOwners(kernel), inputs))) {
      for (const value of Array.from(values)) {
        const owner = ownerOf(value, program);
        if (owner === null) continue;
        owned++;
        assert(Number.isInteger(owner.invocation), `${label}: ${value} is no invocation`);
        assert(owner.workgroup < groups, `${label}: workgroup ${owner.workgroup} of ${groups}`);
      }
    }
    // the scan for NaN writes only where it finds one
    assert(owned > 0 || program.name === "non_finite", `${label}: nobody writes anything`);
  }
});

gpuTest("owners of a product are the invocations in order", async (device) => {
  const kernel = matmulReadable({ batch: 1, m: 3, n: 50, k: 2 });
  const { y } = await outputsOf(device, markOwners(kernel), {
    a: [1, 1, 1, 1, 1, 1],
    b: new Array(100).fill(1),
  });
  Array.from(y).forEach((value, i) =>
    assertEquals(ownerOf(value, kernel.program), {
      workgroup: Math.floor(i / 64),
      invocation: i % 64,
    })
  );
});

test("an output of a product depends on a row of a and a column of b", () => {
  const [product] = pass({
    title: "",
    size: "",
    sizes: { picture: null, timed: null },
    shapes: () => ({ a: [3, 2], b: [2, 4], y: [3, 4] }),
    rungs: [{ title: "", file: "", launch: () => matmulReadable({ batch: 1, m: 3, n: 4, k: 2 }) }],
  }).rungs;
  assertEquals(dependence(product.picture()).get("y")![1 * 4 + 2], [
    { binding: "a", indices: [2, 3] },
    { binding: "b", indices: [2, 6] },
  ]);
});

test("what is read counts, even where the number is multiplied by zero", () => {
  const { passes } = CHAPTERS.find(({ slug }) => slug === "entmax")!;
  const example = passes[0].rungs[0].picture(), { kernel, shapes } = example;
  const y = Array.from(kernel.reference!(inputsOf(example), {}).y), [, n] = shapes.y;
  assert(y.some((value) => value === 0), "some weights of entmax are 0");
  dependence(example).get("y")!.forEach((depends, i) => {
    const row = Math.floor(i / n), indices = Array.from({ length: n }, (_, k) => row * n + k);
    assertEquals(depends, [{ binding: "x", indices }], `element ${i}`);
  });
});

test("a program whose output is never stored to is refused", () => {
  const kernel = matmulReadable({ batch: 1, m: 2, n: 2, k: 2 });
  const code = kernel.program.code.replaceAll(/\by\[/g, "z[");
  assertThrows(
    () => markOwners({ ...kernel, program: { ...kernel.program, code } }),
    Error,
    "no store to y",
  );
});

test("a header is read in its sections", () => {
  const source = `/**
 * Title of
 * two lines.
 *
 * Math    y = x
 *         z = y
 *           deeper
 * Work    One.
 * Measured on a thing: 3 ms
 * @module
 */
import "x";
`;
  assertEquals(readHeader(source), {
    intro: "Title of\ntwo lines.",
    sections: [
      { label: "Math", text: "y = x\nz = y\n  deeper" },
      { label: "Work", text: "One." },
      { label: "Measured", text: "on a thing: 3 ms" },
    ],
  });
});
