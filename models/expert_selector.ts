/**
 * The ways to choose the neurons of experts, and of wider models the channels, behind one function.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import type { Rng } from "../engine/random/host_rng.ts";
import type { LayerStats } from "./activation_stats.ts";
import { graphParts, indicesFromParts } from "./graph.ts";
import { louvain } from "./louvain.ts";
import {
  drawByScore,
  globalScores,
  randomIndices,
  topIndices,
  uniformIndices,
} from "./selection.ts";

/** The methods, by their names. */
export const RECYCLE_METHODS = ["copy", "uniform", "random", "importance", "graph"] as const;

/**
 * How the neurons of an expert are chosen: the first ones, evenly spaced, at random, by how strongly they respond to
 * images, or by who fires together.
 */
export type RecycleMethod = typeof RECYCLE_METHODS[number];

/** Details of the methods. */
export interface SelectionOptions {
  /** `uniform`: how positions become indices, see `uniformIndices`. Default `truncate`. */
  readonly rounding?: "truncate" | "round";
  /** `importance`: which statistic is the score. Default `L2`. */
  readonly metric?: "L1" | "L2" | "act_patrn";
  /**
   * `importance`: the best neurons by the mean score of all blocks, equal for all experts and blocks; otherwise each
   * expert draws its own by the scores of its block. Default false.
   */
  readonly selectGlobal?: boolean;
  /** `graph`: above 1 for more and smaller groups of neurons. Default 1.1. */
  readonly resolution?: number;
}

/** One set of experts of a block, or something else that is cut alike. */
export interface SelectionRequest {
  /** The block, from 0; null for a choice that holds for all blocks. */
  readonly block: number | null;
  /** Neurons that there are. */
  readonly total: number;
  /** How many are kept. */
  readonly subset: number;
  /** How many choices: one an expert. */
  readonly count: number;
  /** Decides random choices. */
  readonly rng: Rng;
}

/** Chooses the neurons of each expert; ascending. Experts that keep the same share one array. */
export type ExpertSelector = (request: SelectionRequest) => readonly Int32Array[];

/**
 * Prepares a method.
 * @param stats statistics of the dense model's blocks, for `importance` and `graph`
 * @param site where they are to be measured, for the message when they are missing
 * @throws {ShapeError} there is no such method, or it needs statistics and got none
 */
export function expertSelector(
  method: RecycleMethod,
  stats: readonly LayerStats[] | undefined,
  options: SelectionOptions = {},
  site = "mlp.act",
): ExpertSelector {
  const { rounding = "truncate", metric = "L2", selectGlobal = false, resolution } = options;
  const each = (count: number, choose: () => Int32Array) => Array.from({ length: count }, choose);
  const same = (count: number, indices: Int32Array) => Array<Int32Array>(count).fill(indices);
  const statsOf = (block: number): LayerStats => {
    const found = stats?.[block];
    if (found !== undefined) return found;
    throw new ShapeError(
      `recycle(): method ${method} needs statistics of block ${block} at ${site}, got ` +
        `${stats?.length ?? 0} blocks; make them with activationStats(), or use random or uniform`,
    );
  };
  const overall = (metric: "L1" | "L2" | "act_patrn") => {
    statsOf(0);
    return globalScores(stats!.map((layer) => layer[metric]));
  };
  switch (method) {
    case "copy":
      return ({ subset, count }) => same(count, Int32Array.from({ length: subset }, (_, i) => i));
    case "uniform":
      return ({ total, subset, count }) => same(count, uniformIndices(total, subset, rounding));
    case "random":
      return ({ total, subset, count, rng }) =>
        each(count, () => randomIndices(total, subset, rng));
    case "importance":
      return ({ block, total, subset, count, rng }) => {
        const all = block === null || selectGlobal;
        const scores = all ? overall(metric) : statsOf(block)[metric];
        if (scores.length !== total) {
          throw new ShapeError(
            `recycle(): statistics at ${site} are of ${scores.length} neurons, there are ${total}`,
          );
        }
        if (all) return same(count, topIndices(scores, subset));
        return each(count, () => drawByScore(scores, subset, rng).sort());
      };
    case "graph":
      // Only per block: the authors' global variant fails in their own code, it never computes probabilities.
      return ({ block, total, subset, count, rng }) => {
        statsOf(block ?? 0);
        const co_act = block === null
          ? sumOf(stats!.map((layer) => layer.co_act))
          : stats![block].co_act;
        if (co_act.length !== total * total) {
          throw new ShapeError(
            `recycle(): method graph needs ${total} x ${total} co-activations at ${site}, got ` +
              `${co_act.length} numbers; make them with activationStats()`,
          );
        }
        const parts = graphParts(co_act, louvain(co_act, total, rng.fork("louvain"), resolution));
        const positions = Array.from(parts.probabilities.keys());
        const possible = positions.filter((i) => parts.probabilities[i] > 0);
        const lonely = positions.filter((i) => parts.probabilities[i] === 0);
        return each(count, () => {
          // All parts in drawn order, of which the first that fill an expert are used. The authors draw fewer, which
          // gives the same neurons or, where those parts are too small, an error.
          const drawn = possible.length === 0
            ? []
            : drawByScore(parts.probabilities, possible.length, rng);
          return indicesFromParts(parts, [...drawn, ...lonely], subset);
        });
      };
    default:
      throw new ShapeError(
        `recycle(): there is no method ${method}, there are ${RECYCLE_METHODS.join(", ")}`,
      );
  }
}

function sumOf(arrays: readonly Float32Array[]): Float64Array {
  const sum = Float64Array.from(arrays[0]);
  for (const array of arrays.slice(1)) array.forEach((value, i) => sum[i] += value);
  return sum;
}
