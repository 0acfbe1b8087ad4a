/**
 * Kind 10: choosing neurons of dense checkpoints, stacking them into experts, and the statistics behind the choice.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { graphParts, indicesFromParts, partitionQuality, partsToDraw } from "../../models/graph.ts";
import { stackExperts } from "../../models/take.ts";
import { globalScores, subsetSize, topIndices, uniformIndices } from "../../models/selection.ts";
import { type GoldenCase, NotUnderstoodError, type Results } from "../case.ts";
import { activationStatsCase } from "./activation_stats.ts";

/** Runs a case of kind 10; the tensors it stores tell which of the five. */
export function recyclingCase(golden: GoldenCase, device: Device): Promise<Results> | Results {
  const has = (prefix: string) => golden.namesUnder(prefix).length > 0;
  if (golden.has("input.co_act")) return graphCase(golden);
  if (has("input.batch")) return activationStatsCase(golden, device);
  if (has("output.trunc.") || has("output.round.")) return uniformCase(golden);
  if (has("input.index.")) return stackedCase(golden);
  if (has("output.index.")) return selectionCase(golden);
  throw new NotUnderstoodError("a case of kind 10 with none of the known tensors");
}

/** Indices by total and subset size: the tensor's name says both. */
function uniformCase(golden: GoldenCase): Results {
  return new Map(
    golden.namesUnder("output.").map((name) => {
      const [, rounding, total, subset] = /^(trunc|round)\.(\d+)\.(\d+)$/.exec(name) ??
        notUnderstood(`output.${name}`);
      const how = rounding === "trunc" ? "truncate" : "round";
      return [`output.${name}`, uniformIndices(Number(total), Number(subset), how)];
    }),
  );
}

/** Indices by method and ratio, and the scores that `importance` ranks. */
function selectionCase(golden: GoldenCase): Results {
  const total = golden.config.number("total_size");
  const layers = Array.from({ length: golden.config.number("num_layers") }, (_, i) => i);
  const scores = (metric: string) =>
    globalScores(layers.map((i) => golden.floats(`input.layer${i}.${metric}`)));
  const results: Results = new Map();
  for (const metric of golden.namesUnder("output.score.")) {
    results.set(`output.score.${metric}`, scores(metric));
  }
  for (const name of golden.namesUnder("output.index.")) {
    const [, method, , metric, ratio] = /^(\w+)(\.(\w+))?\.(\dp\d\d)$/.exec(name) ??
      notUnderstood(`output.index.${name}`);
    const subset = subsetSize(total, ratioNamed(golden, ratio));
    if (method === "uniform") results.set(`output.index.${name}`, uniformIndices(total, subset));
    else if (method === "uniform_round") {
      results.set(`output.index.${name}`, uniformIndices(total, subset, "round"));
    } else if (method === "importance" && metric !== undefined) {
      results.set(`output.index.${name}`, topIndices(scores(metric), subset));
    } else notUnderstood(`output.index.${name}`);
  }
  return results;
}

/** Expert weights by method and ratio, from given indices. */
function stackedCase(golden: GoldenCase): Results {
  const experts = golden.config.number("experts");
  const results: Results = new Map();
  for (const name of golden.namesUnder("output.")) {
    const [, method, layer, ratio, part] =
      /^(\w+)\.blocks\.(\d+)\.mlp\.experts\.(\dp\d\d)\.(fc[12]\.(?:weight|bias))$/.exec(name) ??
        notUnderstood(`output.${name}`);
    const read = (key: string) => {
      const source = `param.blocks.${layer}.mlp.${key}`;
      return { shape: golden.shape(source), data: golden.floats(source) };
    };
    const indices = golden.ints(`input.index.${method}.${ratio}`);
    const stacked = stackExperts(
      {
        fc1: { weight: read("fc1.weight"), bias: read("fc1.bias") },
        fc2: { weight: read("fc2.weight"), bias: read("fc2.bias") },
      },
      Array.from({ length: experts }, () => indices),
    );
    const [layerName, field] = part.split(".") as ["fc1" | "fc2", "weight" | "bias"];
    results.set(`output.${name}`, stacked[layerName][field].data);
  }
  return results;
}

/** A given partition's parts, quality, and indices by ratio when the draw is the given one. */
function graphCase(golden: GoldenCase): Results {
  const coActivation = golden.floats("input.co_act");
  const partition = golden.ints("input.partition");
  const parts = graphParts(coActivation, partition);
  const quality = partitionQuality(coActivation, partition);
  const results: Results = new Map<string, ArrayLike<number>>([
    ["output.probabilities", parts.probabilities],
    ["output.subgraph_ids", parts.labels],
    ["output.modularity", [quality.modularity]],
    ["output.edge_cut_ratio", [quality.edgeCutRatio]],
  ]);
  const total = partition.length;
  for (const ratio of golden.namesUnder("output.index.graph.")) {
    const subset = subsetSize(total, ratioNamed(golden, ratio));
    const draws = partsToDraw(parts.nodes.length, subset, total);
    const order = golden.ints("input.sampled_part_order").subarray(0, draws);
    results.set(`output.index.graph.${ratio}`, indicesFromParts(parts, order, subset));
  }
  return results;
}

/** The ratio of the configuration that a tensor's name spells as `0p25`. */
function ratioNamed(golden: GoldenCase, name: string): number {
  const found = golden.config.numbers("ratios").find((ratio) => {
    // Python writes an exact tie (an odd multiple of 1/8) to the even digit, JavaScript upwards.
    const tie = Number.isInteger(ratio * 8) && !Number.isInteger(ratio * 4);
    const even = tie ? (2 * Math.round(ratio * 50)) / 100 : ratio;
    return even.toFixed(2).replace(".", "p") === name;
  });
  return found ?? notUnderstood(`the ratio ${name}`);
}

function notUnderstood(what: string): never {
  throw new NotUnderstoodError(what);
}
