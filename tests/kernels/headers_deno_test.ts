/**
 * Every kernel file teaches in the same order: what is computed, on which shapes, who computes what, what is read how
 * often and why so. And no docstring is a placeholder.
 */
import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const LABELS = ["Math", "Shapes", "Work", "Memory"];
const FOLDER = `${PROJECT_ROOT}kernels`;

/** The comment that a module begins with, without its stars. */
function headerOf(source: string): string[] {
  const comment = /\/\*\*\n([\s\S]*?)\*\//.exec(source)?.[1] ?? "";
  return comment.split("\n").map((line) => line.replace(/^ \* ?/, ""));
}

denoTest(
  "each file with a program tells Math, Shapes, Work and Memory, in this order",
  async () => {
    let files = 0;
    for await (const { name } of Deno.readDir(FOLDER)) {
      if (!name.endsWith(".ts") || name === "kernel.ts") continue;
      const source = await Deno.readTextFile(`${FOLDER}/${name}`);
      if (!source.includes("defineProgram({")) continue;
      files++;
      const labels = headerOf(source).map((line) => /^([A-Z][a-z]+) {2,}\S/.exec(line)?.[1])
        .filter((label) => label !== undefined && LABELS.includes(label));
      assertEquals(labels, LABELS, `the header of kernels/${name}`);
    }
    assert(files > 30, `only ${files} files were looked at`);
  },
);

denoTest("no docstring of a kernel is a placeholder", async () => {
  for await (const { name } of Deno.readDir(FOLDER)) {
    if (!name.endsWith(".ts")) continue;
    const source = await Deno.readTextFile(`${FOLDER}/${name}`);
    const found = /\/\*\* (The size or option|TODO|\.\.\.)[^*]*\*\//.exec(source)?.[0];
    assertEquals(found, undefined, `kernels/${name}`);
  }
});
