/** The guide keeps its word: every block of code runs, and every link leads to a file. */
import { dirname, join } from "node:path";
import { PROJECT_ROOT, quietDriverEnvironment, run } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const GUIDE = join(PROJECT_ROOT, "docs/guide");

async function chapters(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name } of Deno.readDir(GUIDE)) {
    found.set(name, await Deno.readTextFile(join(GUIDE, name)));
  }
  return found;
}

denoTest("every block of the guide's code runs", async () => {
  const blocks = [...(await chapters()).values()].flatMap((text) =>
    text.match(/^```ts.*$/gm) ?? []
  );
  assert(blocks.every((fence) => fence === "```ts"), `a block is left out: ${blocks}`);
  // In the root, so that a block's name for this package means these files, and weights/ is there.
  const { code, stdout, stderr } = await run(
    [Deno.execPath(), "test", "--doc", "--allow-all", "docs/guide"],
    { cwd: PROJECT_ROOT, env: { NO_COLOR: "1", ...quietDriverEnvironment() } },
  );
  assertEquals(code, 0, `${stdout}\n${stderr}`);
  const passed = /(\d+) passed/.exec(stdout)?.[1];
  assertEquals(Number(passed), blocks.length, stdout);
}, { timeout: 240 });

denoTest("the guide's chapters are in its list, and every link leads somewhere", async () => {
  const texts = await chapters();
  const listed = [...texts.get("README.md")!.matchAll(/^\d+\. \[.*\]\((.*)\)$/gm)].map(([, f]) =>
    f
  );
  assertEquals([...listed, "README.md"].sort(), [...texts.keys()].sort());
  const others = ["README.md", "CONTRIBUTING.md", "docs/ops.md"];
  for (const file of [...others, ...[...texts.keys()].map((name) => `docs/guide/${name}`)]) {
    const text = await Deno.readTextFile(join(PROJECT_ROOT, file));
    for (const [, target] of text.matchAll(/\]\(([^)#\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const path = join(PROJECT_ROOT, dirname(file), target);
      assert(await Deno.stat(path).then(() => true, () => false), `${file}: no ${target}`);
    }
  }
});
