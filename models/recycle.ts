/**
 * Checkpoint recycling (MoE Jetpack, arXiv:2406.04801, section 3.1): the weights of a dense ViT become the first weights
 * of a mixture of experts.
 *
 *     expert e of block l:  rows I_e of fc1 (and of its bias), columns I_e of fc2, the whole bias of fc2
 *
 * where I_e are the hidden neurons that the expert keeps. A core expert with as many neurons as the dense MLP is a full
 * copy; universal experts are smaller. All that is no expert is copied, and what a dense model has not (routing, a head
 * for other classes) starts as in a new model. A report says for every tensor where it came from.
 * @module
 */
import { CheckpointError, ShapeError } from "../engine/errors.ts";
import { Rng } from "../engine/random/host_rng.ts";
import type { LayerStats } from "./activation_stats.ts";
import { expertSelector, type RecycleMethod, type SelectionOptions } from "./expert_selector.ts";
import {
  expertCount,
  expertHidden,
  type ExpertPath,
  expertPaths,
  moeVitConfig,
  type MoeVitOptions,
} from "./moe_vit_config.ts";
import { VisionTransformerMoe } from "./moe_vit.ts";
import type { StateDict, StateEntry } from "../nn/state_dict.ts";

/** The two layers of an MLP; with a leading expert dimension when stacked. */
export interface MlpWeights {
  /** `weight` [hidden, dim], `bias` [hidden]. */
  readonly fc1: { readonly weight: StateEntry; readonly bias: StateEntry };
  /** `weight` [dim, hidden], `bias` [dim]. */
  readonly fc2: { readonly weight: StateEntry; readonly bias: StateEntry };
}

/** Where a tensor of the new model came from. */
export interface RecycleEntry {
  /** Its name in the new model. */
  readonly name: string;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
  /** The dense tensor; null when it was initialised. */
  readonly source: string | null;
  /** `copied` whole, `initialised` as in a new model, or the method that chose its neurons. */
  readonly method: "copied" | "initialised" | RecycleMethod;
  /** Which choice of neurons it shares with the other tensors of its experts; into `RecycleReport.selections`. */
  readonly selection?: number;
}

/** The neurons that the experts of one set in one block keep. */
export interface ExpertSelection {
  /** The block, from 0. */
  readonly block: number;
  /** The set of experts. */
  readonly experts: ExpertPath;
  /** How the neurons were chosen; `copied` when all are kept. */
  readonly method: "copied" | RecycleMethod;
  /** Hidden neurons of the dense MLP. */
  readonly total: number;
  /** Hidden neurons of an expert. */
  readonly subset: number;
  /** For each expert the neurons it keeps, ascending; one list for all of them where they are the same. */
  readonly indices: readonly (readonly number[])[];
}

/** What recycling did; plain JSON. */
export interface RecycleReport {
  /** How the neurons of experts were chosen. */
  readonly method: RecycleMethod;
  /** Seed of the choice and of what was initialised. */
  readonly seed: number;
  /** Where each tensor came from, in the order of the state dict. */
  readonly entries: readonly RecycleEntry[];
  /** The choices that entries refer to. */
  readonly selections: readonly ExpertSelection[];
}

/** How experts are cut out of the dense model. */
export interface RecycleOptions extends SelectionOptions {
  /** How neurons are chosen; `random` and `uniform` need no images. Default `random`. */
  readonly method?: RecycleMethod;
  /** What `importance` and `graph` choose by: one entry a block of the dense model, from `activationStats`. */
  readonly stats?: readonly LayerStats[];
  /** Seed of all random choices and of what is initialised. Default 0. */
  readonly seed?: number;
  /** Start the classifier anew also when the dense model has as many classes: for other classes. Default false. */
  readonly newHead?: boolean;
}

/**
 * Makes the weights of a `VisionTransformerMoe` from those of a dense ViT of the same width and depth.
 * @param dense the dense model's weights, by timm's names
 * @param options settings of the new model
 * @returns its complete weights, ready to load, and the report
 * @throws {CheckpointError} a tensor that is needed is missing or has a shape that does not fit
 * @throws {ShapeError} an expert would be larger than the dense MLP, or the method lacks its statistics
 */
export function recycle(
  dense: StateDict,
  options: MoeVitOptions,
  { method = "random", stats, seed = 0, newHead = false, ...selection }: RecycleOptions = {},
): { weights: Map<string, StateEntry>; report: RecycleReport } {
  const config = moeVitConfig(options);
  const fresh = new VisionTransformerMoe(config);
  const select = expertSelector(method, stats, selection);
  const weights = new Map<string, StateEntry>();
  const entries: RecycleEntry[] = [];
  const selections: ExpertSelection[] = [];

  const experts = new Map<string, { weight: StateEntry; source: string; selection: number }>();
  for (const block of config.moeLayers) {
    const mlp = denseMlp(dense, block);
    const total = mlp.fc1.weight.shape[0];
    for (const path of expertPaths(config)) {
      const subset = expertHidden(config, path), count = expertCount(config, path);
      if (subset > total) {
        throw new ShapeError(
          `recycle(): an expert of ${path} has ${subset} hidden neurons, block ${block} of the ` +
            `dense model only ${total}; lower compressRatio or univFactor`,
        );
      }
      const rng = new Rng(seed, `recycle/${block}/${path}`);
      const whole = subset === total;
      const indices = whole
        ? Array<Int32Array>(count).fill(Int32Array.from({ length: total }, (_, i) => i))
        : select({ block, total, subset, count, rng });
      const stacked = stackExperts(mlp, indices);
      for (const layer of ["fc1", "fc2"] as const) {
        for (const field of ["weight", "bias"] as const) {
          experts.set(`blocks.${block}.mlp.${path}.vit_${layer}.${field}`, {
            weight: stacked[layer][field],
            source: `blocks.${block}.mlp.${layer}.${field}`,
            selection: selections.length,
          });
        }
      }
      const lists = indices.every((list) => list === indices[0]) ? indices.slice(0, 1) : indices;
      selections.push({
        block,
        experts: path,
        method: whole ? "copied" : method,
        total,
        subset,
        indices: lists.map((list) => [...list]),
      });
    }
  }

  for (const [name, parameter] of fresh.namedParameters()) {
    const { shape } = parameter;
    const expert = experts.get(name);
    if (expert !== undefined) {
      const { weight, source, selection } = expert;
      expectShape(name, weight, shape);
      weights.set(name, weight);
      entries.push({ name, shape, source, method: selections[selection].method, selection });
      continue;
    }
    const source = dense.get(name);
    const otherHead = name.startsWith("head.") &&
      (newHead || dense.get("head.weight")?.shape[0] !== config.numClasses);
    if (isNew(name, dense) || otherHead) {
      weights.set(name, { shape, data: parameter.takeInitial(seed, name) });
      entries.push({ name, shape, source: null, method: "initialised" });
      continue;
    }
    if (source === undefined) {
      throw new CheckpointError(`recycle(): the dense weights have no ${name}, needs [${shape}]`);
    }
    expectShape(name, source, shape);
    weights.set(name, { shape, data: source.data.slice() });
    entries.push({ name, shape, source: name, method: "copied" });
  }
  return { weights, report: { method, seed, entries, selections } };
}

/**
 * Cuts experts out of an MLP and stacks them: fc1 [experts, subset, dim], fc2 [experts, dim, subset].
 * @param indices for each expert the hidden neurons it keeps; equally many
 * @throws {ShapeError} the numbers of neurons differ, or one does not exist
 */
export function stackExperts(mlp: MlpWeights, indices: readonly ArrayLike<number>[]): MlpWeights {
  const [hidden, dim] = mlp.fc1.weight.shape;
  const experts = indices.length, subset = indices[0]?.length ?? 0;
  const fc1 = new Float32Array(experts * subset * dim), bias1 = new Float32Array(experts * subset);
  const fc2 = new Float32Array(experts * dim * subset), bias2 = new Float32Array(experts * dim);
  indices.forEach((list, e) => {
    if (list.length !== subset) {
      throw new ShapeError(
        `stackExperts(): expert ${e} keeps ${list.length} neurons, the first ${subset}`,
      );
    }
    for (let k = 0; k < subset; k++) {
      const neuron = list[k], slot = e * subset + k;
      if (!(neuron >= 0 && neuron < hidden)) {
        throw new ShapeError(`stackExperts(): neuron ${neuron} is not one of 0 to ${hidden - 1}`);
      }
      fc1.set(mlp.fc1.weight.data.subarray(neuron * dim, (neuron + 1) * dim), slot * dim);
      bias1[slot] = mlp.fc1.bias.data[neuron];
      for (let d = 0; d < dim; d++) {
        fc2[(e * dim + d) * subset + k] = mlp.fc2.weight.data[d * hidden + neuron];
      }
    }
    bias2.set(mlp.fc2.bias.data, e * dim);
  });
  return {
    fc1: {
      weight: { shape: [experts, subset, dim], data: fc1 },
      bias: { shape: [experts, subset], data: bias1 },
    },
    fc2: {
      weight: { shape: [experts, dim, subset], data: fc2 },
      bias: { shape: [experts, dim], data: bias2 },
    },
  };
}

/** The report in a few lines for people: what was copied, cut and initialised. */
export function formatRecycleReport({ method, seed, entries, selections }: RecycleReport): string {
  const count = (how: string) => entries.filter((entry) => entry.method === how).length;
  const initialised = entries.filter((entry) => entry.method === "initialised");
  return [
    `recycled by ${method}, seed ${seed}: ${entries.length} tensors, ${count("copied")} copied, ` +
    `${initialised.length} initialised`,
    ...selections.map(({ block, experts, method, total, subset, indices }) =>
      `  blocks.${block}.mlp.${experts}: ${subset} of ${total} neurons of blocks.${block}.mlp, ` +
      `${method}${indices.length === 1 ? ", the same for all" : `, ${indices.length} choices`}`
    ),
    `  initialised: ${initialised.map(({ name }) => name).join(", ")}`,
  ].join("\n");
}

/** The dense MLP of a block. */
function denseMlp(dense: StateDict, block: number): MlpWeights {
  const get = (key: string, rank: number): StateEntry => {
    const name = `blocks.${block}.mlp.${key}`;
    const weight = dense.get(name);
    if (weight === undefined || weight.shape.length !== rank) {
      const found = weight ? `[${weight.shape}]` : "nothing";
      throw new CheckpointError(
        `recycle(): needs ${name} with ${rank} dimensions, the dense weights have ${found}`,
      );
    }
    return weight;
  };
  return {
    fc1: { weight: get("fc1.weight", 2), bias: get("fc1.bias", 1) },
    fc2: { weight: get("fc2.weight", 2), bias: get("fc2.bias", 1) },
  };
}

/**
 * Whether a tensor has no counterpart in a dense model: routing, and the norm behind a pooling that it does not use (a
 * model with a class token at its head has `norm`, one with average pooling `fc_norm`).
 */
function isNew(name: string, dense: StateDict): boolean {
  if (/\.mlp\.(phi|scale|scales|slot_norm|phi_|experts\.scale_)/.test(name)) return true;
  return /^(fc_norm|norm)\./.test(name) && !dense.has(name);
}

function expectShape(name: string, weight: StateEntry, shape: readonly number[]): void {
  if (weight.shape.join() !== shape.join()) {
    throw new CheckpointError(
      `recycle(): ${name} has shape [${weight.shape}] in the dense weights, needs [${shape}]`,
    );
  }
}
