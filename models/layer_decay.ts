/**
 * Learning rate and weight decay of each parameter of a (MoE) ViT, as MoE Jetpack fine-tunes: early layers learn slowly,
 * experts and routing at the full rate.
 *
 *     lr = baseLr * rate^(depth + 1 - layer)     layer 0: embeddings, i + 1: block i, depth + 1: head, experts, routing
 *
 * The rules are those of the authors' mmpretrain constructor (`LearningRateDecayOptimWrapperConstructor`), oddities
 * included; each is marked below.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";

/** What decides learning rates and weight decay. */
export interface LayerDecayOptions {
  /** Learning rate of the last layer. */
  readonly baseLr: number;
  /** Weight decay where no rule says otherwise. */
  readonly weightDecay: number;
  /** Factor from each layer to the one before; the authors fine-tune with 0.6. Default 1: all alike. */
  readonly layerDecayRate?: number;
  /** Factor on the weight decay of layer norms; undefined: as other parameters. */
  readonly normDecayMult?: number;
  /** Factor on the weight decay of parameters named `bias`, norms aside; undefined: as other parameters. */
  readonly biasDecayMult?: number;
  /** Factor on the weight decay of parameters with one dimension; undefined: as other parameters. */
  readonly flatDecayMult?: number;
  /**
   * Settings for parameters whose name contains the key; the longest key wins, and norm and bias rules are then not
   * looked at, also when it sets nothing. Names are matched with `model.` in front, so `.pos_embed` finds `pos_embed`.
   */
  readonly customKeys?: Readonly<Record<string, { readonly decayMult?: number }>>;
}

/** The settings of one parameter. */
export interface ParameterSettings {
  /** As in the state dict. */
  readonly name: string;
  /** Learning rate. */
  readonly lr: number;
  /** `lr / baseLr`. */
  readonly lrScale: number;
  /** Weight decay, factors included. */
  readonly weightDecay: number;
  /** 0 for the embeddings to `depth + 1` for the head. */
  readonly layerId: number;
}

/** Settings of the authors' fine-tuning of V-JetMoE-T: rate 0.6, no decay of norms, biases, scales and `pos_embed`. */
export function jetpackDecay(
  moeLayers: readonly number[],
  { baseLr = 4e-3, weightDecay = 0.05, layerDecayRate = 0.6 } = {},
): LayerDecayOptions {
  const keys = moeLayers.flatMap((i) =>
    [
      [`blocks.${i}.mlp.phi`, {}],
      [`blocks.${i}.mlp.scales`, { decayMult: 0 }],
      [`blocks.${i}.mlp.slot_norm`, {}],
    ] as const
  );
  return {
    baseLr,
    weightDecay,
    layerDecayRate,
    normDecayMult: 0,
    biasDecayMult: 0,
    customKeys: { ...Object.fromEntries(keys), ".pos_embed": { decayMult: 0 } },
  };
}

/**
 * The settings of every parameter.
 * @param parameters names as in the state dict, with the tensor
 * @param depth number of blocks
 * @throws {ShapeError} a name speaks of a block that the model does not have
 */
export function layerDecay(
  parameters: Iterable<readonly [name: string, { readonly shape: readonly number[] }]>,
  depth: number,
  options: LayerDecayOptions,
): ParameterSettings[] {
  const { baseLr, layerDecayRate = 1 } = options;
  return Array.from(parameters, ([name, { shape }]) => {
    const layerId = layerOf(name, depth);
    const lrScale = layerDecayRate ** (depth + 1 - layerId);
    const weightDecay = options.weightDecay * decayFactor(name, shape, options);
    return { name, lr: baseLr * lrScale, lrScale, weightDecay, layerId };
  });
}

/** Parts of names that always learn at the full rate. */
const FULL_RATE = ["phi", "scale", "slot", "experts"];

/**
 * Blocks whose second norm learns at the full rate: the authors' MoE layers, whatever a model's are. They are found as
 * part of the name, so that `16.norm2.weight` counts as block 6.
 */
const FULL_RATE_NORMS = [6, 7, 8, 9, 10, 11]
  .flatMap((i) => [`${i}.norm2.weight`, `${i}.norm2.bias`]);

/** @throws {ShapeError} when a name speaks of a block that the model does not have */
function layerOf(name: string, depth: number): number {
  if ([...FULL_RATE, ...FULL_RATE_NORMS].some((part) => name.includes(part))) return depth + 1;
  if (name === "cls_token" || name === "pos_embed" || name.startsWith("patch_embed")) return 0;
  const block = /^blocks\.(\d+)\./.exec(name);
  if (block === null) return depth + 1;
  const layer = Number(block[1]) + 1;
  if (layer > depth) throw new ShapeError(`layerDecay(): ${name} is in none of ${depth} blocks`);
  return layer;
}

/** Factor on the weight decay: the first of custom key, norm, bias, one dimension that applies. */
function decayFactor(name: string, shape: readonly number[], options: LayerDecayOptions): number {
  const { customKeys = {}, normDecayMult, biasDecayMult, flatDecayMult } = options;
  const fullName = `model.${name}`;
  const key = Object.keys(customKeys).sort()
    .sort((a, b) => b.length - a.length)
    .find((key) => fullName.includes(key));
  if (key !== undefined) return customKeys[key].decayMult ?? 1;
  const [module, last] = fullName.split(".").slice(-2);
  const isNorm = /(^|_)norm\d*$/.test(module);
  if (isNorm && normDecayMult !== undefined) return normDecayMult;
  if (last === "bias" && biasDecayMult !== undefined) return biasDecayMult;
  if (shape.length === 1 && flatDecayMult !== undefined) return flatDecayMult;
  return 1;
}
