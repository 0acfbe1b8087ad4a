/** A machine without a GPU: importing never throws, asking for a device says what to install. */
import { PROJECT_ROOT, run } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

denoTest("without an adapter importing works and requestDevice names the fix", async () => {
  const program = `
    const { requestDevice } = await import("./engine/mod.ts");
    console.log("imported");
    await requestDevice().catch((error) => console.log(error.name, error.code, error.message));`;
  // Asking for a backend that this platform does not have is the same as having no driver.
  const backend = Deno.build.os === "darwin" ? "dx12" : "metal";
  const { code, stdout, stderr } = await run(
    [Deno.execPath(), "eval", program],
    { cwd: PROJECT_ROOT, env: { DENO_WEBGPU_BACKEND: backend } },
  );
  assertEquals(code, 0, stderr);
  const [first, ...rest] = stdout.split("\n");
  assertEquals(first, "imported");
  const message = rest.join("\n");
  assert(message.startsWith("AdapterUnavailableError adapter_unavailable"), message);
  if (Deno.build.os === "linux") assert(message.includes("mesa-vulkan-drivers"), message);
});
