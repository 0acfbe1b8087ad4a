/**
 * Workloads by what they are called: those of the table, and the families of operations at any other shape, written as the
 * table writes it.
 * @module
 */
import type { Workload } from "../workload.ts";
import { ALL_WORKLOADS } from "./all.ts";
import { attentionWorkloads } from "./attention.ts";
import { convolutionWorkload } from "./convolution.ts";
import { matmulWorkload } from "./matmul.ts";
import { roiAlignWorkload } from "./roi_align.ts";
import { entmaxWorkload, geluWorkload, layerNormWorkload, softmaxWorkload } from "./rows.ts";
import { spheroMoeWorkloads } from "./sphero_moe.ts";

/** Operations of one kind. */
interface Family {
  /** A name and a shape; # stands for a whole number. */
  readonly pattern: string;
  /** From the numbers. */
  readonly make: (...sizes: number[]) => Workload;
}

const FAMILIES: readonly Family[] = [
  { pattern: "matmul #x#x#", make: (m, k, n) => matmulWorkload(m, k, n) },
  { pattern: "softmax #x#", make: softmaxWorkload },
  { pattern: "layer norm #x#", make: layerNormWorkload },
  { pattern: "gelu #x#", make: geluWorkload },
  { pattern: "entmax-1.5 #x#", make: entmaxWorkload },
  ...["attention forward", "attention forward+backward"].map((name, i) => ({
    pattern: `${name} #x#x#x#`,
    make: (batch: number, heads: number, tokens: number, dim: number) =>
      attentionWorkloads(batch, heads, tokens, dim)[i],
  })),
  {
    pattern: "conv #x# #x#x#x# to #",
    make: (kernel, same, batch, height, width, channels, outChannels) => {
      if (kernel !== same || kernel % 2 === 0) {
        throw new RangeError(`conv ${kernel}x${same}: filters are square, of an odd side`);
      }
      return convolutionWorkload([batch, height, width], channels, outChannels, kernel);
    },
  },
  {
    pattern: "RoIAlign #x#x#x#, # boxes an image",
    make: (batch, height, width, channels, boxes) =>
      roiAlignWorkload([batch, height, width], channels, boxes),
  },
  ...["SpheroMoE forward", "SpheroMoE forward+backward"].map((name, i) => ({
    pattern: `${name} #x#x#, #+# experts`,
    make: (batch: number, tokens: number, dim: number, core: number, univ: number) =>
      spheroMoeWorkloads({ batch, tokens, dim, core, univ })[i],
  })),
];

/** The shapes that can be asked for, one a line. */
export const FAMILY_PATTERNS: readonly string[] = FAMILIES.map(({ pattern }) => pattern);

/** What a row says of a workload: its name and its shape. */
export function nameOf({ name, shape }: Workload): string {
  return `${name} ${shape}`;
}

/** The workload of this name and shape. @throws {RangeError} naming the families, where it is of none */
export function findWorkload(text: string): Workload {
  const listed = ALL_WORKLOADS.find((workload) => nameOf(workload) === text);
  if (listed !== undefined) return listed;
  for (const { pattern, make } of FAMILIES) {
    const source = pattern.replace(/[.+]/g, "\\$&").replaceAll("#", "([1-9]\\d*)");
    const sizes = new RegExp(`^${source}$`).exec(text)?.slice(1).map(Number);
    if (sizes !== undefined) return make(...sizes);
  }
  const all = FAMILY_PATTERNS.map((pattern) => `  ${pattern}`).join("\n");
  throw new RangeError(`"${text}" is no workload; these may have any sizes for #:\n${all}`);
}
