/**
 * One training run of the comparison, and its file. A finished run is never repeated; an interrupted one goes on.
 * @module
 */
import { balancedSample, type DatasetParts, type ImageSet, subset } from "../../data/mod.ts";
import { DataError, type Device } from "../../engine/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import { writeFileAtomic } from "../../io/files.ts";
import { visionModel } from "../../models/mod.ts";
import { Rng, type StateDict } from "../../nn/mod.ts";
import { EVALUATION } from "../demo/recipe.ts";
import { stopIfAsked } from "../interrupt.ts";
import { trainClassifier } from "../training/classifier.ts";
import { evaluateClassifier } from "../training/evaluation.ts";
import { saveModel } from "../training/model_file.ts";
import { PLAIN, type Recipe } from "../training/recipe.ts";
import { removeRun } from "../run_checkpoint.ts";
import { type Augmentation, recipeOf } from "./augmentation.ts";
import { type Arm, firstWeights, isJetpack, modelOptions } from "./arms.ts";
import type { RunResult } from "./record.ts";

/** Held-out images of the curves at most; the final figures are taken on all. */
export const CURVE = 500;
/** Points of a curve after its start. */
export const POINTS = 10;

/** A run to be done. */
export interface Job {
  readonly arm: Arm;
  readonly size: number;
  readonly epochs: number;
  readonly augmentation: Augmentation;
  readonly seed: number;
}

/** What all runs share. */
export interface Setting {
  readonly out: string;
  readonly mnist: DatasetParts;
  /** Held-out images of the final figures. */
  readonly heldOut: number;
  /** The pre-trained dense model. */
  readonly dense: StateDict;
  readonly signal: AbortSignal;
}

/** The name of a job's files. */
export function nameOf({ arm, size, epochs, augmentation, seed }: Job): string {
  return `${arm.name}-n${size}-e${epochs}-${augmentation}-s${seed}`;
}

/** What decides a run's outcome, besides size, epochs and seed. */
export function configOf(job: Job): JsonObject {
  const model = modelOptions(job.arm), recipe = recipeOf(job);
  return JSON.parse(JSON.stringify({ start: job.arm.start, model, recipe }));
}

/**
 * The result of a job that is finished; null where it is not.
 * @throws {DataError} the file is damaged, or of a run with other settings
 */
export async function readResult(
  out: string,
  job: Job,
  heldOut: number,
): Promise<RunResult | null> {
  const path = resultPath(out, job);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  const result = parseResult(path, text);
  const same = result.heldOut === heldOut &&
    essential(result.config) === essential(configOf(job));
  if (!same) {
    throw new DataError(`${path}: it is of a run with other settings; choose another --out`);
  }
  return result;
}

/** A configuration as text, without what a plain recipe says too: settings that came later do not make runs differ. */
function essential({ recipe, ...rest }: JsonObject): string {
  const own = Object.entries(recipe as JsonObject).filter(([name, value]) =>
    JSON.stringify(value) !== JSON.stringify(PLAIN[name as keyof Recipe])
  );
  return JSON.stringify([rest, own.sort()]);
}

/**
 * All finished runs of a folder.
 * @throws {DataError} a file is damaged
 */
export async function readResults(out: string): Promise<RunResult[]> {
  const results: RunResult[] = [];
  for await (const { name } of Deno.readDir(`${out}/runs`)) {
    if (!name.endsWith(".json")) continue;
    const path = `${out}/runs/${name}`;
    results.push(parseResult(path, await Deno.readTextFile(path)));
  }
  return results;
}

function parseResult(path: string, text: string): RunResult {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${path}: it is no JSON; remove it to repeat that run`, { cause });
  }
}

/**
 * Trains and measures; the result is written when all is done.
 * @throws {InterruptedError} the signal was aborted; the run can go on
 */
export async function runJob(job: Job, setting: Setting, device: Device): Promise<RunResult> {
  const { arm, size, epochs, augmentation, seed } = job;
  const recipe = recipeOf(job);
  const { out, mnist, dense, signal } = setting;
  const name = nameOf(job);
  device.stepIndex = 0; // all arms draw the same random masks
  const train = trainingImages(mnist.train, size, seed);
  const { heldOut, curve } = heldOutImages(mnist.test, setting.heldOut);
  const model = visionModel(modelOptions(arm));
  const weights = await firstWeights(arm, dense, train, device, seed);
  if (weights) model.loadStateDict(weights);
  await model.to(device, { seed });
  try {
    const checkpoint = { path: `${out}/runs/${name}.run.safetensors`, every: 40 };
    const accuracyOn = async (data: ImageSet): Promise<number> =>
      (await evaluateClassifier(device, model, data, EVALUATION)).accuracy;
    const config = configOf(job);
    const run = await trainClassifier({
      device,
      model,
      recipe,
      data: train,
      seed,
      label: name,
      signal,
      evaluate: () => accuracyOn(curve),
      evaluations: POINTS,
      checkpoint,
      resume: await exists(checkpoint.path),
      config,
    });
    model.eval();
    stopIfAsked(signal);
    const result: RunResult = {
      arm: arm.name,
      size,
      epochs,
      augmentation,
      seed,
      accuracy: await accuracyOn(heldOut),
      heldOut: heldOut.count,
      evaluations: run.evaluations,
      losses: run.losses.map((loss) => Number(loss.toPrecision(6))),
      parameters: model.learnedSize,
      seconds: run.seconds,
      adapter: device.label,
      runtime: `Deno ${Deno.version.deno}`,
      date: new Date().toISOString(),
      config,
    };
    if (isJetpack(arm)) {
      const card = { model: modelOptions(arm), recipe, names: null };
      await saveModel(weightsPath(out, job), model, card);
    }
    await writeFileAtomic(resultPath(out, job), JSON.stringify(result) + "\n");
    await removeRun(checkpoint.path);
    return result;
  } finally {
    model.dispose();
  }
}

/** The training images of a size and seed: the same for all arms, the smaller part of the larger. */
export function trainingImages(all: ImageSet, size: number, seed: number): ImageSet {
  return subset(all, balancedSample(all, size, new Rng(seed, "jetpack/images")));
}

/** Held-out images: the same for all runs. */
export function heldOutImages(
  all: ImageSet,
  count: number,
): { heldOut: ImageSet; curve: ImageSet } {
  const heldOut = subset(all, balancedSample(all, count, new Rng(0, "jetpack/held")));
  const curve = subset(
    heldOut,
    balancedSample(heldOut, Math.min(CURVE, count), new Rng(0, "jetpack/curve")),
  );
  return { heldOut, curve };
}

/** Where a recycled model's trained weights are kept, for the routing pictures. */
export function weightsPath(out: string, job: Job): string {
  return `${out}/weights/${nameOf(job)}.safetensors`;
}

function resultPath(out: string, job: Job): string {
  return `${out}/runs/${nameOf(job)}.json`;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
