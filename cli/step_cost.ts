/**
 * `deno task step-cost [--batch N] [--rounds N] [--summary] [--no-install]`
 *
 * How much JavaScript a step of the demo's models takes, eager and replayed: milliseconds, and microseconds a dispatch.
 * `--summary` writes `docs/results/capture.md`.
 * @module
 */
import { crossEntropy, type Device, noGrad, requestDevice } from "../engine/mod.ts";
import { writeFileAtomic } from "../io/files.ts";
import { VisionTransformer, VisionTransformerMoe } from "../models/mod.ts";
import { AdamW } from "../nn/mod.ts";
import { DENSE, MOE } from "./demo/recipe.ts";
import { readArguments, runMain, wholeNumber } from "./main.ts";
import { setUp } from "./setup.ts";
import { countsProcessorTime, measureStep, type StepCosts } from "./step_cost/measure.ts";
import { stepCostMarkdown, stepCostTable } from "./step_cost/summary.ts";
import { PROJECT_ROOT } from "./system.ts";

const USAGE = `deno task step-cost [options]: how much JavaScript a step takes, eager and replayed
  --batch N      images of a step; default 4
  --rounds N     steps each way; default 30
  --summary      also write docs/results/capture.md
  --no-install   print what to install instead of installing it`;

/** Inference and training of one model. */
async function costsOf(
  device: Device,
  name: string,
  model: VisionTransformer,
  batch: number,
  rounds: number,
): Promise<StepCosts[]> {
  await model.to(device);
  const images = Float32Array.from({ length: batch * 784 }, (_, i) => Math.sin(i));
  const pixels = [images, [batch, 1, 28, 28]] as const;
  const labels = [Uint32Array.from({ length: batch }, (_, i) => i % 10), [batch]] as const;
  const inference = await measureStep(device, {
    name: `${name}, inference`,
    inputs: [pixels],
    run: (x) => noGrad(() => model.forward(x)),
  }, rounds);
  const optimizer = new AdamW(model.namedParameters(), { lr: 1e-5, maxGradNorm: 5 });
  const training = await measureStep(device, {
    name: `${name}, training`,
    inputs: [pixels, labels],
    run: (x, y) => {
      optimizer.zeroGrad();
      const loss = crossEntropy(model.forward(x), y);
      loss.backward();
      optimizer.step();
      return loss;
    },
  }, rounds);
  optimizer.dispose();
  model.dispose();
  return [inference, training];
}

async function main(): Promise<void> {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      batch: { type: "string", default: "4" },
      rounds: { type: "string", default: "30" },
      summary: { type: "boolean", default: false },
      "no-install": { type: "boolean", default: false },
    },
  });
  const batch = wholeNumber("batch", values.batch, 1, 1024);
  const rounds = wholeNumber("rounds", values.rounds, 1, 10_000);
  await setUp({ install: !values["no-install"] });
  using device = await requestDevice();
  console.log(`step-cost: ${device.label}, batch ${batch}, ${rounds} steps each way`);
  const costs = [
    ...await costsOf(device, "dense ViT", new VisionTransformer(DENSE), batch, rounds),
    ...await costsOf(device, "mixture of experts", new VisionTransformerMoe(MOE), batch, rounds),
  ];
  console.log(stepCostTable(costs));
  if (!values.summary) return;
  const path = `${PROJECT_ROOT}docs/results/capture.md`;
  await writeFileAtomic(
    path,
    stepCostMarkdown(costs, {
      batch,
      rounds,
      adapter: device.label,
      runtime: `Deno ${Deno.version.deno}`,
      date: new Date().toISOString().slice(0, 10),
      clock: countsProcessorTime()
        ? "the time for which its thread ran, whatever else the machine did"
        : "by the wall clock",
    }),
  );
  console.log(`step-cost: wrote ${path}`);
}

await runMain("step-cost", main);
