/**
 * The table of workloads; a new module adds its own here.
 * @module
 */
import type { Workload } from "../workload.ts";
import { ATTENTION } from "./attention.ts";
import { CONVOLUTIONS } from "./convolution.ts";
import { MATMULS } from "./matmul.ts";
import { MCGAZE } from "./mcgaze.ts";
import { ROI_ALIGNS } from "./roi_align.ts";
import { ROWS } from "./rows.ts";
import { SPHERO_MOE } from "./sphero_moe.ts";
import { TINY_OPS } from "./tiny_ops.ts";
import { MODELS } from "./vit.ts";

/** Every workload, the quick ones first, but for the long ones of MCGaze at the end. */
export const ALL_WORKLOADS: readonly Workload[] = [
  ...TINY_OPS,
  ...ROWS,
  ...MATMULS,
  ...ATTENTION,
  ...CONVOLUTIONS,
  ...ROI_ALIGNS,
  ...SPHERO_MOE,
  ...MODELS,
  ...MCGAZE,
];
