/**
 * What a training step costs: floating-point operations as the kernels declare them, and wall time. The models take turns,
 * a few steps each a round, and are compared within a round: the machine's speed drifts, its ratios hardly do.
 * @module
 */
import { crossEntropy, type Device, type Tensor } from "../../engine/mod.ts";
import { imageSize, visionModel } from "../../models/mod.ts";
import { AdamW } from "../../nn/mod.ts";
import { recipeFor } from "../demo/recipe.ts";
import { groupsOf } from "../training/recipe.ts";
import { type ModelKind, modelOptions } from "./arms.ts";
import type { StepCost, StepCosts } from "./record.ts";

const KINDS: readonly ModelKind[] = ["dense", "soft", "sphero"];
/** Steps a model takes in a round. */
const STEPS = 3;

/** Measures all kinds of models in turns. */
export async function measureStepCosts(device: Device, rounds: number): Promise<StepCosts> {
  const batch = recipeFor(1, 0).batchSize;
  const stands = new Map<ModelKind, Stand>();
  for (const kind of KINDS) stands.set(kind, await stand(device, kind, batch));
  const times = new Map(KINDS.map((kind) => [kind, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const kind of KINDS) {
      const { step } = stands.get(kind)!;
      const begin = performance.now();
      for (let i = 1; i < STEPS; i++) await step();
      await (await step()).item();
      times.get(kind)!.push((performance.now() - begin) / STEPS);
    }
  }
  const models = {} as Record<ModelKind, StepCost>;
  for (const [kind, { parameters, flops, dispose }] of stands) {
    const ms = times.get(kind)!;
    const ratios = ms.map((time, round) => time / times.get("dense")![round]);
    models[kind] = {
      parameters,
      flops,
      ms: quantile(ms, 0.5),
      ratio: [quantile(ratios, 0.25), quantile(ratios, 0.5), quantile(ratios, 0.75)],
    };
    dispose();
  }
  return {
    batch,
    adapter: device.label,
    runtime: `Deno ${Deno.version.deno}`,
    date: new Date().toISOString(),
    rounds,
    models,
  };
}

interface Stand {
  readonly parameters: number;
  readonly flops: number;
  step(): Promise<Tensor>;
  dispose(): void;
}

/** A model with its captured training step, run once. */
async function stand(device: Device, kind: ModelKind, batch: number): Promise<Stand> {
  const model = await visionModel(modelOptions({ kind, temperature: null })).to(device);
  const recipe = recipeFor(1, 0);
  const optimizer = new AdamW(groupsOf(recipe, model), { lr: 1e-5, maxGradNorm: 5 });
  const shape = [batch, model.config.inChans, ...imageSize(model.config)];
  const images = new Float32Array(shape.reduce((a, b) => a * b)).fill(0.5);
  const labels = Uint32Array.from({ length: batch }, (_, i) => i % model.config.numClasses);
  const work = (x: Tensor, target: Tensor): Tensor => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(x), target, { labelSmoothing: recipe.smoothing });
    loss.backward();
    optimizer.step();
    return loss.detach();
  };
  const once = (): Tensor => work(device.tensor(images, shape), device.tensor(labels));
  const { dispatches } = await device.profile(once, { roofline: false });
  const captured = device.capture(work);
  const step = () => captured([images, shape], [labels, [batch]]);
  await (await step()).item();
  return {
    parameters: model.learnedSize,
    flops: dispatches.reduce((sum, dispatch) => sum + dispatch.flops, 0),
    step,
    dispose: () => {
      captured.dispose();
      optimizer.dispose();
      model.dispose();
    },
  };
}

/** The value below which a share of the values lies, between neighbours where needed. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1), below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}
