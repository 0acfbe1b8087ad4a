/**
 * The pages of the atlas in the order to read them.
 * @module
 */
import type { Chapter } from "./chapter.ts";
import { ATTENTION } from "./chapters/attention.ts";
import { BIAS_ACTIVATION, GROUPED_MATMUL, MATMUL } from "./chapters/products.ts";
import { COSINE_ROUTING, ENTMAX_SUPPORT, ROUTING_WEIGHTS, SOFT_MERGE } from "./chapters/routing.ts";
import { CROSS_ENTROPY, ENTMAX, LAYER_NORM, REDUCE, SOFTMAX } from "./chapters/rows.ts";
import { ELEMENTWISE, ENGINE, HALVES, MOVING, OPTIMIZERS, RANDOM } from "./chapters/training.ts";
import { BOXES, CONV2D, FEATURE_MAPS, GAZE_LOSSES, ROI_ALIGN } from "./chapters/vision.ts";

/** A run of pages with what it is about. */
export interface Part {
  readonly title: string;
  readonly about: string;
  readonly chapters: readonly Chapter[];
}

/** All parts, the first thing to read first. */
export const PARTS: readonly Part[] = [
  {
    title: "From one invocation to a tile",
    about: "How work is given to invocations, and why it is given in tiles.",
    chapters: [MATMUL, ELEMENTWISE, REDUCE],
  },
  {
    title: "A Vision Transformer",
    about: "Everything that a dense ViT runs, forward and backward.",
    chapters: [SOFTMAX, LAYER_NORM, BIAS_ACTIVATION, ATTENTION, MOVING, CROSS_ENTROPY],
  },
  {
    title: "A mixture of experts",
    about: "MoE Jetpack's SpheroMoE: who is routed where, and what that costs.",
    chapters: [ENTMAX, COSINE_ROUTING, ROUTING_WEIGHTS, SOFT_MERGE, ENTMAX_SUPPORT, GROUPED_MATMUL],
  },
  {
    title: "Gaze in video",
    about: "MCGaze: a convolutional backbone, boxes, and what they contain.",
    chapters: [CONV2D, FEATURE_MAPS, ROI_ALIGN, BOXES, GAZE_LOSSES],
  },
  {
    title: "Training",
    about: "Random numbers, optimisers, halves, and what the engine runs for itself.",
    chapters: [RANDOM, OPTIMIZERS, HALVES, ENGINE],
  },
];

/** All pages in order. */
export const CHAPTERS: readonly Chapter[] = PARTS.flatMap(({ chapters }) => chapters);
