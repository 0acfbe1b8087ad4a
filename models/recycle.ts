/**
 * Checkpoint recycling (MoE Jetpack, arXiv:2406.04801, section 3.1): the weights of a dense ViT become the first weights
 * of a mixture of experts.
 *
 *     expert e of block l:  rows I_e of fc1 (and of its bias), columns I_e of fc2, the whole bias of fc2
 *
 * where I_e are the hidden neurons that the expert keeps. A core expert with as many neurons as the dense MLP is a full
 * copy; universal experts are smaller. All that is no expert is copied, and what a dense model has not (routing, a head
 * for other classes) starts as in a new model. A report says for every tensor where it came from.
 *
 * The dense model may be wider. Then channels are chosen too: an expert keeps columns C_e of fc1 and rows C_e of fc2 and
 * its bias. The rest of the new model comes either
 *
 * - from a second dense model of its own width, the *trunk*, as the authors make V-JetMoE-T (experts from ViT-S, the rest
 *   from ViT-T); each expert then draws channels of its own, by the second norm's statistics, or
 * - from the wide model itself, cut to one choice of channels C that experts share, so that all layers go on speaking of
 *   the same channels; of the attention, a choice of its channels in each block, the same for queries, keys and values.
 * @module
 */
import { CheckpointError, ShapeError } from "../engine/errors.ts";
import { Rng } from "../engine/random/host_rng.ts";
import { sameShape } from "../engine/tensor.ts";
import type { StateDict, StateEntry, StateSource } from "../nn/state_dict.ts";
import type { SiteStats } from "./activation_stats.ts";
import {
  expertSelector,
  type RecycleMethod,
  type SelectionOptions,
  type SelectionRequest,
} from "./expert_selector.ts";
import {
  expertCount,
  expertHidden,
  expertPaths,
  type MoeVitConfig,
  moeVitConfig,
  type MoeVitOptions,
} from "./moe_vit_config.ts";
import { VisionTransformerMoe } from "./moe_vit.ts";
import type { RecycleEntry, RecycleReport, ReportedCut, Selection } from "./recycle_report.ts";
import { stack, take } from "./take.ts";
import type { Site } from "./vit.ts";
import { hiddenDim } from "./vit_config.ts";

/** How experts are cut out of the dense model. */
export interface RecycleOptions extends SelectionOptions {
  /** How neurons are chosen; `copy`, `random` and `uniform` need no images. Default `random`. */
  readonly method?: RecycleMethod;
  /**
   * What `importance` and `graph` choose by, from `activationStats` of the dense model: at `mlp.act`, of a wider model
   * also at `norm2` and, without a trunk, at `attn.proj` (see `recycleSites`).
   */
  readonly stats?: SiteStats;
  /** Seed of all random choices and of what is initialised. Default 0. */
  readonly seed?: number;
  /** Start the classifier anew also when the dense model has as many classes: for other classes. Default false. */
  readonly newHead?: boolean;
}

/** What `recycleFrom` gives. */
export interface Recycled {
  /** The new model's complete weights, each made when it is read. */
  readonly weights: StateSource;
  /** Where each of them comes from. */
  readonly report: RecycleReport;
}

/**
 * Makes the weights of a `VisionTransformerMoe` from those of a dense ViT of the same depth, and the same width or a
 * larger one.
 * @param dense the dense model's weights, by timm's names
 * @param options settings of the new model
 * @param how `trunk`: weights of a dense model of the new one's width that lend all that is no expert
 * @returns its complete weights, ready to load, and the report
 * @throws {CheckpointError} a tensor that is needed is missing or has a shape that does not fit
 * @throws {ShapeError} an expert would be larger than the dense MLP, or the method lacks its statistics
 */
export function recycle(
  dense: StateDict,
  options: MoeVitOptions,
  how: RecycleOptions & { readonly trunk?: StateDict } = {},
): { weights: Map<string, StateEntry>; report: RecycleReport } {
  const { trunk, ...rest } = how;
  const shapesOf = (state: StateDict) =>
    new Map([...state].map(([name, { shape }]) => [name, shape]));
  const { make, report } = plan(shapesOf(dense), trunk && shapesOf(trunk), options, rest);
  const weights = report.entries.map((entry) => {
    const { name, shape, source, from } = entry;
    const state = from === "trunk" ? trunk! : dense;
    return [name, {
      shape,
      data: make(entry, source === null ? null : state.get(source)!),
    }] as const;
  });
  return { weights: new Map(weights), report };
}

/**
 * The same from open files: a tensor is read and cut when its turn comes, so that neither model is ever held whole.
 * @throws {CheckpointError} as `recycle`
 * @throws {ShapeError} as `recycle`
 */
export function recycleFrom(
  dense: StateSource,
  options: MoeVitOptions,
  how: RecycleOptions & { readonly trunk?: StateSource } = {},
): Recycled {
  const { trunk, ...rest } = how;
  const { make, report } = plan(dense.shapes, trunk?.shapes, options, rest);
  const entries = new Map(report.entries.map((entry) => [entry.name, entry]));
  return {
    report,
    weights: {
      shapes: new Map(report.entries.map(({ name, shape }) => [name, shape])),
      read: async (name) => {
        const entry = entries.get(name);
        if (entry === undefined) throw new CheckpointError(`recycleFrom(): there is no ${name}`);
        const { source, from } = entry;
        if (source === null) return make(entry, null);
        const state = from === "trunk" ? trunk! : dense;
        return make(entry, { shape: state.shapes.get(source)!, data: await state.read(source) });
      },
    },
  };
}

/** The sites whose statistics a method chooses by; none where it needs no images. */
export function recycleSites(
  method: RecycleMethod,
  options: { readonly wider: boolean; readonly trunk: boolean },
): Site[] {
  if (method !== "importance" && method !== "graph") return [];
  if (!options.wider) return ["mlp.act"];
  return options.trunk ? ["mlp.act", "norm2"] : ["mlp.act", "norm2", "attn.proj"];
}

type Shapes = ReadonlyMap<string, readonly number[]>;

/** Decides about every tensor; `make` then computes one from its source. */
function plan(
  dense: Shapes,
  trunk: Shapes | undefined,
  options: MoeVitOptions,
  how: RecycleOptions,
): {
  report: RecycleReport;
  make: (entry: RecycleEntry, source: StateEntry | null) => Float32Array;
} {
  const { method = "random", seed = 0, newHead = false } = how;
  const config = moeVitConfig(options);
  const fresh = new Map(new VisionTransformerMoe(config).namedParameters());
  const choices = new Choices(config, dense, trunk !== undefined, how);
  const experts = choices.experts();
  const entries = [...fresh].map(([name, { shape }]): RecycleEntry => {
    const expert = experts.get(name);
    if (expert !== undefined) return choices.checked({ name, shape, ...expert }, dense);
    const from = trunk === undefined ? "dense" : "trunk";
    const shapes = trunk ?? dense;
    const otherHead = name.startsWith("head.") &&
      (newHead || shapes.get("head.weight")?.[0] !== config.numClasses);
    if (isNew(name, shapes) || otherHead) {
      return { name, shape, source: null, from: null, method: "initialised" };
    }
    const cuts = trunk === undefined ? choices.cutsOf(name) : [];
    return choices.checked({
      name,
      shape,
      source: name,
      from,
      method: cuts.length > 0 ? method : "copied",
      ...(cuts.length > 0 && { cuts }),
    }, shapes);
  });
  const { selections } = choices;
  return {
    report: { method, seed, entries, selections },
    make: ({ name, cuts = [], selection }, source) => {
      if (source === null) return fresh.get(name)!.takeInitial(seed, name);
      const keep = (expert: number) =>
        cuts.map(({ axis, selection, parts = 1 }) => {
          const { indices, total } = selections[selection];
          return { axis, indices: inParts(indices[expert % indices.length], total, parts) };
        });
      const { data } = selection === undefined
        ? take(source, keep(0))
        : stack(source, fresh.get(name)!.shape[0], keep);
      return data === source.data ? data.slice() : data;
    },
  };
}

/** An expert tensor of a plan, without its name and shape. */
type ExpertEntry = Omit<RecycleEntry, "name" | "shape">;

/** All choices of neurons and channels. */
class Choices {
  readonly selections: Selection[] = [];
  readonly #config: MoeVitConfig;
  readonly #dense: Shapes;
  readonly #method: RecycleMethod;
  readonly #how: RecycleOptions;
  /** Channels of the dense model. */
  readonly #width: number;
  /** The choice of channels that everything shares; null where the widths are equal or experts draw their own. */
  readonly #channels: number | null;
  readonly #made = new Map<string, number>();

  constructor(config: MoeVitConfig, dense: Shapes, trunk: boolean, how: RecycleOptions) {
    this.#config = config;
    this.#dense = dense;
    this.#how = how;
    this.#method = how.method ?? "random";
    const { embedDim, depth } = config;
    const width = this.#width = dense.get("patch_embed.proj.weight")?.[0] ?? embedDim;
    if (width < embedDim) {
      throw new CheckpointError(
        `recycle(): the dense model has ${width} channels, the new one ${embedDim}; needs as many or more`,
      );
    }
    const blocks = new Set([...dense.keys()].map((name) => /^blocks\.(\d+)\./.exec(name)?.[1]));
    blocks.delete(undefined);
    if (blocks.size > depth) {
      throw new CheckpointError(
        `recycle(): the dense model has ${blocks.size} blocks, the new one ${depth}; needs as many`,
      );
    }
    const wider = width > embedDim;
    this.#channels = wider && !trunk ? this.#choose("channels", null, null, 1, embedDim) : null;
  }

  /** What becomes of each tensor of the experts. */
  experts(): Map<string, ExpertEntry> {
    const config = this.#config;
    const entries = new Map<string, ExpertEntry>();
    for (const block of config.moeLayers) {
      for (const path of expertPaths(config)) {
        const subset = expertHidden(config, path), count = expertCount(config, path);
        const total = this.#hidden(block);
        if (subset > total) {
          throw new ShapeError(
            `recycle(): an expert of ${path} has ${subset} hidden neurons, block ${block} of the ` +
              `dense model only ${total}; lower compressRatio or univFactor`,
          );
        }
        const neurons = this.#choose("neurons", block, path, count, subset);
        const channels = this.#width === config.embedDim
          ? null
          : this.#channels ?? this.#choose("channels", block, path, count, config.embedDim);
        const whole = subset === total && channels === null;
        for (
          const [layer, cuts] of Object.entries(
            mlpCuts(subset === total ? null : neurons, channels),
          )
        ) {
          const source = `blocks.${block}.mlp.${layer}`;
          entries.set(`blocks.${block}.mlp.${path}.vit_${layer}`, {
            source,
            from: "dense",
            method: whole ? "copied" : this.#method,
            selection: neurons,
            ...(cuts.length > 0 && { cuts }),
          });
        }
      }
    }
    return entries;
  }

  /** How a tensor that is no expert's is cut, where the dense model is wider and lends it. */
  cutsOf(name: string): ReportedCut[] {
    const channels = this.#channels;
    if (channels === null) return [];
    const along = (axis: number) => [{ axis, selection: channels }];
    const [, index, rest] = /^blocks\.(\d+)\.(.+)$/.exec(name) ?? [];
    if (rest === undefined) {
      if (name === "head.bias") return [];
      if (name === "head.weight") return along(1);
      return along(name === "cls_token" || name === "pos_embed" ? 2 : 0);
    }
    const block = Number(index);
    if (rest.startsWith("mlp.")) {
      const subset = hiddenDim(this.#config);
      const whole = subset === this.#hidden(block);
      const neurons = whole ? null : this.#choose("neurons", block, null, 1, subset);
      return mlpCuts(neurons, channels)[rest.slice("mlp.".length)] ?? [];
    }
    if (!rest.startsWith("attn.") || rest === "attn.proj.bias") return along(0);
    const selection = this.#choose("attention", block, null, 1, this.#config.embedDim);
    if (rest === "attn.proj.weight") return [...along(0), { axis: 1, selection }];
    const rows = { axis: 0, selection, parts: 3 };
    return rest === "attn.qkv.weight" ? [rows, ...along(1)] : [rows];
  }

  /** The entry, when its source is there and gives its shape. */
  checked(entry: RecycleEntry, shapes: Shapes): RecycleEntry {
    const { shape, source, from, cuts = [], selection } = entry;
    const there = shapes.get(source!);
    const where = `the ${from} weights`;
    if (there === undefined) {
      throw new CheckpointError(`recycle(): ${where} have no ${source}, needs [${shape}]`);
    }
    const one = there.map((size, axis) => {
      const cut = cuts.find((cut) => cut.axis === axis);
      return cut ? this.selections[cut.selection].subset * (cut.parts ?? 1) : size;
    });
    if (!sameShape(selection === undefined ? one : [shape[0], ...one], shape)) {
      const gives = cuts.length > 0 ? `, which cut gives [${one}]` : "";
      throw new CheckpointError(
        `recycle(): ${source} has shape [${there}] in ${where}${gives}, needs [${shape}]`,
      );
    }
    return entry;
  }

  /** Hidden neurons of the dense model's MLP. */
  #hidden(block: number): number {
    const shapeOf = (key: string, rank: number) => {
      const name = `blocks.${block}.mlp.${key}`;
      const shape = this.#dense.get(name);
      if (shape?.length === rank) return shape;
      throw new CheckpointError(
        `recycle(): needs ${name} with ${rank} dimensions, the dense weights have ${
          shape ? `[${shape}]` : "nothing"
        }`,
      );
    };
    const [hidden] = shapeOf("fc1.weight", 2);
    shapeOf("fc1.bias", 1);
    shapeOf("fc2.weight", 2);
    shapeOf("fc2.bias", 1);
    return hidden;
  }

  /** Makes a choice, once; its index in `selections`. */
  #choose(
    of: Selection["of"],
    block: number | null,
    experts: Selection["experts"],
    count: number,
    subset: number,
  ): number {
    const key = `${block ?? "all"}/${experts ?? "trunk"}${of === "neurons" ? "" : `/${of}`}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const total = of === "neurons" ? this.#hidden(block!) : this.#width;
    const whole = subset === total;
    const indices = whole ? [Int32Array.from({ length: total }, (_, i) => i)] : this.#select(of, {
      block,
      total,
      subset,
      count,
      rng: new Rng(this.#how.seed ?? 0, `recycle/${key}`),
    });
    const lists = indices.every((list) => list === indices[0]) ? indices.slice(0, 1) : indices;
    const method = whole ? "copied" : this.#method;
    const lines = lists.map((list) => [...list]);
    this.selections.push({ of, block, experts, method, total, subset, indices: lines });
    this.#made.set(key, this.selections.length - 1);
    return this.selections.length - 1;
  }

  #select(of: Selection["of"], request: SelectionRequest): readonly Int32Array[] {
    const { stats, ...options } = this.#how;
    const site = SITE_OF[of];
    return expertSelector(this.#method, stats?.[site], options, site)(request);
  }
}

/** Where the statistics of what is chosen are measured. */
const SITE_OF = { neurons: "mlp.act", channels: "norm2", attention: "attn.proj" } as const;

/** How an MLP is cut along its neurons and channels. */
function mlpCuts(neurons: number | null, channels: number | null): Record<string, ReportedCut[]> {
  const cut = (axis: number, selection: number | null) =>
    selection === null ? [] : [{ axis, selection }];
  return {
    "fc1.weight": [...cut(0, neurons), ...cut(1, channels)],
    "fc1.bias": cut(0, neurons),
    "fc2.weight": [...cut(0, channels), ...cut(1, neurons)],
    "fc2.bias": cut(0, channels),
  };
}

/** The same indices in each of some equal parts of an axis. */
function inParts(indices: readonly number[], total: number, parts: number): readonly number[] {
  if (parts === 1) return indices;
  return Array.from({ length: parts }, (_, part) => indices.map((i) => part * total + i)).flat();
}

/**
 * Whether a tensor has no counterpart in a dense model: routing, and the norm behind a pooling that it does not use (a
 * model with a class token at its head has `norm`, one with average pooling `fc_norm`).
 */
function isNew(name: string, dense: Shapes): boolean {
  if (/\.mlp\.(phi|scale|scales|slot_norm|phi_|experts\.scale_)/.test(name)) return true;
  return /^(fc_norm|norm)\./.test(name) && !dense.has(name);
}
