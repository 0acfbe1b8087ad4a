/** The package for JSR: `deno publish` accepts it, and it holds what a program uses. */
import { PROJECT_ROOT, run } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

denoTest("`deno publish --dry-run` is clean, and packs the library alone", async () => {
  const { code, stdout, stderr } = await run(
    [Deno.execPath(), "publish", "--dry-run", "--allow-dirty"],
    // A proxy that is not there: nothing is asked of the network.
    { cwd: PROJECT_ROOT, env: { NO_COLOR: "1", HTTPS_PROXY: "http://127.0.0.1:1" } },
  );
  const text = stdout + stderr;
  assertEquals(code, 0, text);
  assert(!/warning|slow type/i.test(text.replace("Checking for slow types", "")), text);
  const root = new URL("../../", import.meta.url).href;
  const files = [...text.matchAll(/^ +(file:\S+) \(/gm)].map(([, url]) => url.slice(root.length));
  const floors = new Set(files.map((file) => file.split("/")[0]));
  assertEquals([...floors].sort(), [
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "data",
    "deno.json",
    "engine",
    "io",
    "kernels",
    "mod.ts",
    "models",
    "nn",
    "onnx",
  ]);
  const { exports } = JSON.parse(await Deno.readTextFile(`${PROJECT_ROOT}deno.json`));
  for (const path of Object.values<string>(exports)) {
    assert(files.includes(path.slice(2)), `${path} is exported and not in the package`);
  }
  assert(!files.some((file) => file.startsWith("kernels/catalogue")), "the tests' catalogue is in");
});
