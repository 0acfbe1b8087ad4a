/**
 * The four ways to choose the neurons of experts, behind one function.
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

/** How the neurons of an expert are chosen. */
export type RecycleMethod = "uniform" | "random" | "importance" | "graph";

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

/** One set of experts of a block. */
export interface SelectionRequest {
  /** The block, from 0. */
  readonly block: number;
  /** Hidden neurons of the dense MLP. */
  readonly total: number;
  /** How many an expert keeps. */
  readonly subset: number;
  /** How many experts. */
  readonly count: number;
  /** Decides random choices. */
  readonly rng: Rng;
}

/** Chooses the neurons of each expert; ascending. Experts that keep the same share one array. */
export type ExpertSelector = (request: SelectionRequest) => readonly Int32Array[];

/**
 * Prepares a method.
 * @param stats statistics of the dense model's blocks, for `importance` and `graph`
 * @throws {ShapeError} the method needs statistics and got none
 */
export function expertSelector(
  method: RecycleMethod,
  stats: readonly LayerStats[] | undefined,
  options: SelectionOptions = {},
): ExpertSelector {
  const { rounding = "truncate", metric = "L2", selectGlobal = false, resolution } = options;
  const each = (count: number, choose: () => Int32Array) => Array.from({ length: count }, choose);
  const same = (count: number, indices: Int32Array) => Array<Int32Array>(count).fill(indices);
  const statsOf = (block: number): LayerStats => {
    const found = stats?.[block];
    if (found !== undefined) return found;
    throw new ShapeError(
      `recycle(): method ${method} needs statistics of block ${block}, got ` +
        `${stats?.length ?? 0} blocks; make them with activationStats(), or use random or uniform`,
    );
  };
  switch (method) {
    case "uniform":
      return ({ total, subset, count }) => same(count, uniformIndices(total, subset, rounding));
    case "random":
      return ({ total, subset, count, rng }) =>
        each(count, () => randomIndices(total, subset, rng));
    case "importance":
      if (selectGlobal) {
        const scores = globalScores((stats ?? []).map((layer) => layer[metric]));
        return ({ subset, count }) => same(count, topIndices(scores, subset));
      }
      return ({ block, subset, count, rng }) => {
        const scores = statsOf(block)[metric];
        return each(count, () => drawByScore(scores, subset, rng).sort());
      };
    case "graph":
      // Only per block: the authors' global variant fails in their own code, it never computes probabilities.
      return ({ block, total, subset, count, rng }) => {
        const { co_act } = statsOf(block);
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
        `recycle(): method is ${method}, needs uniform, random, importance or graph`,
      );
  }
}
