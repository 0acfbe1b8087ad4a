/**
 * Small models for the tests of ONNX files, with weights under which every part matters: fresh experts say almost nothing,
 * and fresh temperatures are so high that every expert answers every token.
 * @module
 */
import type { Device } from "../../engine/mod.ts";
import type { McGazeOptions, MoeVitOptions } from "../../models/mod.ts";
import type { Module } from "../../nn/mod.ts";
import { testValues } from "../gradcheck.ts";

const VIT: MoeVitOptions = {
  imgSize: [8, 12],
  patchSize: 4,
  inChans: 2,
  numClasses: 5,
  embedDim: 16,
  depth: 2,
  numHeads: 2,
};

const MOE: MoeVitOptions = { ...VIT, globalPool: "avg", moeLayers: [1] };

/** Dense and with experts; every setting that changes the graph is set in one of them. */
export const VITS: Readonly<Record<string, MoeVitOptions>> = {
  "class token": VIT,
  "mean, norm after it, learned scales, no bias": {
    ...VIT,
    globalPool: "avg",
    initValues: 1,
    qkvBias: false,
    noEmbedClass: true,
  },
  SpheroMoE: { ...MOE, coreExperts: 3, univExperts: 5, slotsPerExpert: 2, slotLayernorm: true },
  "SpheroMoE without a norm of its slots, no class token": {
    ...MOE,
    coreExperts: 3,
    univExperts: 5,
    classToken: false,
  },
  "Soft MoE": { ...MOE, ifDualpath: false, numExperts: 4, slotsPerExpert: 2, layerScale: true },
  "Soft MoE with a norm of its slots": {
    ...MOE,
    ifDualpath: false,
    numExperts: 4,
    slotLayernorm: true,
  },
};

const GAZE: McGazeOptions = {
  backbone: { blocks: [1, 2, 1, 1], bottleneck: false, width: 4, frozenStages: -1 },
  imageSize: 40, // levels of 10, 5, 3 and 2: not each twice the next
  clipLength: 3,
  stages: 2,
  channels: 8,
  heads: 2,
  hidden: 8,
  dynamicChannels: 4,
  roiSize: 2,
  finestScale: 4,
  firstBoxes: {
    face: [0.5, 0.6, 0.3, 0.3],
    eyes: [0.5, 0.4, 0.2, 0.1],
    head: [0.5, 0.5, 0.9, 0.9],
  },
};

/** Every setting that changes the graph is set in one of them. */
export const GAZES: Readonly<Record<string, McGazeOptions>> = {
  "two layers a block": GAZE,
  "bottlenecks, two clues, none sees another or another frame": {
    ...GAZE,
    backbone: { ...GAZE.backbone, bottleneck: true },
    clues: ["eyes", "head"],
    spatial: false,
    temporal: false,
    unusedHeads: false,
  },
};

/** Gives a model weights that differ from each other, and puts it on a device. Boxes start where its settings say. */
export async function placed<M extends Module>(model: M, device: Device): Promise<M> {
  const names = [...model.stateShapes()].filter(([name]) => !/init_proposal_bboxes/.test(name));
  const state = names.map(([name, shape], i) => {
    const values = testValues(shape.reduce((a, b) => a * b, 1), i + 1);
    const [centre, spread] = placeOf(name, shape);
    return [name, { shape, data: values.map((x) => centre + spread * x) }] as const;
  });
  model.loadStateDict(new Map(state), { strict: false });
  return (await model.to(device)).eval();
}

/** About what and how far a weight's values spread. */
function placeOf(name: string, shape: readonly number[]): [centre: number, spread: number] {
  if (/scales\.\d$/.test(name)) return [0.1, 0.02]; // sharp enough that many routing weights are 0
  if (/\.scale$/.test(name)) return [3, 0.2];
  if (shape.length === 1) return [/weight$|gamma$|running_var$/.test(name) ? 1 : 0, 0.2];
  if (/pos_embed$|cls_token$|phi$|init_proposal_features/.test(name)) return [0, 1];
  const inputs = shape.length === 4 ? shape[1] * shape[2] * shape[3] : shape[shape.length - 1];
  return [0, 1 / Math.sqrt(inputs)];
}
