/**
 * The workloads as the page offers them: those of one name together.
 * @module
 */
import { ALL_WORKLOADS } from "../../../bench/workloads/all.ts";

/** A workload to choose. */
export interface Offered {
  readonly shape: string;
  /** Its index in the table of workloads. */
  readonly index: number;
  /** Chosen where nobody has chosen: a few seconds on any adapter. */
  readonly quick: boolean;
}

/** Workloads of a name. */
export interface Group {
  readonly name: string;
  readonly shapes: readonly Offered[];
}

/** What says most in the least time. */
const QUICK = [
  "tiny op, prepared",
  "softmax",
  "layer norm",
  "matmul 512x512x512",
  "attention forward 8x3x197x64",
  "SpheroMoE forward 1x",
];

/** All workloads, in the order of the table. */
export function groups(): Group[] {
  const found = new Map<string, Offered[]>();
  ALL_WORKLOADS.forEach(({ name, shape }, index) => {
    const quick = QUICK.some((start) => `${name} ${shape}`.startsWith(start));
    const offered = { shape, index, quick };
    const shapes = found.get(name);
    if (shapes) shapes.push(offered);
    else found.set(name, [offered]);
  });
  return [...found].map(([name, shapes]) => ({ name, shapes }));
}
