/**
 * Kind 12 of MCGaze: dynamic convolution.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { permute, reshape } from "../../engine/ops/mod.ts";
import { DynamicConv } from "../../nn/dynamic_conv.ts";
import type { GoldenCase, Results } from "../case.ts";
import { stateUnder } from "../model.ts";
import { pick, runDifferentiated, uploadAll } from "../results.ts";

/** Runs a case of kind 12; its boxes are [N, channels, rows, columns]. */
export async function dynamicConvCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const inChannels = config.number("in_channels"),
    positions = config.number("input_feat_shape") ** 2;
  const layer = new DynamicConv({
    inChannels,
    featChannels: config.number("feat_channels"),
    outChannels: config.number("out_channels"),
    positions,
  });
  layer.loadStateDict(stateUnder(golden, "param."));
  await layer.to(device);
  try {
    return await runDifferentiated(golden, device, () => {
      const inputs = uploadAll(golden, device, "input.");
      const parameters = layer.namedParameters().map(([name, p]) => [`param.${name}`, p]);
      const maps = permute(pick(inputs, "input.input_feature"), [0, 2, 3, 1]);
      const boxes = reshape(maps, [-1, positions, inChannels]);
      const y = layer.forward(pick(inputs, "input.param_feature"), boxes);
      return { outputs: { y }, leaves: { ...inputs, ...Object.fromEntries(parameters) } };
    });
  } finally {
    layer.dispose();
  }
}
