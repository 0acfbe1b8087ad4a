/** A machine without a GPU: importing works, asking for a device says what to install. */
import { PROJECT_ROOT, run } from "../cli/system.ts";
import { assert, assertEquals, denoTest } from "./harness.ts";

/** Runs a program where WebGPU finds no adapter: a backend that this platform does not have. */
async function withoutAdapter(code: string): Promise<{ code: number; stdout: string }> {
  const result = await run([Deno.execPath(), "eval", code], {
    cwd: PROJECT_ROOT,
    env: { DENO_WEBGPU_BACKEND: Deno.build.os === "darwin" ? "dx12" : "metal", NO_COLOR: "1" },
  });
  return { code: result.code, stdout: result.stdout + result.stderr };
}

denoTest("importing every entry point without an adapter never throws", async () => {
  const { exports } = JSON.parse(await Deno.readTextFile(`${PROJECT_ROOT}/deno.json`));
  const imports = Object.values(exports).map((path) => `await import("${path}");`).join("\n");
  const { code, stdout } = await withoutAdapter(`${imports}\nconsole.log("imported");`);
  assertEquals(code, 0, stdout);
  assert(stdout.includes("imported"), stdout);
});

denoTest("requestDevice() without an adapter says what to install here", async () => {
  const { code, stdout } = await withoutAdapter(`
    const { requestDevice } = await import("./mod.ts");
    await requestDevice().catch((error) => console.log(error.name, error.code, error.message));`);
  assertEquals(code, 0, stdout);
  assert(
    stdout.includes("AdapterUnavailableError adapter_unavailable No WebGPU adapter was found."),
    stdout,
  );
  if (Deno.build.os === "linux") assert(stdout.includes("mesa-vulkan-drivers"), stdout);
});
