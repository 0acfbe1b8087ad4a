/**
 * Kinds 13 and 14 of MCGaze: a stage without its gaze, and the gaze head, with all gradients.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { permute, reshape } from "../../engine/ops/mod.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { GAZE_CLUES } from "../../models/gaze_losses.ts";
import { mcGazeConfig } from "../../models/mcgaze_config.ts";
import { GazeHead } from "../../models/mcgaze_gaze_head.ts";
import { GazeStqiHead } from "../../models/mcgaze_stage.ts";
import type { Module } from "../../nn/module.ts";
import type { GoldenCase, Results } from "../case.ts";
import { stateUnder } from "../model.ts";
import { type Named, pick, runDifferentiated, uploadAll } from "../results.ts";

/** Runs a case of kind 13; what lies in the boxes is [N Q, channels, rows, columns]. */
export function stageHeadCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const channels = config.number("in_channels"), roiSize = config.number("roi");
  const head = new GazeStqiHead(mcGazeConfig({
    channels,
    roiSize,
    heads: config.number("num_heads"),
    hidden: config.number("feedforward_channels"),
    dynamicChannels: config.number("feat_channels"),
    clsLayers: config.number("num_cls_fcs"),
    regLayers: config.number("num_reg_fcs"),
    unusedHeads: false,
  }));
  return moduleCase(golden, device, head, (inputs) => {
    const maps = permute(pick(inputs, "input.roi_feat"), [0, 2, 3, 1]);
    const bins = reshape(maps, [-1, roiSize ** 2, channels]);
    const said = head.forward(pick(inputs, "input.proposal_feat"), bins, config.number("T"));
    return {
      cls_score: said.scores,
      bbox_delta: said.deltas,
      obj_feat: said.features,
      attn_feats: said.attended,
    };
  });
}

/** Runs a case of kind 14. */
export function gazeHeadCase(golden: GoldenCase, device: Device): Promise<Results> {
  const head = new GazeHead(golden.config.number("in_channels"), GAZE_CLUES);
  return moduleCase(golden, device, head, (inputs) => {
    const { final, face, eyes, head: ofHead } = head.forward(pick(inputs, "input.attn_feats"));
    return { gaze: final, face: face!, eyes: eyes!, head: ofHead! };
  });
}

/** Loads a module, runs and differentiates it. */
async function moduleCase(
  golden: GoldenCase,
  device: Device,
  module: Module,
  forward: (inputs: Named) => Record<string, Tensor>,
): Promise<Results> {
  module.loadStateDict(stateUnder(golden, "param."));
  await module.to(device);
  try {
    return await runDifferentiated(golden, device, () => {
      const inputs = uploadAll(golden, device, "input.");
      const parameters = module.namedParameters().map(([name, p]) => [`param.${name}`, p]);
      return { outputs: forward(inputs), leaves: { ...inputs, ...Object.fromEntries(parameters) } };
    });
  } finally {
    module.dispose();
  }
}
