/**
 * What is scaled: workloads of the bench at several sizes, of which one number grows.
 * @module
 */
import { MCGAZE_PRESETS, MOE_VIT_PRESETS, VIT_PRESETS, type VitOptions } from "../../mod.ts";
import { DENSE, MOE } from "../../cli/demo/recipe.ts";
import type { Workload } from "../workload.ts";
import { attentionWorkloads } from "../workloads/attention.ts";
import { pyramidWorkload } from "../workloads/mcgaze.ts";
import { spheroMoeWorkloads } from "../workloads/sphero_moe.ts";
import {
  SMALL_VIT,
  trainingWorkload,
  vitForwardWorkload,
  vitGradientWorkload,
} from "../workloads/vit.ts";

/** A workload where the growing number is x. */
export interface ScalingPoint {
  readonly x: number;
  readonly workload: Workload;
}

/** One kind of workload at all sizes, the smallest first. */
export interface ScalingLine {
  readonly label: string;
  readonly points: readonly ScalingPoint[];
}

/** Lines over the same axis; with two of them, the second is compared with the first. */
export interface ScalingSeries {
  /** Such as `training step by batch`. */
  readonly name: string;
  /** What x is. */
  readonly axis: string;
  readonly lines: readonly ScalingLine[];
  /** Takes minutes and gigabytes, so `--quick` leaves it out. */
  readonly long?: boolean;
}

function line(
  label: string,
  sizes: readonly number[],
  workload: (size: number) => Workload,
  x: (size: number) => number = (size) => size,
): ScalingLine {
  return { label, points: sizes.map((size) => ({ x: x(size), workload: workload(size) })) };
}

const BATCHES = [8, 16, 32, 64, 128];
const SIDES = [28, 56, 84, 112, 140];
const GAZE = MCGAZE_PRESETS.mcgaze_small;

/** The dense model that V-JetMoE-T is, but for its experts. */
const VIT_T: VitOptions = {
  ...VIT_PRESETS.vit_tiny_patch16_224,
  globalPool: "avg",
  classToken: false,
};
const V_JETMOE_T = MOE_VIT_PRESETS["V-JetMoE-T"];

/** All of them. */
export const SCALING: readonly ScalingSeries[] = [{
  name: "training step by batch",
  axis: "images a batch",
  lines: [
    line("small ViT", BATCHES, (batch) => trainingWorkload("small ViT", SMALL_VIT, batch)),
  ],
}, {
  name: "attention by tokens",
  axis: "tokens",
  lines: [
    line("forward", [64, 128, 256, 512, 1024], (n) => attentionWorkloads(1, 3, n, 64)[0]),
    line("forward+backward", [64, 128, 256, 512, 1024], (n) => attentionWorkloads(1, 3, n, 64)[1]),
  ],
}, {
  name: "SpheroMoE by tokens",
  axis: "tokens of 8 images, 64 channels, 16 + 32 experts",
  lines: ["forward", "forward+backward"].map((label, i) =>
    line(
      label,
      [32, 64, 128, 256, 512],
      (tokens) => spheroMoeWorkloads({ batch: 8, tokens, dim: 64, core: 16, univ: 32 })[i],
    )
  ),
}, {
  name: "SpheroMoE by experts",
  axis: "experts, a third of them large; 8 images of 64 tokens, 64 channels",
  lines: ["forward", "forward+backward"].map((label, i) =>
    line(label, [24, 48, 96, 192, 384], (experts) =>
      spheroMoeWorkloads({
        batch: 8,
        tokens: 64,
        dim: 64,
        core: experts / 3,
        univ: 2 * experts / 3,
      })[i])
  ),
}, {
  name: "ViT by image side",
  axis: "pixels of a side, patches of 7 x 7, 8 images",
  lines: [
    line(
      "small ViT forward",
      SIDES,
      (imgSize) => vitForwardWorkload("small ViT", { ...SMALL_VIT, imgSize }, 8),
    ),
  ],
}, {
  name: "pyramid by image side",
  axis: "pixels of a side, 2 images",
  lines: [
    line("small ResNet + FPN", [64, 96, 128, 192, 256], (imageSize) =>
      pyramidWorkload({
        name: "small ResNet + FPN",
        model: { ...GAZE, imageSize },
        frames: 2,
      })),
  ],
}, {
  name: "MoE against dense at equal tokens",
  axis: "images a batch, 49 tokens each",
  lines: [
    line(
      "demo's dense ViT",
      BATCHES,
      (batch) => trainingWorkload("demo's dense ViT", DENSE, batch),
    ),
    line("demo's MoE ViT", BATCHES, (batch) => trainingWorkload("demo's MoE ViT", MOE, batch)),
  ],
}, {
  // What the series before takes longer is the optimiser.
  name: "MoE against dense without the optimiser",
  axis: "images a batch, 49 tokens each",
  lines: [
    line("demo's dense ViT", BATCHES, (n) => vitGradientWorkload("demo's dense ViT", DENSE, n)),
    line("demo's MoE ViT", BATCHES, (n) => vitGradientWorkload("demo's MoE ViT", MOE, n)),
  ],
}, {
  name: "V-JetMoE-T against ViT-Tiny without the optimiser",
  axis: "images a batch, 196 tokens each",
  long: true,
  lines: [
    line("ViT-Tiny", [8], (n) => vitGradientWorkload("ViT-Tiny", VIT_T, n)),
    line("V-JetMoE-T", [8], (n) => vitGradientWorkload("V-JetMoE-T", V_JETMOE_T, n)),
  ],
}];
