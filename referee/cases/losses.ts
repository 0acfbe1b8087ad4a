/**
 * Kind 15 of MoE Jetpack: cross-entropy with label smoothing.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { add, crossEntropy } from "../../engine/ops/mod.ts";
import type { GoldenCase, Results } from "../case.ts";
import { runDifferentiated, uploadAll } from "../results.ts";

/** Runs a case of kind 15: index labels on one score, mixed labels on another; the loss is the sum of both. */
export function labelSmoothCase(golden: GoldenCase, device: Device): Promise<Results> {
  const labelSmoothing = golden.config.number("label_smooth_val");
  return runDifferentiated(golden, device, () => {
    const leaves = uploadAll(golden, device, "input.");
    const index = crossEntropy(leaves["input.score"], leaves["input.label"], { labelSmoothing });
    const soft = crossEntropy(leaves["input.score2"], leaves["input.soft_label"], {
      labelSmoothing,
    });
    const loss = add(index, soft);
    return { outputs: { loss_index: index, loss_soft: soft }, loss, leaves };
  });
}
