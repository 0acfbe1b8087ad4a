/** The comparison: its arms, its figures, and one small run of it that is interrupted. */
import { join } from "node:path";
import { ARM_NAMES, armNamed, armsOf, modelOptions } from "../../cli/jetpack/arms.ts";
import type { RunResult, StepCosts } from "../../cli/jetpack/record.ts";
import {
  budgetRows,
  resultPlots,
  resultsMarkdown,
  resultsPage,
  verdicts,
} from "../../cli/jetpack/report.ts";
import { mainTemperature, runsOfMain, temperatureRows } from "../../cli/jetpack/temperature.ts";
import { bestOf, stepsToReach, summarise } from "../../cli/jetpack/summary.ts";
import { PROJECT_ROOT, quietDriverEnvironment } from "../../cli/system.ts";
import { visionModel } from "../../models/mod.ts";
import { assert, assertClose, assertEquals, denoTest } from "../harness.ts";

const costs: StepCosts = {
  batch: 64,
  adapter: "none [software]",
  runtime: "Deno",
  date: "2026-01-01",
  rounds: 3,
  models: {
    dense: { parameters: 1000, flops: 2e9, ms: 10, ratio: [1, 1, 1] },
    soft: { parameters: 2000, flops: 3e9, ms: 10, ratio: [1, 1.1, 1.2] },
    sphero: { parameters: 3000, flops: 1e9, ms: 10, ratio: [1.1, 1.25, 1.4] },
  },
};

function result(arm: string, seed: number, curve: number[], size = 500): RunResult {
  return {
    arm,
    size,
    epochs: 2,
    augmentation: "shift",
    seed,
    accuracy: curve[curve.length - 1],
    heldOut: 100,
    evaluations: curve.map((accuracy, i) => ({ step: 10 * i, accuracy })),
    losses: new Array(10 * (curve.length - 1)).fill(1),
    parameters: 1,
    seconds: 60,
    adapter: "none [software]",
    runtime: "Deno",
    date: "2026-01-01T00:00:00Z",
    config: {},
  };
}

const RUNS = [
  result("jetpack-graph-t0.05", 0, [0.1, 0.6, 0.7, 0.9]),
  result("jetpack-graph-t0.05", 1, [0.1, 0.4, 0.5, 0.8]),
  result("sphero-scratch-t0.05", 0, [0.1, 0.3, 0.65, 0.6]),
  result("sphero-scratch-t0.05", 1, [0.1, 0.3, 0.5, 0.9]),
  result("dense-finetuned", 0, [0.1, 0.5, 0.6, 0.7]),
];

denoTest(
  "the arms are the paper's, those of SpheroMoE at each temperature, of comparable size",
  () => {
    const arms = armsOf(ARM_NAMES, [0.05, 0.5]);
    assertEquals(arms.length, 3 + 2 * 6);
    assertEquals(new Set(arms.map(({ name }) => name)).size, arms.length);
    for (const arm of arms) assertEquals(armNamed(arm.name), arm);
    const [soft, sphero] = ["soft-scratch", "sphero-scratch-t0.5"]
      .map((name) => visionModel(modelOptions(armNamed(name))).learnedSize);
    assertClose([soft / sphero], [1], { atol: 0.01 });
  },
);

denoTest("summarise() gives mean, spread, and steps to the best of training from scratch", () => {
  const [budget] = summarise(RUNS);
  assertEquals(budget.arms.map(({ arm }) => arm.name), [
    "dense-finetuned",
    "sphero-scratch-t0.05",
    "jetpack-graph-t0.05",
  ]);
  const [dense, scratch, graph] = budget.arms;
  assertClose([graph.mean, graph.deviation!, graph.least, graph.most], [
    0.85,
    Math.SQRT1_2 / 10,
    0.8,
    0.9,
  ], {
    atol: 1e-12,
  });
  assertEquals([dense.deviation, dense.stepsToScratch], [null, []]);
  assertEquals([scratch.stepsToScratch, graph.stepsToScratch], [[20, 30], [20, null]]);
  assertEquals([bestOf(RUNS[2]), stepsToReach(RUNS[0], 0.95)], [0.65, null]);
  assertEquals(budgetRows(budget)[3], [
    "MoE Jetpack, graph, t = 0.05",
    "85.0 ± 7.1",
    "80.0 to 90.0",
    "0, 1",
    "20, never of 30",
  ]);
  assertEquals(
    summarise([
      ...RUNS,
      result("dense-scratch", 0, [0, 1], 50),
      { ...result("dense-scratch", 0, [0, 1]), augmentation: "randaugment" },
    ]).map(({ size, augmentation }) => `${size} ${augmentation}`),
    ["500 randaugment", "50 shift", "500 shift"],
  );
});

denoTest("other temperatures stand in a table of their own", () => {
  const runs = [
    ...RUNS,
    result("jetpack-copy-t0.5", 0, [0.1, 0.2, 0.3, 0.7]),
    result("jetpack-graph-t0.5", 0, [0.1, 0.2, 0.3, 0.6]),
    result("jetpack-graph-t0.5", 7, [0.1, 0.2, 0.3, 0.9]), // has no rival from scratch
    result("sphero-scratch-t0.5", 0, [0.1, 0.1, 0.2, 0.2]),
    result("jetpack-graph-t0.2", 0, [0.1, 0.2, 0.3, 0.4]),
  ];
  assertEquals([mainTemperature(runs), mainTemperature([RUNS[4]])], [0.05, null]);
  assertEquals(runsOfMain(runs), RUNS);
  assertEquals(temperatureRows(runs).slice(1), [
    ["500", "2", "shift", "0.05", "75.0", "85.0 (2 runs)", "70.0", "0, 1"],
    ["500", "2", "shift", "0.5", "20.0", "65.0 (2 runs)", "70.0", "0"],
  ]);
  assertEquals(temperatureRows(RUNS).length, 1);
  const findings = { runs, costs, command: "", pretraining: "", routing: "" };
  for (const text of [resultsMarkdown(findings), resultsPage(findings)]) {
    assert(text.includes("65.0 (2 runs)") && text.includes("The first temperature"), text);
    assert(!text.includes("t = 0.5"), "the main table has runs of another temperature");
  }
});

denoTest("the report holds table, plots, costs and the paper's figures as the paper's", () => {
  const findings = {
    runs: RUNS,
    costs,
    command: "deno task x --out <y>",
    pretraining: "clothes",
    routing: "",
  };
  const text = resultsMarkdown(findings), html = resultsPage(findings);
  for (
    const words of ["85.0 ± 7.1", "1.25 (1.10 to 1.40)", "not as a claim of parity", "79.9", "88.4"]
  ) {
    assert(text.includes(words), words);
    assert(html.includes(words), words);
  }
  assert(!/<script|<y>/.test(html) && !/https?:\/\//.test(html), "the page is not self-contained");
  const [[name, svg]] = resultPlots(findings);
  assert(text.includes(`](${name})`));
  assert(
    svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"') && svg.includes("jetpack-graph"),
  );
  assert(!/NaN|undefined/.test(text + html + svg));
  assertEquals(verdicts(summarise(RUNS)[0], RUNS), [
    "MoE Jetpack, graph, t = 0.05 (85.0 %, the best of 1 with 2 seeds): 10.0 points above the SpheroMoE from scratch over " +
    "2 seeds (30.0, -10.0); 20.0 points above the fine-tuned dense ViT over 1 seed.",
  ]);
});

denoTest(
  "the experiment goes on after Ctrl-C, does no run twice, and shows routing",
  async () => {
    const out = await Deno.makeTempDir({ prefix: "wgrad-jetpack-" });
    const start = (file?: string) => {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "cli/jetpack.ts", "--sizes", "20", "--epochs", "2", "--seeds", "1"]
          .concat(
            "--arms",
            "dense-scratch,jetpack-graph",
            "--temperatures",
            "0.5",
            "--held-out",
            "20",
            "--out",
            out,
          ),
        cwd: PROJECT_ROOT,
        env: { ...quietDriverEnvironment(), NO_COLOR: "1" },
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const sending = (async () => {
        if (file === undefined) return;
        while (!await Deno.stat(join(out, file)).then(() => true, () => false)) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        child.kill("SIGINT");
      })();
      return Promise.all([child.output(), sending]).then(([{ code, stdout, stderr }]) => ({
        code,
        stdout: new TextDecoder().decode(stdout),
        stderr: new TextDecoder().decode(stderr),
      }));
    };
    try {
      await Deno.writeTextFile(join(out, "step_costs.json"), JSON.stringify(costs));
      const stopped = await start("runs/dense-scratch-n20-e2-randaugment-s0.json");
      assertEquals(stopped.code, 130, stopped.stderr);
      const first = await Deno.stat(join(out, "runs/dense-scratch-n20-e2-randaugment-s0.json"));
      const done = await start();
      assertEquals(done.code, 0, done.stderr);
      assert(/experiment: 2 runs, 1 done, 1 to do; about/.test(done.stdout), done.stdout);
      const after = await Deno.stat(join(out, "runs/dense-scratch-n20-e2-randaugment-s0.json"));
      assertEquals(after.mtime, first.mtime);
      const page = await Deno.readTextFile(join(out, "report.html"));
      assert(page.includes("How it routes") && page.includes("core"));
      const run = JSON.parse(
        await Deno.readTextFile(join(out, "runs/jetpack-graph-t0.5-n20-e2-randaugment-s0.json")),
      );
      assertEquals([run.losses.length, run.heldOut, run.evaluations[0].temperatures.length], [
        2,
        20,
        3,
      ]);
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  },
  { timeout: 300 },
);
