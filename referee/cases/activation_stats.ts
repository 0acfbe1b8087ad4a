/**
 * Kind 10, feature analysis: statistics of a dense ViT's activations over batches of images.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { activationStats } from "../../models/activation_stats.ts";
import type { Site } from "../../models/vit.ts";
import { type GoldenCase, NotUnderstoodError, type Results } from "../case.ts";
import { placedModel } from "../model.ts";

/** Runs the case: batches are `input.batch0`, `input.batch1`, … */
export async function activationStatsCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const site = config.text("position", "mlp.act");
  if (!isSite(site)) throw new NotUnderstoodError(`statistics at ${site}`);
  const threshold = config.text("threshold_method", "percentile");
  if (threshold !== "percentile" && threshold !== "mean_std" && threshold !== "fixed") {
    throw new NotUnderstoodError(`threshold_method ${threshold}`);
  }
  const model = (await placedModel(golden, config.object("model"), device)).eval();
  try {
    const count = golden.namesUnder("input.batch").length;
    const batches = Array.from(
      { length: count },
      (_, i) => golden.upload(device, `input.batch${i}`),
    );
    const thresholds: number[] = [];
    const options = { threshold, percentile: config.number("percentile", 80), site } as const;
    const stats = await activationStats(
      model,
      batches,
      options,
      (batch) => thresholds.push(...batch),
    );
    const results: Results = new Map([["output.thresholds", thresholds]]);
    stats.forEach((layer, i) => {
      for (const [metric, values] of Object.entries(layer)) {
        results.set(`output.layer${i}.${metric}`, values);
      }
    });
    return results;
  } finally {
    model.dispose();
  }
}

function isSite(name: string): name is Site {
  return ["attn.proj", "norm2", "mlp.act", "mlp.fc2"].includes(name);
}
