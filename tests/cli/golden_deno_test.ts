import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { namedArray } from "../../io/named_array.ts";
import { writeSafetensors } from "../../io/safetensors_write.ts";
import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function golden(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/golden.ts", ...args],
    cwd: PROJECT_ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  return { code, out: decode(stdout), err: decode(stderr) };
}

/** A folder with a case that passes, one that fails and one of a kind that nobody knows. */
async function withFolder(fn: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "wgrad-golden-"));
  try {
    const cases = [
      { name: "moe_10_uniform_right", indices: [0, 4, 8] },
      { name: "moe_10_uniform_wrong", indices: [0, 5, 8] },
      { name: "xy_77_unknown", indices: [0, 4, 8] },
    ];
    for (const { name, indices } of cases) {
      const array = namedArray(Int32Array.from(indices));
      await writeFile(
        join(dir, `${name}.safetensors`),
        writeSafetensors(new Map([["output.trunc.9.3", array]])),
      );
    }
    const tensors = [{ name: "output.trunc.9.3", dtype: "I32", shape: [3] }];
    const manifest = {
      cases: cases.map(({ name }) => ({ name, file: `${name}.safetensors`, tensors })),
    };
    await writeFile(join(dir, "manifest.json"), JSON.stringify(manifest));
    await fn(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

denoTest(
  "golden prints a line for each case and fails on a wrong or unknown one",
  () =>
    withFolder(async (dir) => {
      const { code, out } = await golden(dir);
      assertEquals(code, 1);
      const lines = out.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
      assertEquals(lines, [
        "moe_10_uniform_right ok max_abs=0 max_rel=0",
        "moe_10_uniform_wrong FAIL max_abs=1.0e+0 max_rel=1.3e-1 (output.trunc.9.3: 1 of 3 off by " +
        "more than 0 + 0 |want|; worst at 1: got 4, want 5)",
        "xy_77_unknown FAIL max_abs=nan max_rel=nan (not understood: there is no code for cases " +
        "of kind xy_77)",
      ]);
      assert(out.includes("# 1 ok, 2 failed"), out);
    }),
);

denoTest("golden runs what --only and --except leave", () =>
  withFolder(async (dir) => {
    const { code, out } = await golden(dir, "--only", "moe_*", "--except", "*_wrong");
    assertEquals(code, 0);
    assert(out.includes("# 1 ok, 0 failed"), out);
    const none = await golden(dir, "--only", "mc_*");
    assertEquals(none.code, 1);
    assert(none.err.includes("none of the 3 cases"), none.err);
  }));

denoTest("golden explains wrong arguments and folders", async () => {
  assertEquals((await golden()).code, 2);
  const unknown = await golden("--odd", "x");
  assert(unknown.code === 2 && unknown.err.includes("'--odd'; --help"), unknown.err);
  const missing = await golden("/nowhere/at/all");
  assert(missing.code === 1 && missing.err.includes("/nowhere/at/all"), missing.err);
});
