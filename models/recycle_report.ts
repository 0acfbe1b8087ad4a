/**
 * What checkpoint recycling says of itself: where each tensor came from, and which indices were kept.
 * @module
 */
import type { RecycleMethod } from "./expert_selector.ts";
import type { ExpertPath } from "./moe_vit_config.ts";

/** Indices that were kept along an axis of a source tensor. */
export interface ReportedCut {
  /** Axis of the source tensor. */
  readonly axis: number;
  /** Which choice; into `RecycleReport.selections`. */
  readonly selection: number;
  /** The axis holds that many equal parts (queries, keys, values), each cut the same way. Default 1. */
  readonly parts?: number;
}

/** Where a tensor of the new model came from. */
export interface RecycleEntry {
  /** Its name in the new model. */
  readonly name: string;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
  /** The dense tensor; null when it was initialised. */
  readonly source: string | null;
  /** Which of the dense models: the one that experts come from, or another that lends the rest. Null when initialised. */
  readonly from: "dense" | "trunk" | null;
  /** `copied` whole, `initialised` as in a new model, or the method that chose what was kept. */
  readonly method: "copied" | "initialised" | RecycleMethod;
  /** Of experts: the choice of neurons that all tensors of a set share; into `RecycleReport.selections`. */
  readonly selection?: number;
  /** What was kept of the source, in this order; of experts for each anew, then they are stacked. Absent: all of it. */
  readonly cuts?: readonly ReportedCut[];
}

/** A choice of neurons or channels. */
export interface Selection {
  /** Hidden neurons of an MLP, channels of the tokens, or channels of the attention's heads. */
  readonly of: "neurons" | "channels" | "attention";
  /** The block, from 0; null where one choice holds for all. */
  readonly block: number | null;
  /** The set of experts that it was made for; null: for what is no expert. */
  readonly experts: ExpertPath | null;
  /** How they were chosen; `copied` when all are kept. */
  readonly method: "copied" | RecycleMethod;
  /** How many the dense model has. */
  readonly total: number;
  /** How many are kept. */
  readonly subset: number;
  /** For each expert what it keeps, ascending; one list for all of them where they are the same. */
  readonly indices: readonly (readonly number[])[];
}

/** What recycling did; plain JSON. */
export interface RecycleReport {
  /** How neurons and channels were chosen. */
  readonly method: RecycleMethod;
  /** Seed of the choice and of what was initialised. */
  readonly seed: number;
  /** Where each tensor came from, in the order of the state dict. */
  readonly entries: readonly RecycleEntry[];
  /** The choices that entries refer to. */
  readonly selections: readonly Selection[];
}

/** The report in a few lines for people: what was copied, cut and initialised. */
export function formatRecycleReport({ method, seed, entries, selections }: RecycleReport): string {
  const count = (how: string) => entries.filter((entry) => entry.method === how).length;
  const initialised = entries.filter((entry) => entry.method === "initialised");
  const lent = entries.filter(({ from }) => from === "trunk").length;
  return [
    `recycled by ${method}, seed ${seed}: ${entries.length} tensors, ${count("copied")} copied` +
    `${lent > 0 ? ` (${lent} from the trunk)` : ""}, ${initialised.length} initialised`,
    ...selections.map((selection) => `  ${describe(selection)}`),
    `  initialised: ${joinBlocks(initialised.map(({ name }) => name)).join(", ")}`,
  ].join("\n");
}

/** A line for each tensor: its source, the method, what was kept. */
export function listRecycledTensors({ entries, selections }: RecycleReport): string {
  return entries.map(({ name, shape, source, from, method, cuts = [] }) => {
    const kept = cuts.map(({ axis, selection, parts = 1 }) => {
      const { of, subset, total, indices } = selections[selection];
      const each = indices.length === 1 ? "" : `, ${indices.length} choices`;
      return `axis ${axis}: ${subset} of ${total} ${of}${
        parts > 1 ? ` in each of ${parts} parts` : ""
      } (selection ${selection}${each})`;
    });
    const origin = source === null ? "" : ` <- ${from === "trunk" ? "trunk " : ""}${source}`;
    return `${name} [${shape.join(", ")}]${origin}  ${[method, ...kept].join("; ")}`;
  }).join("\n");
}

/** Names that differ in the block alone as one: `blocks.6,7.mlp.phi`. */
function joinBlocks(names: readonly string[]): string[] {
  const blocks = new Map<string, string[]>();
  for (const name of names) {
    const [, block, rest] = /^blocks\.(\d+)\.(.+)$/.exec(name) ?? [];
    const key = rest ?? name;
    blocks.set(key, [...blocks.get(key) ?? [], ...(block === undefined ? [] : [block])]);
  }
  return Array.from(blocks, ([name, list]) => list.length > 0 ? `blocks.${list}.${name}` : name);
}

function describe({ of, block, experts, method, subset, total, indices }: Selection): string {
  const where = experts === null
    ? block === null ? "all blocks" : `blocks.${block}`
    : `blocks.${block}.mlp.${experts}`;
  const source = of === "neurons" ? ` of blocks.${block}.mlp` : "";
  const what = of === "attention" ? "channels of the attention" : of;
  return `${where}: ${subset} of ${total} ${what}${source}, ${method}` +
    (indices.length === 1
      ? experts === null ? "" : ", the same for all"
      : `, ${indices.length} choices`);
}
