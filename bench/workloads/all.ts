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

/** Workloads of a kind. */
export interface WorkloadGroup {
  readonly title: string;
  readonly workloads: readonly Workload[];
}

/** The quick ones first, but for the long ones of MCGaze at the end. */
export const WORKLOAD_GROUPS: readonly WorkloadGroup[] = [
  { title: "Tiny operations", workloads: TINY_OPS },
  { title: "Rows and elements", workloads: ROWS },
  { title: "Matrix products", workloads: MATMULS },
  { title: "Attention", workloads: ATTENTION },
  { title: "Convolutions", workloads: CONVOLUTIONS },
  { title: "RoIAlign", workloads: ROI_ALIGNS },
  { title: "SpheroMoE layers", workloads: SPHERO_MOE },
  { title: "Vision Transformers", workloads: MODELS },
  { title: "MCGaze", workloads: MCGAZE },
];

/** Every workload, in that order. */
export const ALL_WORKLOADS: readonly Workload[] = WORKLOAD_GROUPS.flatMap(({ workloads }) =>
  workloads
);
