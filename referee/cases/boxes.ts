/**
 * Kind 16 of MCGaze: box conversions, decoding and refinement.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import {
  cxcywhToXyxy,
  decodeBoxes,
  type DecodeBoxesOptions,
  reshape,
  slice,
  xyxyToCxcywh,
} from "../../engine/ops/mod.ts";
import type { CaseConfig, GoldenCase, Results } from "../case.ts";
import { pick, runDifferentiated, uploadAll } from "../results.ts";

/** Runs a case of kind 16. What it computes follows from its inputs: boxes to convert, or boxes and deltas. */
export function boxesCase(golden: GoldenCase, device: Device): Promise<Results> {
  return runDifferentiated(golden, device, () => {
    const leaves = uploadAll(golden, device, "input.");
    if (!golden.has("input.deltas")) {
      const outputs = {
        to_xyxy: cxcywhToXyxy(pick(leaves, "input.cxcywh")),
        to_cxcywh: xyxyToCxcywh(pick(leaves, "input.xyxy")),
      };
      return { outputs, leaves };
    }
    const rois = pick(leaves, "input.rois"), columns = rois.shape[1];
    const boxes = slice(rois, 1, columns - 4, columns); // behind the image's number, where there is one
    const decoded = decodeBoxes(boxes, pick(leaves, "input.deltas"), decodeOptions(golden.config));
    return { outputs: { boxes: reshape(decoded, golden.shape("output.boxes")) }, leaves };
  });
}

function decodeOptions(config: CaseConfig): DecodeBoxesOptions {
  const [a, b, c, d] = config.numbers("target_stds");
  const clip = config.flag("clip_border", false) ? config.numbers("max_shape") : undefined;
  return {
    stds: [a, b, c, d],
    whRatioClip: config.number("wh_ratio_clip", 16 / 1000),
    ...(clip && { clip: { height: clip[0], width: clip[1] } }),
  };
}
