/** `wgrad train` and `wgrad eval` as a user runs them, on a tiny CIFAR-10: what they write, Ctrl-C, a kill, resume. */
import { join } from "node:path";
import { encodePng } from "../../cli/png.ts";
import { PROJECT_ROOT, quietDriverEnvironment } from "../../cli/system.ts";
import { Rng } from "../../data/mod.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `wgrad`; sends a signal as soon as a file is there. */
async function wgrad(args: string[], signal?: { name: Deno.Signal; file: string }): Promise<Run> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/wgrad.ts", ...args],
    cwd: PROJECT_ROOT,
    env: { ...quietDriverEnvironment(), NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  let ended = false;
  const sending = (async () => {
    while (signal && !ended && !await Deno.stat(signal.file).then(() => true, () => false)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (signal && !ended) child.kill(signal.name);
  })();
  const stdout = await new Response(child.stdout).text();
  const { code } = await child.status;
  ended = true;
  await sending;
  return { code, stdout, stderr: await errors };
}

/** CIFAR-10's files with a few pictures, each class in a grey of its own under noise. */
async function writeTinyCifar(folder: string): Promise<void> {
  const rng = new Rng(1, "tiny cifar");
  const file = (count: number): Uint8Array => {
    const bytes = new Uint8Array(count * 3073);
    for (let i = 0; i < count; i++) {
      bytes[i * 3073] = i % 10;
      for (let k = 1; k < 3073; k++) bytes[i * 3073 + k] = 20 * (i % 10) + rng.integer(40);
    }
    return bytes;
  };
  await Deno.mkdir(folder);
  for (let i = 1; i <= 5; i++) await Deno.writeFile(join(folder, `data_batch_${i}.bin`), file(10));
  await Deno.writeFile(join(folder, "test_batch.bin"), file(20));
}

const MODEL = {
  imgSize: 16,
  patchSize: 8,
  embedDim: 16,
  depth: 2,
  numHeads: 2,
  globalPool: "avg",
  classToken: false,
};
const MOE = { ...MODEL, moeLayers: [1], coreExperts: 2, univExperts: 2, slotLayernorm: true };
/** All of the authors' recipe in three epochs of small batches. */
const RECIPE = {
  recipe: "jetpack",
  epochs: 3,
  batchSize: 8,
  gradAccumSteps: 2,
  warmupEpochs: 1,
  modelEmaDecay: 0.9,
};

denoTest(
  "wgrad train writes model, log and report; Ctrl-C or a kill and --resume change nothing; eval and routing agree",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "wgrad-train-" });
    try {
      const data = join(folder, "cifar");
      await writeTinyCifar(data);
      const model = join(folder, "model.json"), recipe = join(folder, "recipe.json");
      await Deno.writeTextFile(model, JSON.stringify(MOE));
      await Deno.writeTextFile(recipe, JSON.stringify(RECIPE));
      const options = (
        out: string,
      ): string[] => [
        "train",
        "--data",
        data,
        "--model",
        model,
        "--recipe",
        recipe,
        "--save-every",
        "2",
        "--out",
        out,
      ];

      const whole = join(folder, "whole");
      const done = await wgrad(options(whole));
      assertEquals(done.code, 0, done.stderr);
      const result = JSON.parse(await Deno.readTextFile(join(whole, "result.json")));
      assertEquals(result.run.losses.length, 10); // 3 epochs of 7 batches, two a step, one left out
      assertEquals([result.images, result.heldOut, result.parameters > 0], [50, 20, true]);
      assertEquals(result.run.evaluations[0].temperatures, [[0.5, 0.5]]);
      const report = await Deno.readTextFile(join(whole, "report.html"));
      for (const text of ["rand-m9-mstd0.5-inc1", "Routing temperatures", "held-out images"]) {
        assert(report.includes(text), text);
      }
      assert(!/https?:\/\/|<script/.test(report), "the report is not self-contained");
      const lines = (await Deno.readTextFile(join(whole, "log.jsonl"))).trim().split("\n")
        .map((line) => JSON.parse(line));
      assertEquals(lines.flatMap(({ loss }) => loss ?? []), result.run.losses);

      for (const name of ["SIGINT", "SIGKILL"] as const) {
        const parts = join(folder, name);
        const stopped = await wgrad(options(parts), {
          name,
          file: join(parts, "run.safetensors"),
        });
        assertEquals(stopped.code, name === "SIGINT" ? 130 : 137, stopped.stderr);
        const resumed = await wgrad([...options(parts), "--resume"]);
        assertEquals(resumed.code, 0, resumed.stderr);
        assert(/going on after step [1-9]/.test(resumed.stderr), resumed.stderr);
        const again = JSON.parse(await Deno.readTextFile(join(parts, "result.json")));
        assertEquals(again.run.losses, result.run.losses);
        assertEquals(again.run.evaluations, result.run.evaluations);
        assertEquals(again.evaluation, result.evaluation);
        assertEquals(
          await Deno.readFile(join(parts, "model.safetensors")),
          await Deno.readFile(join(whole, "model.safetensors")),
        );
      }

      const file = join(whole, "model.safetensors");
      const measured = await wgrad(["eval", file, "--data", data, "--json"]);
      assertEquals(measured.code, 0, measured.stderr);
      const { accuracy, loss, count } = JSON.parse(measured.stdout);
      assertEquals([accuracy, loss, count], [
        result.evaluation.accuracy,
        result.evaluation.loss,
        20,
      ]);

      const maps = join(folder, "maps"), photo = join(folder, "photo.png");
      const grey = new Uint8Array(3 * 20 * 30).fill(90);
      await Deno.writeFile(photo, await encodePng({ height: 20, width: 30, data: grey }));
      const shown = await wgrad([
        "routing",
        file,
        photo,
        "--data",
        data,
        "--images",
        "10",
        "--out",
        maps,
      ]);
      assertEquals(shown.code, 0, shown.stderr);
      assertEquals([...Deno.readDirSync(maps)].map(({ name }) => name).sort(), [
        "routing-1.png",
        "routing.html",
        "routing.json",
      ]);
      const html = await Deno.readTextFile(join(maps, "routing.html"));
      assert(html.includes("photo.png, taken for") && html.includes("Use of the experts"));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
  { timeout: 300 },
);

denoTest("wgrad train and eval name a wrong option, recipe, model or folder", async () => {
  const out = ["--out", "/tmp/wgrad-none", "--data", "mnist"];
  const cases: [string[], number, string][] = [
    [["train", "--out", "x", "--data", "mnist"], 2, "needs --data, --out, and --model or --from"],
    [["train", ...out, "--model", "vit_tiny_patch16_224", "--recipe", "big"], 2, 'no recipe "big"'],
    [["train", ...out, "--model", "x.json", "--set", "epochs"], 2, "NAME=VALUE"],
    [
      ["train", ...out, "--model", "x.json", "--set", "epochs=0"],
      1,
      "epochs is 0, needs a whole number",
    ],
    [["train", ...out, "--model", "x.json", "--set", "epoch=1"], 1, 'no setting "epoch"'],
    [["train", ...out, "--model", "x.json", "--set", "aa=rand-m9"], 1, "rand-m9-mstd0.5-inc1"],
    [["eval", "--data", "mnist"], 2, "needs one file"],
    [["eval", "/nowhere", "--data", "mnist"], 1, "/nowhere"],
    [["routing", "x.safetensors", "--out", "y"], 2, "needs a file, --out, and images or --data"],
  ];
  for (const [args, code, text] of cases) {
    const run = await wgrad(args);
    assertEquals(run.code, code, `${args}: ${run.stderr}`);
    assert(run.stderr.includes(text), `${args}: ${run.stderr}`);
    assertEquals(run.stderr.trim().split("\n").length, 1, `more than one line: ${run.stderr}`);
  }
});
