/**
 * `deno task experiment:gaze [--quick] [--pretrain-steps N] [--steps N] [--seeds N] [--arms …] [--size PX] [--out DIR]`
 *
 * MCGaze's ablation on rendered clips: the head alone, all clues in single frames, all clues over time. All start from a
 * backbone that was trained on single frames before.
 * @module
 */
import { Buffer } from "node:buffer";
import { CLIP_LENGTH } from "../data/gaze/mod.ts";
import { requestDevice } from "../engine/mod.ts";
import {
  checkWritable,
  loadSafetensorsFile,
  saveSafetensorsFile,
  writeFileAtomic,
} from "../io/files.ts";
import { type ArmName, ARMS } from "./gaze_experiment/arms.ts";
import { cacheBytes, clipsToRender, renderedClips } from "./gaze_experiment/clip_cache.ts";
import { type Costs, costsFor } from "./gaze_experiment/costs.ts";
import {
  armConfig,
  clipsOf,
  FRAMES_A_STEP,
  type Job,
  jobsOf,
  nameOf,
  type Plan,
  pretrainConfig,
} from "./gaze_experiment/plan.ts";
import { FRAMES_TEXT, frameSheet } from "./gaze_experiment/frames.ts";
import {
  readFinished,
  readResult,
  readRuns,
  type RunResult,
  type TrainingResult,
} from "./gaze_experiment/record.ts";
import {
  type Findings,
  FRAMES,
  resultPlots,
  resultsMarkdown,
  resultsPage,
  summaryLines,
} from "./gaze_experiment/report.ts";
import {
  type Clips,
  pretrain,
  pretrainPath,
  runJob,
  runPath,
  trainedModel,
} from "./gaze_experiment/run.ts";
import { bestFull, verdicts } from "./gaze_experiment/summary.ts";
import { stopIfAsked, withInterrupt } from "./interrupt.ts";
import { ProgramError, readArguments, runMain, UsageError, wholeNumber } from "./main.ts";
import { encodePng } from "./png.ts";
import { duration } from "./progress.ts";
import { setUp } from "./setup.ts";
import { PROJECT_ROOT } from "./system.ts";

/** Numbers of a whole experiment, and of a quick one. */
const WHOLE = { clips: 6000, test: 200, pretrainSteps: 6000, steps: 1000, seeds: 3 };
const QUICK = { clips: 1000, test: 100, pretrainSteps: 1200, steps: 400, seeds: 1 };

const USAGE = `deno task experiment:gaze [options]: what MCGaze's clues and frames are worth
  --pretrain-steps N  steps of the training before the arms, on ${FRAMES_A_STEP} single frames each;
                      default ${WHOLE.pretrainSteps}
  --steps N      steps of each arm, on ${
  FRAMES_A_STEP / CLIP_LENGTH
} clips of ${CLIP_LENGTH} frames each; default ${WHOLE.steps}
  --seeds N      how many seeds; default ${WHOLE.seeds}
  --seed N       the first seed; default 0
  --arms LIST    of ${ARMS.join(", ")}; default all
  --start WHAT   what an arm takes from the training before: backbone (with the pyramid on it), or all that fits by name;
                 default backbone
  --clips N      rendered clips to train on; default ${WHOLE.clips}
  --test N       rendered clips of other people and lights to measure on at the end; default ${WHOLE.test}
  --size PX      side of the frames; default 64
  --workers N    threads that render; default 2
  --quick        ${QUICK.clips} clips, ${QUICK.pretrainSteps} and ${QUICK.steps} steps, one seed: about 20 minutes
  --out DIR      where clips, runs and results go; default out/gaze_experiment. Finished runs in it are not repeated, and
                 all of them are in the results
  --report       only write the results of the runs that are finished
  --no-install   print what to install instead of installing it`;

interface Options {
  readonly plan: Plan;
  readonly workers: number;
  readonly report: boolean;
  readonly install: boolean;
}

function readOptions(): Options {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      "pretrain-steps": { type: "string" },
      steps: { type: "string" },
      seeds: { type: "string" },
      seed: { type: "string", default: "0" },
      arms: { type: "string" },
      start: { type: "string", default: "backbone" },
      clips: { type: "string" },
      test: { type: "string" },
      size: { type: "string", default: "64" },
      workers: { type: "string", default: "2" },
      quick: { type: "boolean", default: false },
      report: { type: "boolean", default: false },
      out: { type: "string", default: `${PROJECT_ROOT}out/gaze_experiment` },
      "no-install": { type: "boolean", default: false },
    },
  });
  const usual = values.quick ? QUICK : WHOLE;
  const number = (
    name: "clips" | "test" | "steps" | "seeds" | "pretrain-steps",
    fallback: number,
    least: number,
    most: number,
  ): number => wholeNumber(name, values[name] ?? String(fallback), least, most);
  const { start } = values;
  if (start !== "backbone" && start !== "all") {
    throw new UsageError(`--start takes backbone or all, not "${start}"`);
  }
  const size = wholeNumber("size", values.size, 32, 448);
  if (size % 32 !== 0) throw new UsageError(`--size takes a multiple of 32, not ${size}`);
  const first = wholeNumber("seed", values.seed, 0, 2 ** 31);
  const plan: Plan = {
    out: values.out,
    size,
    clips: number("clips", usual.clips, 8, 1e5),
    test: number("test", usual.test, 4, 1e4),
    pretrainSteps: number("pretrain-steps", usual.pretrainSteps, 2, 1e7),
    start,
    steps: number("steps", usual.steps, 2, 1e7),
    arms: armsIn(values.arms),
    seeds: Array.from({ length: number("seeds", usual.seeds, 1, 100) }, (_, i) => first + i),
  };
  return {
    plan,
    workers: wholeNumber("workers", values.workers, 1, 64),
    report: values.report,
    install: !values["no-install"],
  };
}

function armsIn(text: string | undefined): readonly ArmName[] {
  const names = text?.split(",").map((name) => name.trim()) ?? ARMS;
  const unknown = names.find((name) => !ARMS.some((arm) => arm === name));
  if (unknown !== undefined) {
    throw new UsageError(`--arms takes ${ARMS.join(", ")}, not "${unknown}"`);
  }
  return ARMS.filter((arm) => names.includes(arm));
}

async function experiment(
  { plan, workers, report }: Options,
  signal: AbortSignal,
): Promise<void> {
  await checkWritable(`${plan.out}/results.md`); // now, not after hours
  if (!report) await trainAll(plan, workers, signal);
  const runs = await writeResults(plan, workers, signal);
  for (const line of summaryLines(runs)) console.log(line);
  for (const { goal, found, met } of verdicts(runs)) {
    console.log(`${met ? "met    " : "not met"}  ${goal}: ${found}`);
  }
  console.log(`experiment: results ${plan.out}/results.md, ${plan.out}/report.html`);
}

/** Does what is not done yet. */
async function trainAll(plan: Plan, workers: number, signal: AbortSignal): Promise<void> {
  const pretrained =
    await readFinished(`${pretrainPath(plan)}.json`, pretrainConfig(plan)) !== null;
  const jobs = jobsOf(plan), open: Job[] = [];
  for (const job of jobs) {
    if (!await readFinished(`${runPath(plan, job)}.json`, armConfig(plan, job.arm))) open.push(job);
  }
  if (!pretrained || open.length > 0) {
    const costs = await costsFor(plan);
    stopIfAsked(signal);
    await printEstimate(plan, costs, { pretrained, open, workers });
    const clips = await clipsFor(plan, workers, signal);
    if (!pretrained) await pretrain(plan, clips, signal);
    stopIfAsked(signal);
    const begin = performance.now();
    for (const [i, job] of open.entries()) {
      const { evaluation } = await runJob(job, plan, clips, signal);
      const each = (performance.now() - begin) / 1000 / (i + 1), left = open.length - i - 1;
      console.log(
        `experiment: ${nameOf(job)} ${
          evaluation.clues.final.raw.all360.degrees!.toFixed(2)
        }°; ${left} runs left${left > 0 ? `, about ${duration(each * left)}` : ""}`,
      );
      stopIfAsked(signal);
    }
  }
}

/** What is open, and how long it will take. */
async function printEstimate(
  plan: Plan,
  { step, clip, adapter }: Costs,
  { pretrained, open, workers }: { pretrained: boolean; open: readonly Job[]; workers: number },
): Promise<void> {
  let render = 0, bytes = 0;
  for (const options of Object.values(clipsOf(plan))) {
    render += await clipsToRender(clipFolder(plan), options) * clip / 1000 / workers;
    bytes += cacheBytes(options);
  }
  const before = pretrained ? 0 : plan.pretrainSteps * step.pretrain / 1000;
  const arms = open.reduce((sum, { arm }) => sum + plan.steps * step[arm] / 1000, 0);
  console.log(`experiment: at the speed of this moment (${adapter})
  clips     ${
    duration(render).padStart(7)
  }  ${plan.clips} to train on and ${plan.test} to measure on, ${
    (bytes / 1e6).toFixed(0)
  } MB of files, ${clip.toFixed(0)} ms a clip on each of ${workers} threads
  before    ${duration(before).padStart(7)}  ${
    pretrained ? "done" : `${plan.pretrainSteps} steps of ${step.pretrain.toFixed(0)} ms`
  }
  arms      ${duration(arms).padStart(7)}  ${open.length} of ${
    jobsOf(plan).length
  } runs to do, ${plan.steps} steps of ${
    plan.arms.map((arm) => `${step[arm].toFixed(0)} (${arm})`).join(", ")
  } ms
  together  ${duration(render + before + arms).padStart(7)}, and what is interrupted goes on`);
}

function clipFolder({ out }: Plan): string {
  return `${out}/clips`;
}

async function clipsFor(plan: Plan, workers: number, signal: AbortSignal): Promise<Clips> {
  const warn = (message: string): void => console.error(`experiment: ${message}`);
  const { validation, test, train } = clipsOf(plan), folder = clipFolder(plan);
  const options = { workers, signal, warn };
  return {
    validation: await renderedClips(folder, validation, options),
    test: await renderedClips(folder, test, options),
    train: await renderedClips(folder, train, options),
  };
}

/** Writes text, page, plots, example frames and the best full model, from all finished runs of the folder. */
async function writeResults(
  plan: Plan,
  workers: number,
  signal: AbortSignal,
): Promise<readonly RunResult[]> {
  const { out } = plan;
  const runs = await readRuns(out);
  const pretraining = await readResult<TrainingResult>(`${pretrainPath(plan)}.json`);
  if (runs.length === 0 || pretraining === null) {
    throw new ProgramError(`${out}: no run is finished yet`);
  }
  const best = bestFull(runs);
  const sheet = best === null ? null : await writeBest(plan, best, workers, signal);
  const findings = (png: string): Findings => ({
    runs,
    pretraining,
    command: commandFor(runs),
    frames: sheet === null ? null : { png, text: FRAMES_TEXT },
  });
  await writeFileAtomic(`${out}/results.md`, resultsMarkdown(findings(FRAMES)));
  for (const [name, svg] of resultPlots(findings(FRAMES))) {
    await writeFileAtomic(`${out}/${name}`, svg);
  }
  const inlined = `data:image/png;base64,${Buffer.from(sheet ?? "").toString("base64")}`;
  await writeFileAtomic(`${out}/report.html`, resultsPage(findings(inlined)));
  return runs;
}

/** The frames' picture, and the weights as `wgrad gaze` takes them, with what is known of them beside. */
async function writeBest(
  plan: Plan,
  best: RunResult,
  workers: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { out } = plan;
  const { test, size } = planOf(best);
  const options = clipsOf({ ...plan, test, size }).test;
  const warn = (message: string): void => console.error(`experiment: ${message}`);
  const clips = await renderedClips(clipFolder(plan), options, { workers, signal, warn });
  using device = await requestDevice({ seed: 0 });
  const model = await (await trainedModel(plan, best)).to(device);
  model.eval();
  const sheet = await encodePng(await frameSheet(device, model, clips));
  await writeFileAtomic(`${out}/${FRAMES}`, sheet);
  const { tensors, metadata } = await loadSafetensorsFile(`${runPath(plan, best)}.safetensors`);
  await saveSafetensorsFile(`${out}/mcgaze_small.safetensors`, tensors, [...metadata]);
  const { seed, evaluation, baselines, testClips, config, parameters, adapter, date } = best;
  const card = { seed, parameters, testClips, evaluation, baselines, adapter, date, config };
  await writeFileAtomic(`${out}/mcgaze_small.json`, JSON.stringify(card, null, 1) + "\n");
  return sheet;
}

/** What a run's settings say of its plan. */
function planOf({ config }: RunResult) {
  const { clips, test, start, recipe, model, pretrain } = config as unknown as
    & Pick<Plan, "clips" | "test" | "start">
    & {
      recipe: { steps: number };
      model: { imageSize: number };
      pretrain: { recipe: { steps: number } };
    };
  const { steps } = recipe, pretrainSteps = pretrain.recipe.steps;
  return { clips, test, start, steps, pretrainSteps, size: model.imageSize };
}

/** The command that makes these runs. */
function commandFor(runs: readonly RunResult[]): string {
  const { clips, test, start, steps, pretrainSteps, size } = planOf(runs[0]);
  const seeds = runs.map(({ seed }) => seed), first = Math.min(...seeds);
  return "deno task experiment:gaze " +
    `--clips ${clips} --test ${test} --size ${size} --pretrain-steps ${pretrainSteps} --start ${start} ` +
    `--steps ${steps} --seed ${first} --seeds ${Math.max(...seeds) - first + 1}`;
}

await runMain("experiment", async () => {
  const options = readOptions();
  await setUp({ install: options.install });
  await withInterrupt((signal) => experiment(options, signal));
}, "The same command goes on.");
