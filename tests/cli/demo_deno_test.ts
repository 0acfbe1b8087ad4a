/** The demo and pre-training as a user runs them: what they write, Ctrl-C and resume, wrong options. */
import { join } from "node:path";
import { loadSafetensorsFile } from "../../io/files.ts";
import { PROJECT_ROOT, quietDriverEnvironment } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program; sends Ctrl-C when its errors first hold `interruptAt`. */
async function program(name: string, args: string[], interruptAt?: string): Promise<Run> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `cli/${name}.ts`, ...args],
    cwd: PROJECT_ROOT,
    env: { ...quietDriverEnvironment(), NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const decoder = new TextDecoder();
  let stderr = "", sent = false;
  const reading = (async () => {
    for await (const chunk of child.stderr) {
      stderr += decoder.decode(chunk);
      if (interruptAt !== undefined && !sent && stderr.includes(interruptAt)) {
        sent = true;
        child.kill("SIGINT");
      }
    }
  })();
  const stdout = await new Response(child.stdout).text();
  await reading;
  return { code: (await child.status).code, stdout, stderr };
}

async function inTemporaryFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wgrad-demo-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const SMALL = ["--digits", "70", "--epochs", "2", "--held-out", "50", "--seed", "3"];

denoTest(
  "demo writes its record, checkpoint and report, and Ctrl-C plus --resume changes nothing",
  () =>
    inTemporaryFolder(async (folder) => {
      const whole = join(folder, "whole"), parts = join(folder, "parts");
      const done = await program("demo", [...SMALL, "--out", whole]);
      assertEquals(done.code, 0, done.stderr);
      const result = JSON.parse(await Deno.readTextFile(join(whole, "result.json")));
      assertEquals(result.seed, 3);
      assert(/\[(software|hardware)\]$/.test(result.adapter), result.adapter);
      for (const name of ["recycled", "scratch"]) {
        assert(result[name].accuracy >= 0 && result[name].accuracy <= 1);
        assertEquals(result[name].losses.length, 4);
      }
      const report = await Deno.readTextFile(join(whole, "report.html"));
      assert(report.includes("Which patches feed which expert"));
      assert(!/https?:\/\/|<script/.test(report), "the report is not self-contained");
      const { tensors } = await loadSafetensorsFile(join(whole, "moe_vit.safetensors"));
      assertEquals(tensors.get("blocks.3.mlp.core_experts.vit_fc1.weight")?.shape, [8, 256, 64]);
      assert(report.includes("gaze") && report.includes("not validated"), "the part on gaze");
      assertEquals([...Deno.readDirSync(whole)].map((e) => e.name).sort(), [
        "gaze",
        "moe_vit.safetensors",
        "report.html",
        "result.json",
      ]);

      const stopped = await program("demo", [...SMALL, "--out", parts], " 2/4 ");
      assertEquals(stopped.code, 130, stopped.stderr);
      assert(stopped.stderr.includes("--resume"), stopped.stderr);
      assertEquals([...Deno.readDirSync(parts)].map((e) => e.name), ["recycled.run.safetensors"]);
      const resumed = await program("demo", [...SMALL, "--out", parts, "--resume"]);
      assertEquals(resumed.code, 0, resumed.stderr);
      assert(resumed.stderr.includes("going on after step"), resumed.stderr);
      const again = JSON.parse(await Deno.readTextFile(join(parts, "result.json")));
      for (const name of ["recycled", "scratch"]) {
        assertEquals(again[name].losses, result[name].losses);
        assertEquals(again[name].confusion, result[name].confusion);
      }
    }),
  { timeout: 300 },
);

denoTest("demo and pretrain name a wrong option, value or folder", async () => {
  const cases: [string, string[], number, string][] = [
    ["demo", ["--digit", "5"], 2, "--digit"],
    ["demo", ["--digits", "many"], 2, `--digits takes a whole number from 10 to 50000, not "many"`],
    ["demo", ["--digits", "70000"], 2, `not "70000"`],
    ["demo", ["--seed", "-1"], 2, `--seed takes a whole number from 0 to 4294967295, not "-1"`],
    ["demo", ["--seed="], 2, `not ""`],
    ["demo", ["--seed", "1e3"], 2, `not "1e3"`],
    ["demo", ["--seed"], 2, "--help lists the options"],
    ["demo", ["digits"], 2, "'digits'"],
    ["demo", ["--method", "graph"], 2, "--method takes uniform or random"],
    ["demo", ["--data", "/nowhere"], 1, "/nowhere"],
    ["demo", ["--out", "/proc/none"], 1, "cannot write /proc/none/result.json"],
    ["demo", ["--out", "README.md"], 1, "a part of the path is a file"],
    ["pretrain", ["--out", "weights"], 1, "cannot write weights: it is a folder"],
    ["pretrain", ["--epochs", "0"], 2, "--epochs takes a whole number from 1"],
    ["pretrain", ["--data", "/nowhere"], 1, "/nowhere"],
  ];
  for (const [name, args, code, text] of cases) {
    const run = await program(name, args);
    assertEquals(run.code, code, `${args}: ${run.stderr}`);
    assert(run.stderr.includes(text), run.stderr);
    assertEquals(run.stderr.trim().split("\n").length, 1, `more than one line: ${run.stderr}`);
    assert(run.stderr.startsWith(`${name}: `), run.stderr);
  }
});

denoTest("every program tells its options", async () => {
  for (const name of ["demo", "pretrain", "golden", "setup", "doctor"]) {
    const run = await program(name, ["--help"]);
    assertEquals(run.code, 0, run.stderr);
    assert(run.stdout.startsWith(`deno task ${name} `), run.stdout);
  }
});
