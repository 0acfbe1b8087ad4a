/** The README keeps its word: its example is short and runs, and it names the version of Deno that is tested. */
import { TESTED_DENO } from "../cli/doctor.ts";
import { PROJECT_ROOT, quietDriverEnvironment, run } from "../cli/system.ts";
import { assert, assertEquals, denoTest } from "./harness.ts";

const LONGEST_EXAMPLE = 15;

denoTest("the README's first example has at most 15 lines", async () => {
  const text = await Deno.readTextFile(`${PROJECT_ROOT}/README.md`);
  const example = /^```ts\n([\s\S]*?)^```/m.exec(text)?.[1];
  assert(example !== undefined, "README.md has no ```ts block");
  const lines = example.split("\n").filter((line) => line.trim() !== "");
  assert(lines.length <= LONGEST_EXAMPLE, `it has ${lines.length} lines`);
});

denoTest("the README's examples run", async () => {
  // In the root, so that an example's name for this package means these files.
  const { code, stdout, stderr } = await run(
    [Deno.execPath(), "test", "--doc", "--allow-all", "README.md"],
    { cwd: PROJECT_ROOT, env: { NO_COLOR: "1", ...quietDriverEnvironment() } },
  );
  assertEquals(code, 0, `${stdout}\n${stderr}`);
  assert(/[1-9]\d* passed/.test(stdout), stdout);
});

denoTest("README and CI name the version of Deno that doctor wants", async () => {
  for (const file of ["README.md", ".ci/run"]) {
    const text = await Deno.readTextFile(`${PROJECT_ROOT}/${file}`);
    const versions = new Set([...text.matchAll(/deno@([\d.]*\d)/g)].map(([, version]) => version));
    assertEquals([...versions], [TESTED_DENO], file);
  }
});
