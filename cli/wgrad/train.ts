/**
 * `deno task wgrad train --data SET --out DIR (--model NAME | --from FILE) [options]`
 *
 * Trains a classifier by a recipe. In DIR it leaves `model.safetensors` (with what `eval` and `routing` need to know),
 * `log.jsonl`, `result.json` and `report.html`; while it runs, `run.safetensors`, from which `--resume` goes on exactly.
 * @module
 */
import { requestDevice } from "../../engine/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import { checkWritable, readFileBytes, writeFileAtomic } from "../../io/files.ts";
import {
  imageSize,
  type MoeVitOptions,
  visionModel,
  type VisionTransformer,
} from "../../models/mod.ts";
import type { ImageSource } from "../../data/mod.ts";
import { Rng } from "../../nn/mod.ts";
import { stopIfAsked, withInterrupt } from "../interrupt.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { duration } from "../progress.ts";
import { LivePlot, terminalPlot } from "../report/terminal_plot.ts";
import { type RunObserver, trainClassifier } from "../training/classifier.ts";
import { evaluateClassifier } from "../training/evaluation.ts";
import { DATA_USAGE, limited, openData } from "../training/data.ts";
import { withChannels } from "../training/channels.ts";
import { loadModel, readCard, saveModel } from "../training/model_file.ts";
import { type Recipe, RECIPES, recipeWith, regularised } from "../training/recipe.ts";
import { removeRun } from "../run_checkpoint.ts";
import { RunLog } from "../training/run_log.ts";
import { type TrainingRecord, trainingReport } from "../training/report.ts";
import { evaluationTransform } from "../training/transforms.ts";
import { MODEL_USAGE, modelOption } from "./model_option.ts";

const USAGE = `deno task wgrad train: trains a classifier
  --data SET     ${DATA_USAGE}
  --out DIR      where model, log and report go
  --model NAME   ${MODEL_USAGE}
  --from FILE    first weights: safetensors or PyTorch; a file of \`wgrad train\` needs no --model
  --recipe R     ${
  Object.keys(RECIPES).join(" or ")
}, or a JSON file of settings on top of one ({ "recipe": "plain", … }); default plain
  --set K=V      a setting of the recipe, such as epochs=5; again and again
  --img-size N   side to which images are brought; default the model's, as the authors do with CIFAR too
  --seed N       default 0
  --limit N      so many training images, all classes alike; default all
  --eval-limit N so many held-out images along the way; default 1000
  --save-every N steps between two checkpoints; default 100
  --resume       go on where Ctrl-C, a kill or a full disk stopped a run with the same options`;

/** Parses, trains, and writes what came of it. */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = readArguments(USAGE, args, {
    options: {
      data: { type: "string" },
      out: { type: "string" },
      model: { type: "string" },
      from: { type: "string" },
      recipe: { type: "string", default: "plain" },
      set: { type: "string", multiple: true, default: [] },
      "img-size": { type: "string" },
      seed: { type: "string", default: "0" },
      limit: { type: "string" },
      "eval-limit": { type: "string", default: "1000" },
      "save-every": { type: "string", default: "100" },
      resume: { type: "boolean", default: false },
    },
  });
  const { data, out, model, from } = values;
  if (data === undefined || out === undefined || (model === undefined && from === undefined)) {
    throw new UsageError(
      "needs --data, --out, and --model or --from; --help lists the options",
    );
  }
  const optional = (name: "img-size" | "limit"): number | undefined =>
    values[name] === undefined ? undefined : wholeNumber(name, values[name], 1, 2 ** 31);
  await withInterrupt(async (signal) =>
    await train({
      data,
      out,
      model,
      from,
      recipe: await readRecipe(values.recipe, values.set),
      imgSize: optional("img-size"),
      seed: wholeNumber("seed", values.seed, 0, 2 ** 32 - 1),
      limit: optional("limit"),
      evalLimit: wholeNumber("eval-limit", values["eval-limit"], 1, 2 ** 31),
      saveEvery: wholeNumber("save-every", values["save-every"], 1, 2 ** 31),
      resume: values.resume,
      signal,
    })
  );
}

interface Settings {
  readonly data: string;
  readonly out: string;
  readonly model: string | undefined;
  readonly from: string | undefined;
  readonly recipe: Recipe;
  readonly imgSize: number | undefined;
  readonly seed: number;
  readonly limit: number | undefined;
  readonly evalLimit: number;
  readonly saveEvery: number;
  readonly resume: boolean;
  readonly signal: AbortSignal;
}

/**
 * The recipe that the options make.
 * @throws {DataError} a file that is none, or a setting
 * @throws {UsageError} there is no such recipe, or `--set` is not NAME=VALUE
 */
async function readRecipe(name: string, changes: readonly string[]): Promise<Recipe> {
  let recipe: Recipe;
  if (name.endsWith(".json")) {
    const text = new TextDecoder().decode(await readFileBytes(name));
    let settings: Record<string, unknown>;
    try {
      settings = JSON.parse(text);
    } catch (cause) {
      throw new UsageError(`--recipe ${name}: this is no JSON: ${(cause as Error).message}`);
    }
    const { recipe: base = "plain", ...own } = settings;
    recipe = recipeWith(recipeNamed(String(base)), own, name);
  } else recipe = recipeNamed(name);
  for (const change of changes) {
    const [, key, text] = /^([A-Za-z]+)=(.*)$/.exec(change) ?? [];
    if (key === undefined) throw new UsageError(`--set takes NAME=VALUE, not "${change}"`);
    let value: unknown = text;
    try {
      value = JSON.parse(text);
    } catch {
      // a text that is no JSON, such as the name of RandAugment's configuration
    }
    recipe = recipeWith(recipe, { [key]: value }, "--set");
  }
  return recipe;
}

function recipeNamed(name: string): Recipe {
  if (Object.hasOwn(RECIPES, name)) return RECIPES[name];
  throw new UsageError(
    `there is no recipe "${name}"; there are ${Object.keys(RECIPES).join(", ")}`,
  );
}

async function train(settings: Settings): Promise<void> {
  const { out, seed, signal } = settings;
  const begin = performance.now();
  await checkWritable(`${out}/model.safetensors`); // now, not after hours
  const parts = await openData(settings.data, seed);
  const { model, options, recipe } = await makeModel(settings, parts.train);
  const fit = (source: ImageSource): ImageSource => withChannels(source, model.config.inChans);
  const few = (source: ImageSource, count: number): ImageSource =>
    count >= source.count ? source : limited(source, count, new Rng(seed, "train/limit"));
  const training = fit(few(parts.train, settings.limit ?? Infinity)), heldOut = fit(parts.test);
  const curve = few(heldOut, settings.evalLimit);
  const transform = evaluationTransform(recipe, ...imageSize(model.config));

  using device = await requestDevice({ seed });
  await model.to(device, { seed });
  console.log(
    `train: ${device.label}; ${training.count} images, ${training.classes} classes, ${heldOut.count} held out; ` +
      `${model.learnedSize.toLocaleString("en")} parameters`,
  );
  const observer = new Observer(out);
  const run = await trainClassifier({
    device,
    model,
    recipe,
    data: training,
    seed,
    label: "train",
    signal,
    evaluate: async () => (await evaluateClassifier(device, model, curve, transform)).accuracy,
    checkpoint: { path: `${out}/run.safetensors`, every: settings.saveEvery },
    resume: settings.resume,
    config: asJson({ model: options, recipe }),
    observer,
  });
  model.eval();
  stopIfAsked(signal);
  const { predictions: _, ...evaluation } = await evaluateClassifier(
    device,
    model,
    heldOut,
    transform,
  );
  const names = training.names ?? null;
  const record: TrainingRecord = {
    command: `deno task wgrad ${Deno.args.join(" ")}`,
    data: settings.data,
    images: training.count,
    heldOut: heldOut.count,
    curve: curve.count,
    seed,
    adapter: device.label,
    runtime: `Deno ${Deno.version.deno}`,
    date: new Date().toISOString(),
    parameters: model.learnedSize,
    model: options,
    recipe,
    names,
    run,
    evaluation,
  };
  await saveModel(`${out}/model.safetensors`, model, { model: options, recipe, names });
  await writeFileAtomic(`${out}/result.json`, JSON.stringify(record) + "\n");
  await writeFileAtomic(`${out}/report.html`, trainingReport(record));
  await removeRun(`${out}/run.safetensors`);
  console.log(
    `train: ${(100 * evaluation.accuracy).toFixed(1)} % of ${heldOut.count} held-out images, in ${
      duration((performance.now() - begin) / 1000)
    }; ${out}/report.html`,
  );
}

/** The model with its first weights, its settings, and the recipe for as many channels as it has. */
async function makeModel(
  { model: name, from, recipe, imgSize }: Settings,
  data: ImageSource,
): Promise<{ model: VisionTransformer; options: MoeVitOptions; recipe: Recipe }> {
  const card = from === undefined ? null : await readCard(from);
  if (name === undefined && card === null) {
    throw new UsageError(`${from} does not say which model it is; name it with --model`);
  }
  const base: MoeVitOptions = name === undefined ? card!.model : (await modelOption(name)).options;
  const options = regularised(recipe, {
    ...base,
    numClasses: data.classes,
    ...(imgSize !== undefined && { imgSize }),
    ...(from === undefined && base.inChans === undefined && { inChans: data.channels }),
  });
  const fitted = forChannels(recipe, options.inChans ?? 3);
  if (from === undefined) return { model: visionModel(options), options, recipe: fitted };
  const { model, report } = await loadModel(from, options);
  console.log(String(report));
  return { model, options, recipe: fitted };
}

/** A recipe for grey images has one mean: that of its three. */
function forChannels(recipe: Recipe, channels: number): Recipe {
  const mean = (values: readonly number[]): number[] =>
    values.length === channels || values.length === 1
      ? [...values]
      : [values.reduce((a, b) => a + b, 0) / values.length];
  return { ...recipe, mean: mean(recipe.mean), std: mean(recipe.std) };
}

function asJson(value: unknown): JsonObject {
  return JSON.parse(JSON.stringify(value));
}

/** Writes the log and draws the plots. */
class Observer implements RunObserver {
  readonly #plot = new LivePlot();
  readonly #losses: { x: number; y: number }[] = [];
  readonly #accuracies: { x: number; y: number }[] = [];
  readonly #out: string;
  #log: RunLog | undefined;
  #steps = 1;

  constructor(out: string) {
    this.#out = out;
  }

  async onStart(...[{ step, steps, history }]: Parameters<NonNullable<RunObserver["onStart"]>>) {
    this.#steps = steps;
    history.losses.forEach((y, i) => this.#losses.push({ x: i + 1, y }));
    history.evaluations.forEach(({ step: x, accuracy }) =>
      this.#accuracies.push({ x, y: 100 * accuracy })
    );
    this.#log = await RunLog.open(`${this.#out}/log.jsonl`, step);
  }

  async onSteps(...[done]: Parameters<NonNullable<RunObserver["onSteps"]>>) {
    const first = done.step - done.losses.length + 1;
    for (const [i, loss] of done.losses.entries()) {
      this.#losses.push({ x: first + i, y: loss });
      await this.#log?.write({ step: first + i, loss });
    }
    const { step, lr } = done;
    await this.#log?.write({
      step,
      lr,
      imagesPerSecond: Number(done.imagesPerSecond.toPrecision(4)),
    });
    this.#draw();
  }

  async onEvaluation(...[point]: Parameters<NonNullable<RunObserver["onEvaluation"]>>) {
    this.#accuracies.push({ x: point.step, y: 100 * point.accuracy });
    await this.#log?.write({ ...point });
    this.#draw();
  }

  #draw(): void {
    this.#plot.draw([
      ...terminalPlot("training loss", this.#losses, this.#steps),
      ...terminalPlot("held-out accuracy, %", this.#accuracies, this.#steps, { height: 5 }),
    ]);
  }
}
