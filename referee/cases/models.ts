/**
 * Kinds 6 and 7: small dense and MoE ViTs, with block outputs and all gradients.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { crossEntropy } from "../../engine/ops/mod.ts";
import type { Tensor } from "../../engine/tensor.ts";
import type { GoldenCase, Results } from "../case.ts";
import { placedModel } from "../model.ts";
import { labelSmoothing } from "./losses.ts";
import { runDifferentiated } from "../results.ts";

/** Runs a case of kind 6 or 7. */
export async function modelCase(golden: GoldenCase, device: Device): Promise<Results> {
  const model = (await placedModel(golden, golden.config, device)).eval();
  // Kind 7 trains as the authors do, where nothing else is said.
  const smoothing = labelSmoothing(golden, golden.entry.kind === "moe_07" ? 0.1 : 0);
  try {
    return await runDifferentiated(golden, device, () => {
      const image = golden.upload(device, "input.image");
      const outputs: Record<string, Tensor> = {};
      outputs.logits = model.forward(image, {
        onBlock: (tokens, block) => outputs[`block${block}`] = tokens,
      });
      const label = golden.upload(device, "input.label");
      const loss = crossEntropy(outputs.logits, label, { labelSmoothing: smoothing });
      const parameters = model.namedParameters().map(([name, p]) => [`param.${name}`, p]);
      return { outputs, loss, leaves: { "input.image": image, ...Object.fromEntries(parameters) } };
    });
  } finally {
    model.dispose();
  }
}
