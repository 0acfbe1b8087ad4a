/** Set-up and doctor on machines that lack something. */
import { adapterProblems, denoProblems, describe, type Diagnosis } from "../../cli/doctor.ts";
import type { AdapterReport } from "../../cli/probe.ts";
import { installPackages, SetupError } from "../../cli/setup.ts";
import { PROJECT_ROOT, run, type RunResult } from "../../cli/system.ts";
import { assert, assertEquals, assertRejects, denoTest } from "../harness.ts";

/** Asking for a backend that this platform does not have is the same as having no driver. */
const NO_ADAPTER = { DENO_WEBGPU_BACKEND: Deno.build.os === "darwin" ? "dx12" : "metal" };

function program(name: string, args: string[], env: Record<string, string>): Promise<RunResult> {
  const path = `${PROJECT_ROOT}/cli/${name}.ts`;
  return run([Deno.execPath(), "run", "-A", path, ...args], { env: { NO_COLOR: "1", ...env } });
}

denoTest("setup --no-install without an adapter says what to do and ends with 1", async () => {
  const { code, stderr } = await program("setup", ["--no-install"], NO_ADAPTER);
  assertEquals(code, 1, stderr);
  assert(stderr.startsWith("setup: no WebGPU adapter"), stderr);
  assert(stderr.includes("DENO_WEBGPU_BACKEND is set to"), stderr);
  assert(/driver/.test(stderr), stderr);
});

denoTest("setup with a CHROME_PATH that is wrong says so", async () => {
  const env = { CHROME_PATH: "/nowhere/chrome" };
  const { code, stderr } = await program("setup", ["--no-install", "--tests"], env);
  assertEquals(code, 1, stderr);
  assert(stderr.includes("CHROME_PATH is /nowhere/chrome"), stderr);
  assert(stderr.includes("deno task test --deno"), stderr);
});

denoTest("unknown arguments are refused", async () => {
  for (const name of ["setup", "doctor"]) {
    const { code, stderr } = await program(name, ["--quick"], {});
    assertEquals(code, 2, stderr);
    assert(stderr.includes("Unknown option '--quick'; --help lists the options"), stderr);
  }
});

denoTest(
  "doctor --json without an adapter names the lack and its fix, and ends with 1",
  async () => {
    const { code, stdout, stderr } = await program("doctor", ["--json"], NO_ADAPTER);
    assertEquals(code, 1, stderr);
    const diagnosis: Diagnosis = JSON.parse(stdout);
    assertEquals([diagnosis.adapter, diagnosis.software, diagnosis.backend], [null, null, null]);
    const problem = diagnosis.problems.find(({ what }) => what.startsWith("no WebGPU adapter"));
    assert(problem !== undefined && problem.needed && problem.fix.length > 0, stdout);
    assert(describe(diagnosis).includes("MISSING: no WebGPU adapter"), "text");
  },
);

denoTest("doctor finds the adapter that the tests run on", async () => {
  const { code, stdout } = await program("doctor", [], {});
  assertEquals(code, 0, stdout);
  assert(/adapter {3}.+ \[(software|hardware)\]/.test(stdout), stdout);
  assert(/self-test cold [\d.]+ ms, .*; warm [\d.]+ ms/.test(stdout), stdout);
  assert(stdout.includes("All that is needed is here."), stdout);
});

const GOOD: AdapterReport = {
  vendor: "",
  architecture: "",
  device: "",
  description: "test",
  isFallbackAdapter: false,
  features: [],
  limits: {
    maxBufferSize: 2 ** 28,
    maxStorageBufferBindingSize: 2 ** 27,
    maxStorageBuffersPerShaderStage: 8,
    maxUniformBufferBindingSize: 65_536,
    maxComputeWorkgroupStorageSize: 16_384,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupsPerDimension: 65_535,
  },
  computes: true,
};

denoTest("the specification's default limits are enough, anything less is a lack", () => {
  assertEquals(adapterProblems({ adapter: GOOD, backend: "native" }), []);
  const limits = { ...GOOD.limits, maxStorageBuffersPerShaderStage: 4 };
  const [problem, ...others] = adapterProblems({ adapter: { ...GOOD, limits }, backend: "native" });
  assertEquals(others, []);
  assertEquals(problem.what, "maxStorageBuffersPerShaderStage is 4, 8 is needed");
  assert(problem.needed, "needed");
});

denoTest("OpenGL alone is a note, an adapter that computes wrongly a lack", () => {
  const gl = adapterProblems({ adapter: GOOD, backend: "gl" });
  assertEquals(gl.map(({ needed }) => needed), [false]);
  const adapter = { ...GOOD, computes: "a test kernel gave 0 0 0 0 instead of 7 10 13 16" };
  const [wrong] = adapterProblems({ adapter, backend: "native" });
  assert(wrong.needed && wrong.what.includes("0 0 0 0"), wrong.what);
});

denoTest("an older Deno is a lack, a newer one is not", () => {
  assertEquals(denoProblems("2.9.6"), []);
  assertEquals(denoProblems("2.10.0"), []);
  assertEquals(denoProblems("3.0.0-rc.1"), []);
  for (const old of ["2.9.5", "2.8.9", "1.46.3"]) assertEquals(denoProblems(old).length, 1, old);
});

denoTest("a failed installation shows the end of its log", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const apt = `${folder}/apt-get`;
    const script = `#!/bin/sh\necho "got $3 $DEBIAN_FRONTEND"\n` +
      `[ "$3" = update ] || { echo "E: no room left" >&2; exit 100; }\n`;
    await Deno.writeTextFile(apt, script, { mode: 0o755 });
    const error = await assertRejects(() => installPackages(["some-driver"], apt), SetupError);
    assert(error.message.includes("code 100"), error.message);
    assert(error.message.includes("got install noninteractive\nE: no room left"), error.message);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
