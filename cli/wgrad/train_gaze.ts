/**
 * `deno task wgrad train-gaze [--preset NAME] [--out DIR] …`
 *
 * Trains MCGaze on synthetic clips and measures it on clips of other subjects and lights; or with `--data` on a folder laid
 * out as the authors' (data/gaze/files.ts), measured on its test part. Writes `model.safetensors`,
 * `record.json`, `train.jsonl` (as it goes) and `report.html` into a folder; `run.safetensors` is what a stopped run goes on
 * from.
 * @module
 */
import {
  cachedClips,
  CLIP_LENGTH,
  clipPipeline,
  type ClipSource,
  type ClipSteps,
  constantGazeErrors,
  type GazeClip,
  headPoseErrors,
  meanGaze,
  someFrames,
  SyntheticClips,
  testSteps,
  TRAIN_STEPS,
} from "../../data/gaze/mod.ts";
import { requestDevice } from "../../engine/mod.ts";
import { checkWritable, writeFileAtomic } from "../../io/files.ts";
import type { JsonObject } from "../../io/mod.ts";
import { openWeights, weightsSource } from "../../io/weights.ts";
import {
  GAZE_CLUES,
  type GazeClue,
  McGaze,
  MCGAZE_PRESETS,
  MCGAZE_RECIPE,
  MCGAZE_SMALL_RECIPE,
  type McGazeRecipe,
} from "../../models/mod.ts";
import { evaluateGazeModel } from "../gaze/evaluate.ts";
import { folderClips } from "../gaze/folder_clips.ts";
import { gazeReport } from "../gaze/report.ts";
import { trainGaze } from "../gaze/trainer.ts";
import { WorkerClips } from "../gaze/worker_clips.ts";
import { CARD_KEY } from "../gaze/weights_card.ts";
import { stopIfAsked, withInterrupt } from "../interrupt.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { quietDrivers } from "../system.ts";
import { saveWeights } from "../weights.ts";
import { openWeightsFile } from "../weights_file.ts";

const USAGE = `Usage: deno task wgrad train-gaze [OPTIONS]

  --preset NAME    ${Object.keys(MCGAZE_PRESETS).join(", ")}; default mcgaze_small
  --out DIR        where everything goes; default out/train-gaze
  --clues LIST     head, or face,head, or face,eyes,head; default all three
  --single         frames by themselves: no attention over time
  --no-spatial     clues by themselves: no attention between them
  --steps N        default: the preset's recipe
  --batch N        clips a step; default the recipe's
  --lr X           default the recipe's
  --frames N       frames in a row of each clip that a step sees, of 7; default 7
  --data DIR       annotated videos instead of rendered clips: train.json, train_rawframes/, test.json,
                   test_rawframes/, as the authors lay them out
  --crop           cut the middle out of its frames as the authors do for Gaze360: 0.68 to 1 of each side
  --clips N        rendered training clips, each seen several times; default 3000
  --test N         clips to measure on at the end; default 200 (a quarter of them along the way)
  --size N         side of the frames in pixels; default the preset's
  --init FILE      weights to start from (safetensors or .pth); what fits by name is taken
  --workers N      threads that render; default 1
  --seed N         default 0
  --resume         go on where a run with the same options was stopped`;

interface Settings {
  readonly preset: keyof typeof MCGAZE_PRESETS;
  readonly out: string;
  readonly clues: readonly GazeClue[];
  readonly temporal: boolean;
  readonly spatial: boolean;
  readonly recipe: McGazeRecipe;
  readonly frames: number;
  readonly data: string | undefined;
  readonly crop: boolean;
  readonly clips: number;
  readonly test: number;
  readonly size: number;
  readonly init: string | undefined;
  readonly workers: number;
  readonly seed: number;
  readonly resume: boolean;
}

/** Runs the command. */
export async function run(args: readonly string[]): Promise<void> {
  quietDrivers();
  const settings = readSettings(args);
  await withInterrupt((signal) => trainAndReport(settings, signal));
}

function readSettings(args: readonly string[]): Settings {
  const { values } = readArguments(USAGE, args, {
    options: {
      preset: { type: "string", default: "mcgaze_small" },
      out: { type: "string", default: "out/train-gaze" },
      clues: { type: "string", default: GAZE_CLUES.join() },
      single: { type: "boolean", default: false },
      "no-spatial": { type: "boolean", default: false },
      steps: { type: "string" },
      batch: { type: "string" },
      lr: { type: "string" },
      frames: { type: "string", default: String(CLIP_LENGTH) },
      data: { type: "string" },
      crop: { type: "boolean", default: false },
      clips: { type: "string", default: "3000" },
      test: { type: "string", default: "200" },
      size: { type: "string" },
      init: { type: "string" },
      workers: { type: "string", default: "1" },
      seed: { type: "string", default: "0" },
      resume: { type: "boolean", default: false },
    },
  });
  if (!Object.hasOwn(MCGAZE_PRESETS, values.preset)) {
    throw new UsageError(
      `--preset is one of ${Object.keys(MCGAZE_PRESETS).join(", ")}, not ${values.preset}`,
    );
  }
  const preset = values.preset as Settings["preset"];
  const number = (name: "steps" | "batch" | "size", fallback: number, most: number): number =>
    values[name] === undefined ? fallback : wholeNumber(name, values[name], 1, most);
  const named = preset === "mcgaze_small" ? MCGAZE_SMALL_RECIPE : MCGAZE_RECIPE;
  const lr = values.lr === undefined ? named.lr : Number(values.lr);
  if (!(lr > 0 && lr < 1)) throw new UsageError(`--lr takes a number in (0, 1), not ${values.lr}`);
  const steps = number("steps", named.steps, 1e7);
  const share = steps / named.steps; // a shorter run keeps the proportions of its schedule
  return {
    preset,
    out: values.out,
    clues: cluesIn(values.clues),
    temporal: !values.single,
    spatial: !values["no-spatial"],
    recipe: {
      ...named,
      lr,
      steps,
      batchSize: number("batch", named.batchSize, 1024),
      milestones: named.milestones.map((milestone) => Math.round(share * milestone)),
      warmupSteps: Math.round(Math.min(1, share) * named.warmupSteps),
    },
    frames: wholeNumber("frames", values.frames, 1, CLIP_LENGTH),
    data: values.data,
    crop: values.crop,
    clips: wholeNumber("clips", values.clips, 1, 1e6),
    test: wholeNumber("test", values.test, 4, 1e5),
    size: number("size", MCGAZE_PRESETS[preset].imageSize ?? 224, 1024),
    init: values.init,
    workers: wholeNumber("workers", values.workers, 1, 64),
    seed: wholeNumber("seed", values.seed, 0, 2 ** 32 - 1),
    resume: values.resume,
  };
}

function cluesIn(text: string): readonly GazeClue[] {
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !GAZE_CLUES.some((clue) => clue === name));
  if (unknown !== undefined) {
    throw new UsageError(`--clues: there is no clue ${JSON.stringify(unknown)}`);
  }
  return GAZE_CLUES.filter((clue) => names.includes(clue));
}

async function trainAndReport(settings: Settings, signal: AbortSignal): Promise<void> {
  const { preset, out, clues, temporal, spatial, recipe, size, seed, frames } = settings;
  await Deno.mkdir(out, { recursive: true });
  const weights = `${out}/model.safetensors`;
  await checkWritable(weights);
  const options = { ...MCGAZE_PRESETS[preset], clues, temporal, spatial, imageSize: size };
  using device = await requestDevice({ seed });
  const model = new McGaze(options);
  if (settings.init !== undefined) await loadInitial(model, settings.init);
  await model.to(device, { seed });
  console.log(
    `train-gaze: ${device.label}, ${preset}, ${
      (model.learnedSize / 1e6).toFixed(2)
    } million weights, ${recipe.steps} steps of ${recipe.batchSize} clips, seed ${seed}`,
  );
  const steps: ClipSteps = {
    size,
    flip: 0.5,
    ...(settings.crop ? { crop: TRAIN_STEPS.gaze360.crop } : {}),
  };
  using data = await clipsFor(settings);
  const { held } = data;
  const transform = clipPipeline(testSteps(steps));
  const shorten = someFrames(frames), augment = clipPipeline(steps);
  const config: JsonObject = {
    kind: "train-gaze",
    preset,
    clues: [...clues],
    temporal,
    spatial,
    size,
    clips: settings.clips,
    ...(settings.data === undefined ? {} : { data: settings.data, crop: settings.crop }),
    frames,
    recipe: { ...recipe, milestones: [...recipe.milestones] },
  };
  const history = await trainGaze({
    device,
    model,
    clips: data.train,
    dataset: data.name,
    transform: (clip, rng) => augment(shorten(clip, rng), rng),
    frames,
    recipe,
    seed,
    label: "train-gaze",
    signal,
    evaluate: {
      every: Math.max(10, Math.round(recipe.steps / 150) * 10),
      run: () => {
        const count = Math.ceil(held.count / 4);
        return evaluateGazeModel(device, model, held, { transform, count });
      },
    },
    checkpoint: { path: `${out}/run.safetensors`, every: 100 },
    resume: settings.resume,
    config,
    log: `${out}/train.jsonl`,
  });
  stopIfAsked(signal);
  model.eval();
  const evaluation = await evaluateGazeModel(device, model, held, { transform });
  const baselines = await baselineErrors(held);
  const card = { config: { ...config, model: options }, seed, evaluation };
  await saveWeights(weights, model, [[CARD_KEY, JSON.stringify(card)]]);
  const facts = {
    Adapter: device.label,
    Runtime: `Deno ${Deno.version.deno}`,
    Date: new Date().toISOString().slice(0, 10),
    Settings: JSON.stringify(config),
    "Clips measured on": data.measured,
  };
  const title = `MCGaze, ${preset}, trained on ${data.name}`;
  const report = gazeReport({ title, about: data.about, history, evaluation, baselines, facts });
  await writeFileAtomic(`${out}/report.html`, report);
  const record = { config, seed, evaluation, baselines, seconds: history.seconds, facts };
  await writeFileAtomic(`${out}/record.json`, JSON.stringify(record, null, 2) + "\n");
  const final = evaluation.clues.final.raw.all360.degrees;
  console.log(
    `train-gaze: ${final?.toFixed(2)}° on ${held.count} unseen clips (${
      Object.entries(baselines).map(([name, value]) => `${name} ${value.toFixed(2)}°`).join(", ")
    }); wrote ${out}/report.html`,
  );
}

/** What to train and measure on. */
interface TrainingData extends Disposable {
  readonly train: ClipSource;
  readonly held: ClipSource;
  /** Tells the training clips from others. */
  readonly name: string;
  /** What is measured on, in words. */
  readonly measured: string;
  /** Both in sentences, for the report. */
  readonly about: string;
}

/** Rendered clips, or those of a folder. */
async function clipsFor(settings: Settings): Promise<TrainingData> {
  const { data, clips, test, size, seed } = settings;
  if (data !== undefined) {
    const { train, held } = await folderClips(data, test);
    return {
      train,
      held,
      name: `${train.count} clips of ${data}`,
      measured: `${held.count}, of its test part`,
      about: `Mean angular errors on clips of the test part of ${data}; trained on its train part.`,
      [Symbol.dispose]: () => {},
    };
  }
  const workers = new WorkerClips(
    { split: "train", count: clips, size, seed },
    settings.workers,
  );
  return {
    train: cachedClips(workers),
    held: cachedClips(new SyntheticClips({ split: "validation", count: test, size, seed: 0 })),
    name: `synthetic train, heads of ${clips} clips at ${size} pixels, seed ${seed}`,
    measured: `${test}, of unseen subjects and lights`,
    about:
      "Mean angular errors on rendered clips of subjects and lights that were not trained on. " +
      "Trained on synthetic clips, not validated on people.",
    [Symbol.dispose]: () => workers[Symbol.dispose](),
  };
}

/** Takes what fits by name from a checkpoint, such as a backbone trained before. */
async function loadInitial(model: McGaze, path: string): Promise<void> {
  await using file = await openWeightsFile(path);
  const source = weightsSource(await openWeights(file));
  const { loaded, missing } = await model.loadStateFrom(source, { strict: false });
  if (loaded.length === 0) {
    throw new UsageError(`--init ${path}: no tensor in it has a name and shape of the model's`);
  }
  console.log(`train-gaze: ${loaded.length} tensors from ${path}, ${missing.length} start anew`);
}

/** Errors of answers that look at no eye, over all frames, in degrees. */
async function baselineErrors(
  source: { count: number; clip(i: number): GazeClip | Promise<GazeClip> },
): Promise<Record<string, number>> {
  const clips: GazeClip[] = [];
  for (let i = 0; i < source.count; i++) clips.push(await source.clip(i));
  const constant = constantGazeErrors(clips, meanGaze(clips.map(({ gaze }) => gaze)));
  const posed = clips.every(({ headPose }) => headPose !== undefined);
  return {
    "constant gaze": constant.all360.degrees!,
    ...(posed ? { "true head pose": headPoseErrors(clips).all360.degrees! } : {}),
  };
}
