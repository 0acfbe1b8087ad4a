/** The gaze experiment: its plan, its files of clips, its figures, and one small run of it that is interrupted. */
import { join } from "node:path";
import { ARMS, modelOptions, pretrainModel } from "../../cli/gaze_experiment/arms.ts";
import {
  cacheBytes,
  type CachedOptions,
  type CacheOptions,
  clipsToRender,
  renderedClips,
} from "../../cli/gaze_experiment/clip_cache.ts";
import {
  armConfig,
  armRecipe,
  clipsOf,
  jobsOf,
  nameOf,
  type Plan,
  pretrainConfig,
  pretrainRecipe,
  scheduleOf,
} from "../../cli/gaze_experiment/plan.ts";
import {
  type Baselines,
  readFinished,
  type RunResult,
  type TrainingResult,
} from "../../cli/gaze_experiment/record.ts";
import { resultPlots, resultsMarkdown, resultsPage } from "../../cli/gaze_experiment/report.ts";
import { startFrom } from "../../cli/gaze_experiment/run.ts";
import { bestFull, errorOf, verdicts } from "../../cli/gaze_experiment/summary.ts";
import { PROJECT_ROOT, quietDriverEnvironment } from "../../cli/system.ts";
import { CLIP_LENGTH, type ClueErrors, SyntheticClips } from "../../data/gaze/mod.ts";
import { DataError, InterruptedError } from "../../engine/mod.ts";
import { loadSafetensorsFile, saveSafetensorsFile } from "../../io/files.ts";
import { McGaze } from "../../models/mod.ts";
import { assert, assertClose, assertEquals, assertRejects, denoTest } from "../harness.ts";

const PLAN: Plan = {
  out: "out",
  size: 64,
  clips: 100,
  test: 10,
  pretrainSteps: 50,
  start: "backbone",
  steps: 20,
  arms: ARMS,
  seeds: [3, 4],
};

denoTest(
  "the plan: whole seeds first; arms differ in their model alone and see as many frames",
  () => {
    assertEquals(jobsOf(PLAN).map(nameOf), [
      "head-s3",
      "single-s3",
      "full-s3",
      "head-s4",
      "single-s4",
      "full-s4",
    ]);
    const [head, single, full] = ARMS.map((arm) => armConfig(PLAN, arm));
    for (const config of [head, single]) {
      assertEquals({ ...config, model: null }, { ...full, model: null });
      assert(JSON.stringify(config.model) !== JSON.stringify(full.model));
    }
    assertEquals(pretrainRecipe(9).batchSize, armRecipe(9).batchSize * CLIP_LENGTH);
    const rate = scheduleOf(armRecipe(1000)), { lr, warmupSteps } = armRecipe(1000);
    assertClose([rate(0), rate(warmupSteps), rate(1000)], [lr / 1000, lr, 0], { atol: 1e-12 });
  },
);

denoTest(
  "an arm starts from what the training before it saw with, or from all that fits",
  async () => {
    const trained = new McGaze(pretrainModel(64));
    const state = new Map(
      [...trained.stateShapes()].map(([name, shape]) => [name, {
        shape,
        data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5),
      }]),
    );
    const seeing = [...state.keys()].filter((name) => /^(backbone|neck)\./.test(name)).length;
    assert(seeing > 20 && seeing < state.size);
    for (const arm of ARMS) {
      const model = () => new McGaze(modelOptions(arm, 64));
      assertEquals(await startFrom(model(), state, "backbone"), seeing);
      const fitting = [...model().stateShapes()]
        .filter(([name, shape]) => state.get(name)?.shape.join() === shape.join());
      assertEquals(await startFrom(model(), state, "all"), fitting.length);
      assertEquals(fitting.length === state.size, arm !== "head");
    }
  },
);

const CLIPS: CachedOptions = { split: "test", count: 3, size: 8, seed: 5 };

denoTest(
  "clips are rendered once, and anew by name where a file is torn or of others",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "wgrad-clips-" });
    try {
      const path = `${folder}/test-8px-seed5-000000.safetensors`;
      const take = async (options: Partial<CacheOptions> = {}) => {
        const told: string[] = [];
        const warn = (message: string): void => void told.push(message);
        const source = await renderedClips(folder, CLIPS, { workers: 0, warn, ...options });
        const clips = await Promise.all([0, 1, 2].map((i) => source.clip(i)));
        return { clips, told };
      };
      const fresh = new SyntheticClips(CLIPS);
      const want = [0, 1, 2].map((i) => fresh.clip(i));
      await assertRejects(() => take({ signal: AbortSignal.abort() }), InterruptedError);
      assertEquals(await clipsToRender(folder, CLIPS), 3);
      assertEquals(await take({ workers: 1 }), { clips: want, told: [] });
      assertEquals(await clipsToRender(folder, CLIPS), 0);
      const { mtime, size } = await Deno.stat(path);
      assert(size > cacheBytes(CLIPS) && size < cacheBytes(CLIPS) + 2000, `${size} bytes`);
      assertEquals(await take(), { clips: want, told: [] });
      assertEquals((await Deno.stat(path)).mtime, mtime, "rendered again");

      const bytes = await Deno.readFile(path);
      const damaged = bytes.slice();
      damaged[damaged.length - 7] ^= 1;
      const { tensors, metadata } = await loadSafetensorsFile(path);
      const others = new Map(metadata).set(
        "wgrad.clips",
        metadata.get("wgrad.clips")!.replace('"seed":5', '"seed":6'),
      );
      const cases: [why: string, spoil: () => Promise<unknown>][] = [
        ["truncated", () => Deno.writeFile(path, bytes.slice(0, -100))],
        ["its checksum is wrong", () => Deno.writeFile(path, damaged)],
        ["other settings", () => saveSafetensorsFile(path, tensors, [...others])],
      ];
      for (const [why, spoil] of cases) {
        await spoil();
        const { clips, told: [message, ...more] } = await take();
        assert(message.includes(path) && message.includes("rendered anew"), message);
        assert(message.includes(why), `${message}: not ${why}`);
        assertEquals([clips, more], [want, []]);
      }
      // A file that is whole, but whose renderer drew something else.
      const other = `${folder}/other`;
      await renderedClips(other, { ...CLIPS, seed: 6 }, { workers: 0, warn: () => {} });
      const drawn = await loadSafetensorsFile(`${other}/test-8px-seed6-000000.safetensors`);
      const claim = new Map(drawn.metadata).set("wgrad.clips", metadata.get("wgrad.clips")!);
      await saveSafetensorsFile(path, drawn.tensors, [...claim]);
      const { clips, told } = await take();
      assert(told.length === 1 && told[0].includes("draws other pictures now"), told.join());
      assertEquals(clips, want);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
  { allowLeaks: true },
); // a worker ends in its own time

const errors = (degrees: number): ClueErrors["raw"] => ({
  all360: { degrees, frames: 70 },
  front180: { degrees: degrees - 0.5, frames: 60 },
  front40: { degrees: null, frames: 0 },
});

const BASELINES: Baselines = { constant: errors(46), headPose: errors(13) };

const TRAINING: TrainingResult = {
  seed: 0,
  evaluations: [{ step: 20, errors: { final: 20, face: 21, eyes: 22, head: 23 } }],
  losses: new Array(20).fill(1),
  parameters: 1000,
  seconds: 90,
  adapter: "none [software]",
  runtime: "Deno",
  date: "2026-01-01T00:00:00Z",
  config: pretrainConfig(PLAN),
  evaluation: { clues: {}, visible: null, hidden: null },
};

/** A run whose fused gaze is off by `final` degrees on test clips, and by `validation` on validation clips at the end. */
function result(arm: RunResult["arm"], seed: number, final: number, validation = final): RunResult {
  const clue = (by: number): ClueErrors => ({ raw: errors(by), smoothed: errors(by - 0.25) });
  const clues: Record<string, ClueErrors> = arm === "head"
    ? { final: clue(final), head: clue(final) }
    : { final: clue(final), face: clue(final), eyes: clue(final + 1), head: clue(final + 2) };
  return {
    ...TRAINING,
    arm,
    seed,
    evaluations: [10, 20].map((step, i) => ({ step, errors: { final: validation + 1 - i } })),
    config: armConfig(PLAN, arm),
    evaluation: { clues, visible: final - 1, hidden: final + 5 },
    testClips: 10,
    baselines: BASELINES,
  };
}

const RUNS = [
  result("head", 0, 9),
  result("head", 1, 10),
  result("single", 0, 6),
  result("single", 1, 7),
  result("full", 0, 5, 5.5),
  result("full", 1, 5.5, 5),
];

denoTest("the figures: mean, spread, and goals that are met beyond the spread of the seeds", () => {
  const full = errorOf(RUNS, "full")!;
  assertClose([full.mean, full.deviation!], [5.25, Math.SQRT1_2 / 2], { atol: 1e-12 });
  assertEquals(errorOf(RUNS, "full", "front40"), null);
  assertEquals(errorOf(RUNS, "head", "all360", "raw", "eyes"), null);
  assertClose([errorOf(RUNS, "single", "front180", "smoothed")!.mean], [5.75], { atol: 1e-12 });
  assertEquals(verdicts(RUNS).map(({ met }) => met), [true, true, true, true]);
  const close = [...RUNS.slice(0, 3), result("single", 1, 5.4), ...RUNS.slice(4)];
  const [, , , single] = verdicts(close);
  assertEquals([single.met, single.found], [
    false,
    "5.25° and 5.70°: 7.9 % below, within the spread of the seeds",
  ]);
  assertEquals(verdicts(RUNS.slice(0, 4)), []);
  // Chosen on validation clips, not on those of the test.
  assertEquals(bestFull(RUNS)!.seed, 1);
  assertEquals(bestFull(RUNS.slice(0, 4)), null);
});

denoTest("the report holds tables, plots, frames, and the authors' figures as theirs", () => {
  const findings = {
    runs: RUNS,
    pretraining: TRAINING,
    command: "deno task x --out <y>",
    frames: { png: "gaze-frames.png", text: "white and yellow" },
  };
  const text = resultsMarkdown(findings), html = resultsPage(findings);
  for (
    const words of ["5.25 ± 0.35", "10.74", "9.81", "no", "46.00", "white and yellow", "±"]
  ) {
    assert(text.includes(words), words);
    assert(html.includes(words), words);
  }
  assert(text.includes("nothing here is a claim of parity with them"));
  assert(text.includes("not validated on people") && html.includes("not validated on people"));
  const links = [...text.matchAll(/\]\(([^)]*)\)/g)].map(([, link]) => link);
  const plots = resultPlots(findings);
  assertEquals(links.sort(), [...plots.keys(), "gaze-frames.png"].sort());
  for (const svg of plots.values()) {
    assert(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"'));
  }
  assert(!/NaN|undefined/.test(text + html + [...plots.values()].join()));
  assert(!/<script|<y>/.test(html) && !/src="https?:/.test(html), "the page is not self-contained");
  assert(!resultsMarkdown({ ...findings, frames: null }).includes("## Frames"));
});

denoTest("a result of other settings is refused, naming them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/full-s0.json`;
    assertEquals(await readFinished(path, armConfig(PLAN, "full")), null);
    await Deno.writeTextFile(path, JSON.stringify(RUNS[4]));
    assertEquals(await readFinished(path, armConfig(PLAN, "full")), RUNS[4]);
    const other = armConfig({ ...PLAN, pretrainSteps: 60 }, "full");
    await assertRejects(() => readFinished(path, other), DataError, "pretrain.recipe.steps 50");
    await Deno.writeTextFile(path, "{");
    await assertRejects(() => readFinished(path, other), DataError, "it is no JSON; remove it");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

denoTest("the experiment goes on after Ctrl-C and does no training twice", async () => {
  const out = await Deno.makeTempDir({ prefix: "wgrad-gaze-" });
  const start = async (file?: string) => {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "cli/gaze_experiment.ts", "--no-install", "--size", "32", "--clips", "8"]
        .concat(["--test", "4", "--pretrain-steps", "2", "--steps", "2", "--seeds", "1"])
        .concat(["--arms", "full", "--workers", "1", "--out", out]),
      cwd: PROJECT_ROOT,
      env: { ...quietDriverEnvironment(), NO_COLOR: "1" },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const sending = (async () => {
      while (file && !await Deno.stat(join(out, file)).then(() => true, () => false)) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      if (file) child.kill("SIGINT");
    })();
    const [{ code, stdout, stderr }] = await Promise.all([child.output(), sending]);
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  };
  try {
    const step = { pretrain: 10, head: 20, single: 20, full: 20 };
    const costs = { size: 32, adapter: "none", date: "2026-01-01", step, clip: 30 };
    await Deno.writeTextFile(join(out, "costs.json"), JSON.stringify(costs));
    for (const clips of Object.values(clipsOf({ ...PLAN, size: 32, clips: 8, test: 4 }))) {
      await renderedClips(join(out, "clips"), clips, { workers: 0, warn: () => {} });
    }
    const stopped = await start("pretrain.json");
    assertEquals(stopped.code, 130, stopped.stderr);
    assert(stopped.stderr.trimEnd().endsWith("The same command goes on."), stopped.stderr);
    assert(!stopped.stderr.includes("rendering"), stopped.stderr);
    assert(/1 of 1 runs to do, 2 steps of 20 \(full\) ms/.test(stopped.stdout), stopped.stdout);
    const first = await Deno.stat(join(out, "pretrain.json"));
    const done = await start();
    assertEquals(done.code, 0, done.stderr);
    assert(/before +0s +done/.test(done.stdout), done.stdout);
    assertEquals((await Deno.stat(join(out, "pretrain.json"))).mtime, first.mtime);
    const run: RunResult = JSON.parse(await Deno.readTextFile(join(out, "runs/full-s0.json")));
    assertEquals([run.losses.length, run.testClips], [2, 4]);
    const { tensors } = await loadSafetensorsFile(join(out, "mcgaze_small.safetensors"));
    assert(tensors.has("backbone.conv1.weight"));
    const text = await Deno.readTextFile(join(out, "results.md"));
    assert(text.includes("(gaze-frames.png)"));
    assert((await Deno.readTextFile(join(out, "report.html"))).includes("data:image/png;base64,i"));
  } finally {
    await Deno.remove(out, { recursive: true });
  }
}, { timeout: 300 });
