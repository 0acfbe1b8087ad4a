/**
 * The trainings of the experiment and their files. A finished one is never repeated; an interrupted one goes on.
 * @module
 */
import {
  CLIP_LENGTH,
  clipPipeline,
  type ClipSource,
  constantGazeErrors,
  type GazeClip,
  headPoseErrors,
  meanGaze,
  stills,
  testSteps,
} from "../../data/gaze/mod.ts";
import { type Device, requestDevice } from "../../engine/mod.ts";
import { loadSafetensorsFile, saveSafetensorsFile, writeFileAtomic } from "../../io/files.ts";
import type { JsonObject } from "../../io/mod.ts";
import { McGaze, type McGazeRecipe } from "../../models/mod.ts";
import type { StateDict } from "../../nn/mod.ts";
import { evaluateGazeModel } from "../gaze/evaluate.ts";
import { trainGaze } from "../gaze/trainer.ts";
import { CARD_KEY } from "../gaze/weights_card.ts";
import { stopIfAsked } from "../interrupt.ts";
import { removeRun } from "../run_checkpoint.ts";
import { arraysOf, stateOf } from "../state_arrays.ts";
import { loadWeights } from "../weights.ts";
import { modelOptions, pretrainModel } from "./arms.ts";
import {
  armConfig,
  armRecipe,
  type Job,
  nameOf,
  type Plan,
  PRETRAIN_SEED,
  pretrainConfig,
  pretrainRecipe,
  scheduleOf,
  type Start,
} from "./plan.ts";
import type { Baselines, RunResult, TrainingResult } from "./record.ts";

/** The clips of all trainings. */
export interface Clips {
  readonly train: ClipSource;
  /** Measured on along the way. */
  readonly validation: ClipSource;
  /** Measured on at the end. */
  readonly test: ClipSource;
}

/** Points of a curve. */
const POINTS = 12;

/** What one training needs. */
interface Training {
  readonly name: string;
  readonly model: McGaze;
  readonly device: Device;
  readonly clips: Clips;
  /** What is trained on, of clips of `frames` frames. */
  readonly source: ClipSource;
  readonly frames: number;
  readonly recipe: McGazeRecipe;
  readonly seed: number;
  readonly size: number;
  readonly config: JsonObject;
  /** Where its files go, up to their endings. */
  readonly path: string;
  readonly signal: AbortSignal;
}

/** Trains and measures. @throws {InterruptedError} the signal was aborted; the training can go on */
async function trainAndMeasure(training: Training): Promise<TrainingResult> {
  const { name, model, device, clips, source, recipe, seed, size, config, path, signal } = training;
  const transform = clipPipeline(testSteps({ size, flip: 0 }));
  const history = await trainGaze({
    device,
    model,
    clips: source,
    dataset: `synthetic train, heads of ${clips.train.count} clips at ${size} pixels`,
    transform: clipPipeline({ size, flip: 0.5 }),
    frames: training.frames,
    recipe,
    schedule: scheduleOf(recipe),
    seed,
    label: name,
    signal,
    evaluate: {
      every: Math.max(10, 10 * Math.round(recipe.steps / POINTS / 10)),
      run: () => evaluateGazeModel(device, model, clips.validation, { transform }),
    },
    checkpoint: { path: `${path}.run.safetensors`, every: 100 },
    resume: true,
    config,
    log: `${path}.jsonl`,
  });
  stopIfAsked(signal);
  model.eval();
  const evaluation = await evaluateGazeModel(device, model, clips.test, { transform });
  return {
    seed,
    evaluations: history.evaluations,
    losses: history.losses.map((loss) => Number(loss.toPrecision(6))),
    parameters: model.learnedSize,
    seconds: history.seconds,
    adapter: device.label,
    runtime: `Deno ${Deno.version.deno}`,
    date: new Date().toISOString(),
    config,
    evaluation,
  };
}

/** The weights first, then what says that they are whole, then the checkpoint goes. */
async function finish(path: string, model: McGaze, result: TrainingResult): Promise<void> {
  const { config, seed, evaluation } = result;
  const card = JSON.stringify({ config, seed, evaluation });
  const metadata = [["format", "pt"], [CARD_KEY, card]] as const;
  await saveSafetensorsFile(`${path}.safetensors`, arraysOf(await model.stateDict()), metadata);
  await writeFileAtomic(`${path}.json`, JSON.stringify(result) + "\n");
  await removeRun(`${path}.run.safetensors`);
}

/** Where the files of the training before the arms are, up to their endings. */
export function pretrainPath({ out }: Pick<Plan, "out">): string {
  return `${out}/pretrain`;
}

/** Where a job's files are, up to their endings. */
export function runPath({ out }: Pick<Plan, "out">, job: Job): string {
  return `${out}/runs/${nameOf(job)}`;
}

/** The training before the arms: on stills, so that a step sees as many people as frames. */
export async function pretrain(plan: Plan, clips: Clips, signal: AbortSignal): Promise<void> {
  using device = await requestDevice({ seed: PRETRAIN_SEED });
  const model = await new McGaze(pretrainModel(plan.size)).to(device, { seed: PRETRAIN_SEED });
  const path = pretrainPath(plan);
  await Deno.mkdir(plan.out, { recursive: true });
  const result = await trainAndMeasure({
    name: "pretrain",
    model,
    device,
    clips,
    source: stills(clips.train, CLIP_LENGTH),
    frames: 1,
    recipe: pretrainRecipe(plan.pretrainSteps),
    seed: PRETRAIN_SEED,
    size: plan.size,
    config: pretrainConfig(plan),
    path,
    signal,
  });
  await finish(path, model, result);
}

/** A run of an arm: all arms of a seed see the same clips in the same order. */
export async function runJob(
  job: Job,
  plan: Plan,
  clips: Clips,
  signal: AbortSignal,
): Promise<RunResult> {
  const { arm, seed } = job, path = runPath(plan, job);
  using device = await requestDevice({ seed });
  const model = new McGaze(modelOptions(arm, plan.size));
  const trained = await loadWeights(`${pretrainPath(plan)}.safetensors`);
  await startFrom(model, trained, plan.start);
  await model.to(device, { seed });
  await Deno.mkdir(`${plan.out}/runs`, { recursive: true });
  const result: RunResult = {
    arm,
    ...await trainAndMeasure({
      name: nameOf(job),
      model,
      device,
      clips,
      source: clips.train,
      frames: CLIP_LENGTH,
      recipe: armRecipe(plan.steps),
      seed,
      size: plan.size,
      config: armConfig(plan, arm),
      path,
      signal,
    }),
    testClips: clips.test.count,
    baselines: await baselinesOf(clips),
  };
  await finish(path, model, result);
  return result;
}

/** What sees, by name: the backbone and the pyramid on it. */
const SEEING = /^(backbone|neck)\./;

/**
 * Gives a model the weights of the training before it; what it has besides starts anew.
 * @returns how many tensors were taken
 */
export async function startFrom(model: McGaze, trained: StateDict, start: Start): Promise<number> {
  const taken = [...trained].filter(([name]) => start === "all" || SEEING.test(name));
  const shapes = new Map(taken.map(([name, { shape }]) => [name, shape]));
  const read = (name: string) => Promise.resolve(trained.get(name)!.data);
  const { loaded } = await model.loadStateFrom({ shapes, read }, { strict: false });
  return loaded.length;
}

/** A finished run's model, without memory on a device. */
export async function trainedModel(plan: Pick<Plan, "out">, run: RunResult): Promise<McGaze> {
  const { model } = run.config as { model: JsonObject };
  const { tensors } = await loadSafetensorsFile(`${runPath(plan, run)}.safetensors`);
  const made = new McGaze(model);
  made.loadStateDict(stateOf(tensors));
  return made;
}

async function baselinesOf({ train, test }: Clips): Promise<Baselines> {
  const all = async (source: ClipSource): Promise<GazeClip[]> => {
    const clips: GazeClip[] = [];
    for (let i = 0; i < source.count; i++) clips.push(await source.clip(i));
    return clips;
  };
  const tested = await all(test);
  const mean = meanGaze((await all(train)).map(({ gaze }) => gaze));
  return { constant: constantGazeErrors(tested, mean), headPose: headPoseErrors(tested) };
}
