/** wgrad from another project on this machine: by path, and by name through `links`. */
import { PROJECT_ROOT, run } from "../../cli/system.ts";
import { assertEquals, denoTest } from "../harness.ts";

/** Runs a program in a folder of its own. Nothing is asked of the network. */
async function runElsewhere(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const { code, stdout, stderr } = await run(
      [Deno.execPath(), "run", "--cached-only", "main.ts"],
      { cwd: folder, env: { NO_COLOR: "1" } },
    );
    assertEquals(code, 0, stdout + stderr);
    return stdout;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

denoTest("a program elsewhere imports wgrad by path", async () => {
  const stdout = await runElsewhere({
    "main.ts": `import { fill } from "${PROJECT_ROOT}kernels/mod.ts";
import { requestDevice } from "${PROJECT_ROOT}mod.ts";
console.log(fill(3, 0).workgroups.join(), typeof requestDevice);`,
  });
  assertEquals(stdout.trim(), "1,1,1 function");
});

denoTest("a project with `links` imports every entry point by name", async () => {
  const config = JSON.parse(await Deno.readTextFile(`${PROJECT_ROOT}deno.json`));
  const names = Object.keys(config.exports).map((path) => config.name + path.slice(1));
  const stdout = await runElsewhere({
    "deno.json": JSON.stringify({ links: [PROJECT_ROOT] }),
    "main.ts": `${names.map((name, i) => `import * as entry${i} from "${name}";`).join("\n")}
const entries: object[] = [${names.map((_, i) => `entry${i}`).join(", ")}];
console.log(entries.filter((entry) => Object.keys(entry).length > 0).length);`,
  });
  assertEquals(stdout.trim(), String(names.length));
});
