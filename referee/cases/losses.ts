/**
 * Kind 15 of MoE Jetpack: cross-entropy with label smoothing.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { add, crossEntropy } from "../../engine/ops/mod.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { type GoldenCase, NotUnderstoodError, type Results } from "../case.ts";
import { pick, runDifferentiated, uploadAll } from "../results.ts";

/** Runs a case of kind 15: index labels on one score, mixed labels on another; the loss is the sum of what there is. */
export function labelSmoothCase(golden: GoldenCase, device: Device): Promise<Results> {
  const mode = golden.config.text("mode", "original");
  if (mode !== "original") throw new NotUnderstoodError(`label smoothing of mode ${mode}`);
  const options = { labelSmoothing: labelSmoothing(golden, 0) };
  return runDifferentiated(golden, device, () => {
    const leaves = uploadAll(golden, device, "input.");
    const loss = (score: string, label: string) =>
      crossEntropy(pick(leaves, score), pick(leaves, label), options);
    const outputs: Record<string, Tensor> = {};
    if (golden.has("input.label")) outputs.loss_index = loss("input.score", "input.label");
    if (golden.has("input.soft_label")) {
      outputs.loss_soft = loss("input.score2", "input.soft_label");
    }
    return { outputs, loss: Object.values(outputs).reduce((a, b) => add(a, b)), leaves };
  });
}

/** The label smoothing of a case: among its settings under either of two names, or in its description. */
export function labelSmoothing(
  { config, entry }: Pick<GoldenCase, "config" | "entry">,
  fallback: number,
): number {
  const words = /LabelSmoothLoss\((\d+(?:\.\d+)?)/.exec(entry.what);
  const described = words === null ? fallback : Number(words[1]);
  return config.number("label_smoothing", config.number("label_smooth_val", described));
}
