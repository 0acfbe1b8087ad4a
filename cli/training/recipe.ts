/**
 * A fine-tuning recipe: all that is decided about a training run besides model, data and seed, as one flat, plain object
 * that a JSON file can hold. Names are timm's where timm has one.
 *
 * `JETPACK` is the authors' fine-tuning configuration of V-JetMoE-T (MoE Jetpack, `vit_tiny_dual_moe_timm_21k_ft.py`).
 * @module
 */
import { parseRandAugment } from "../../data/mod.ts";
import { DataError } from "../../engine/mod.ts";
import {
  jetpackDecay,
  layerDecay,
  moeVitConfig,
  type MoeVitOptions,
  type VisionTransformer,
  VisionTransformerMoe,
} from "../../models/mod.ts";
import {
  type NamedParameters,
  type ParameterGroup,
  parameterGroups,
  type Schedule,
  warmupCosine,
  withoutDecay,
} from "../../nn/mod.ts";

/** How a classifier is trained. */
export interface Recipe {
  /** Passes over the training images. */
  readonly epochs: number;
  /** Images a forward pass. */
  readonly batchSize: number;
  /** Forward passes whose gradients are added up for one step. */
  readonly gradAccumSteps: number;

  /** Highest learning rate, at the end of the warm-up. */
  readonly lr: number;
  /** Learning rate at the end of half a cosine, as a share of `lr`. */
  readonly minLr: number;
  /** Epochs in which the rate rises; may be a fraction. */
  readonly warmupEpochs: number;
  /** Learning rate of the first step, as a share of `lr`; null: one step's share of the rise. */
  readonly warmupLr: number | null;
  /** AdamW's decay; none for norms, biases, position embedding and temperatures. */
  readonly weightDecay: number;
  /**
   * Factor on the learning rate from each block to the one before; routing and experts learn at the full rate. 1: all
   * alike. Below 1 the authors' groups hold, in which routing queries and class token are decayed.
   */
  readonly layerDecay: number;
  /** Norm over all gradients above which they are scaled down; null: never. */
  readonly clipGrad: number | null;

  /** Label smoothing. */
  readonly smoothing: number;
  /** Mixup's alpha; 0: none. */
  readonly mixup: number;
  /** CutMix's alpha; 0: none. */
  readonly cutmix: number;
  /** Probability of mixing a batch. */
  readonly mixupProb: number;
  /** Probability of CutMix rather than Mixup where both are on. */
  readonly mixupSwitchProb: number;

  /** Areas of RandomResizedCrop as shares of the image; null: the whole image, resized. */
  readonly scale: readonly [least: number, most: number] | null;
  /** Width to height of its windows. */
  readonly ratio: readonly [least: number, most: number];
  /** Pixels by which images are moved at most, each way. */
  readonly translate: number;
  /** Probability of mirroring left to right. */
  readonly hflip: number;
  /** RandAugment as timm writes it, `rand-m9-mstd0.5-inc1`; null: none. */
  readonly aa: string | null;
  /** Probability of erasing a rectangle. */
  readonly reprob: number;
  /** Subtracted from values in [0, 1]: one number for all channels or one for each. */
  readonly mean: readonly number[];
  /** What they are divided by then. */
  readonly std: readonly number[];
  /** Share of the shorter side that evaluation keeps: images are made 1 / cropPct larger and cut in the middle. */
  readonly cropPct: number;

  /** Probability of dropping the residual branches of the last block. */
  readonly dropPath: number;
  /** Dropout in the experts, core and universal alike, after activation and output. */
  readonly expertDrop: number;
  /** Probability of dropping all experts of an image in the last block. */
  readonly expertDropPath: number;
  /** Noise on the routing logits with the deviation 1 / slots, in training; the authors' is there in evaluation too. */
  readonly routingNoise: boolean;

  /** Matrix products in half, with a scaled loss, where the adapter has `shader-f16`; elsewhere nothing. */
  readonly amp: boolean;
  /** Decay of an average of the weights, which is evaluated and saved; null: none. */
  readonly modelEmaDecay: number | null;
}

/** Nothing but AdamW with warm-up, cosine and label smoothing: where small data and short runs start. */
export const PLAIN: Recipe = {
  epochs: 20,
  batchSize: 64,
  gradAccumSteps: 1,
  lr: 1e-3,
  minLr: 0,
  warmupEpochs: 2,
  warmupLr: null,
  weightDecay: 0.05,
  layerDecay: 1,
  clipGrad: 5,
  smoothing: 0.1,
  mixup: 0,
  cutmix: 0,
  mixupProb: 1,
  mixupSwitchProb: 0.5,
  scale: null,
  ratio: [3 / 4, 4 / 3],
  translate: 0,
  hflip: 0,
  aa: null,
  reprob: 0,
  mean: [0.5],
  std: [0.5],
  cropPct: 1,
  dropPath: 0,
  expertDrop: 0,
  expertDropPath: 0,
  routingNoise: false,
  amp: false,
  modelEmaDecay: null,
};

/** The authors' configuration: 300 epochs of batches of 4,096 images, here as 16 of 256. */
export const JETPACK: Recipe = {
  ...PLAIN,
  epochs: 300,
  batchSize: 256,
  gradAccumSteps: 16,
  lr: 4e-3,
  minLr: 1e-2,
  warmupEpochs: 20,
  warmupLr: 1e-3,
  layerDecay: 0.6,
  mixup: 0.8,
  cutmix: 1,
  scale: [0.08, 1],
  hflip: 0.5,
  aa: "rand-m9-mstd0.5-inc1",
  reprob: 0.25,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  cropPct: 0.875,
  dropPath: 0.1,
  expertDrop: 0.4,
  expertDropPath: 0.1,
  routingNoise: true,
  amp: true,
};

/** Recipes by name. */
export const RECIPES: Readonly<Record<string, Recipe>> = { plain: PLAIN, jetpack: JETPACK };

/**
 * A recipe with some fields changed, checked.
 * @param changes as read from a JSON file or the command line: nothing is trusted
 * @param label names where they come from in errors
 * @throws {DataError} an unknown field, or a value that makes no training
 */
export function recipeWith(base: Recipe, changes: unknown, label = "recipe"): Recipe {
  if (typeof changes !== "object" || changes === null || Array.isArray(changes)) {
    throw new DataError(`${label}: want an object of settings, such as { "epochs": 20 }`);
  }
  const recipe: Recipe = { ...base, ...changes };
  for (const [name, value] of Object.entries(recipe)) {
    const rule = RULES[name as keyof Recipe];
    if (rule === undefined) {
      throw new DataError(
        `${label}: there is no setting "${name}"; there are ${Object.keys(RULES).join(", ")}`,
      );
    }
    if (!rule.holds(value)) {
      throw new DataError(`${label}: ${name} is ${JSON.stringify(value)}, needs ${rule.needs}`);
    }
  }
  if (recipe.aa !== null) parseRandAugment(recipe.aa);
  return recipe;
}

interface Rule {
  readonly needs: string;
  holds(value: unknown): boolean;
}

const isNumber = (value: unknown, least: number, most = Infinity): boolean =>
  typeof value === "number" && value >= least && value <= most && value < Infinity;

const count: Rule = {
  needs: "a whole number of 1 or more",
  holds: (v) => Number.isSafeInteger(v) && isNumber(v, 1),
};
const amount: Rule = { needs: "a number of 0 or more", holds: (v) => isNumber(v, 0) };
const positive: Rule = { needs: "a number above 0", holds: (v) => isNumber(v, Number.MIN_VALUE) };
const share: Rule = { needs: "a number in [0, 1]", holds: (v) => isNumber(v, 0, 1) };
const rate: Rule = { needs: "a number in [0, 1)", holds: (v) => isNumber(v, 0, 1) && v !== 1 };
const flag: Rule = { needs: "true or false", holds: (v) => typeof v === "boolean" };
const text: Rule = { needs: "a text", holds: (v) => typeof v === "string" };
const orNull = ({ needs, holds }: Rule): Rule => ({
  needs: `${needs}, or null`,
  holds: (v) => v === null || holds(v),
});
const range = (most: number): Rule => ({
  needs: `two rising numbers above 0${most < Infinity ? ` and up to ${most}` : ""}`,
  holds: (v) =>
    Array.isArray(v) && v.length === 2 && v.every((x) => isNumber(x, Number.MIN_VALUE, most)) &&
    v[0] <= v[1],
});
const channels = (each: Rule): Rule => ({
  needs: `a list with one number or one for each channel, each ${each.needs}`,
  holds: (v) => Array.isArray(v) && v.length > 0 && v.every((x) => each.holds(x)),
});

const RULES: Readonly<Record<keyof Recipe, Rule>> = {
  epochs: count,
  batchSize: count,
  gradAccumSteps: count,
  lr: positive,
  minLr: share,
  warmupEpochs: amount,
  warmupLr: orNull(share),
  weightDecay: amount,
  layerDecay: { needs: "a number above 0, at most 1", holds: (v) => isNumber(v, 1e-6, 1) },
  clipGrad: orNull(positive),
  smoothing: rate,
  mixup: { needs: "a number in [0, 4]", holds: (v) => isNumber(v, 0, 4) },
  cutmix: { needs: "a number in [0, 4]", holds: (v) => isNumber(v, 0, 4) },
  mixupProb: share,
  mixupSwitchProb: share,
  scale: orNull(range(1)),
  ratio: range(Infinity),
  translate: {
    needs: "a whole number of 0 or more",
    holds: (v) => Number.isInteger(v) && isNumber(v, 0),
  },
  hflip: share,
  aa: orNull(text),
  reprob: share,
  mean: channels({ needs: "a number", holds: (v) => isNumber(v, -Infinity) }),
  std: channels(positive),
  cropPct: { needs: "a number above 0, at most 1", holds: (v) => isNumber(v, 1e-3, 1) },
  dropPath: rate,
  expertDrop: rate,
  expertDropPath: rate,
  routingNoise: flag,
  amp: flag,
  modelEmaDecay: orNull(rate),
};

/** Steps of the optimiser that a recipe takes with so many batches an epoch; an unfinished last group is left out. */
export function stepsOf({ epochs, gradAccumSteps }: Recipe, batchesPerEpoch: number): number {
  return Math.max(1, Math.floor(epochs * batchesPerEpoch / gradAccumSteps));
}

/** The learning rate of each of `steps` steps. */
export function scheduleOf(recipe: Recipe, steps: number): Schedule {
  const { lr, minLr, warmupLr, warmupEpochs, epochs } = recipe;
  const warmupSteps = Math.min(steps - 1, Math.round(steps * Math.min(1, warmupEpochs / epochs)));
  return warmupCosine({
    lr,
    steps,
    warmupSteps,
    endLr: minLr * lr,
    ...(warmupLr !== null && { startLr: warmupLr * lr }),
  });
}

/** Parameters that are not decayed although they are matrices: embeddings, and the biases and slots of experts. */
const NOT_DECAYED = /bias$|pos_embed|cls_token|phi/;

/** The model's parameters with the rates and decays that a recipe gives them. */
export function groupsOf(recipe: Recipe, model: VisionTransformer): ParameterGroup[] {
  const { layerDecay: layerDecayRate, lr: baseLr, weightDecay } = recipe;
  const params = (): NamedParameters => model.namedParameters();
  if (layerDecayRate === 1) return withoutDecay(params(), (name) => NOT_DECAYED.test(name));
  const moeLayers = model instanceof VisionTransformerMoe ? model.config.moeLayers : [];
  const rules = jetpackDecay(moeLayers, { baseLr, weightDecay, layerDecayRate });
  return parameterGroups(params(), layerDecay(params(), model.config.depth, rules));
}

/** A model's options with what a recipe says about dropping and noise. */
export function regularised(recipe: Recipe, options: MoeVitOptions): MoeVitOptions {
  const { ifDualpath, coreExperts, univExperts, numExperts, slotsPerExpert } = moeVitConfig(
    options,
  );
  const slots = slotsPerExpert * (ifDualpath ? coreExperts + univExperts : numExperts);
  return {
    ...options,
    dropPathRate: recipe.dropPath,
    moeDroprate: recipe.expertDrop,
    moeDropPathRate: recipe.expertDropPath,
    addNoise: recipe.routingNoise && "training",
    noiseMult: 1 / slots,
  };
}
