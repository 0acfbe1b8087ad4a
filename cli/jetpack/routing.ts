/**
 * How one of the recycled models of the comparison routes digits, as a part of the report.
 * @module
 */
import { imageAt, type ImageSet } from "../../data/mod.ts";
import { requestDevice } from "../../engine/mod.ts";
import { visionModel } from "../../models/mod.ts";
import { Rng } from "../../nn/mod.ts";
import { EVALUATION } from "../demo/recipe.ts";
import { escapeHtml } from "../report/html.ts";
import { pixelsOf, type RoutedImage, routingPictures, usagePictures } from "../routing/pictures.ts";
import { routingOf, usageOf } from "../routing/routing.ts";
import { temperatureChart } from "../training/report.ts";
import { loadWeights } from "../weights.ts";
import { armNamed, isJetpack, modelOptions } from "./arms.ts";
import type { RunResult } from "./record.ts";
import { CURVE, type Job, nameOf, weightsPath } from "./run.ts";

/** Digits that are shown. */
const SHOWN = 4;

/**
 * Pictures of a recycled model: one of the smallest size and the first seed whose weights are there.
 * @returns HTML; "" where there is no such run
 */
export async function routingSection(
  out: string,
  results: readonly RunResult[],
  heldOut: ImageSet,
): Promise<string> {
  let found: [Job, RunResult] | undefined;
  const sorted = results.toSorted((a, b) => a.size - b.size || a.seed - b.seed);
  for (const result of sorted) {
    const { size, seed } = result;
    const job: Job = { ...result, arm: armNamed(result.arm) };
    const first = found === undefined || (size === found[0].size && seed === found[0].seed);
    if (first && isJetpack(job.arm) && await exists(weightsPath(out, job))) found = [job, result];
  }
  if (found === undefined) return "";
  const [job, result] = found;
  using device = await requestDevice({ seed: 0 });
  const model = visionModel(modelOptions(job.arm)).eval();
  model.loadStateDict(await loadWeights(weightsPath(out, job)));
  await model.to(device);
  const images: RoutedImage[] = [];
  for (const index of new Rng(0, "jetpack/routing").permutation(heldOut.count).slice(0, SHOWN)) {
    const image = imageAt(heldOut, index);
    images.push({
      caption: `a ${heldOut.labels[index]}`,
      channels: image.channels,
      height: image.height,
      width: image.width,
      pixels: pixelsOf(image),
      layers: await routingOf(device, model, EVALUATION(image, new Rng(0)).data),
    });
  }
  const usage = await usageOf(device, model, heldOut, EVALUATION, CURVE);
  return `<h2>How it routes</h2>
<p class="soft">${escapeHtml(`${job.arm.title}, ${nameOf(job)}`)}</p>
${routingPictures(images)}
<h2>How much each expert is used</h2>
${usagePictures(usage, Math.min(CURVE, heldOut.count))}
<h2>How the routing temperatures moved</h2>
<div class="chart">${temperatureChart(result.evaluations)}</div>`;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
