/**
 * Which patches feed which expert (dispatch), which experts answer for which patch (combine), and how much each expert is
 * used over many images.
 * @module
 */
import { BatchLoader, type ImageSet, type ImageSource, type Transform } from "../../data/mod.ts";
import { type Device, noGrad, type Tensor } from "../../engine/mod.ts";
import { imageSize, VisionTransformerMoe } from "../../models/mod.ts";
import type { VisionTransformer } from "../../models/mod.ts";
import { SoftMoe, SpheroMoe } from "../../nn/mod.ts";

/** How the patches of one image reached the experts of one layer, and what came back. */
export interface LayerRouting {
  /** State-dict name of the layer, `blocks.3.mlp`. */
  readonly layer: string;
  /** How many of the experts are core experts, the first ones; all are in a Soft MoE. */
  readonly coreExperts: number;
  /** dispatch[expert][patch]: share of each patch in what the expert reads, its slots averaged; sums to 1 with other tokens. */
  readonly dispatch: readonly (readonly number[])[];
  /** combine[expert][patch]: share of the expert in what comes back to each patch; the experts sum to 1. */
  readonly combine: readonly (readonly number[])[];
}

/** How much the experts of a layer are used over many images. */
export interface LayerUsage {
  readonly layer: string;
  readonly coreExperts: number;
  /** Mean share of each expert in the answers; sums to 1. */
  readonly share: readonly number[];
  /** Share of the patches that take anything from the expert. */
  readonly active: readonly number[];
}

/** What a model says of one image, and the way that its patches took. */
export interface Answer {
  /** One for each class, before the softmax. */
  readonly logits: Float32Array;
  /** Empty for a dense model. */
  readonly layers: readonly LayerRouting[];
}

/** The answer to one image, [C, H, W] as the model takes it, and its way, from one forward pass. */
export async function answerOf(
  device: Device,
  model: VisionTransformer,
  pixels: Float32Array,
): Promise<Answer> {
  const { logits, layers } = await forward(device, model, pixels, shapeOfOne(model), true);
  return { logits: logits!, layers: layers.map(layerRouting) };
}

/** The way of one image, [C, H, W] as the model takes it, through each mixture layer. */
export async function routingOf(
  device: Device,
  model: VisionTransformer,
  pixels: Float32Array,
): Promise<LayerRouting[]> {
  if (!(model instanceof VisionTransformerMoe)) return [];
  return (await forward(device, model, pixels, shapeOfOne(model), false)).layers.map(layerRouting);
}

function shapeOfOne({ config }: VisionTransformer): number[] {
  return [1, config.inChans, ...imageSize(config)];
}

function layerRouting(
  { layer, coreExperts, experts, tokens, prefix, dispatch, combine }: LayerWeights,
): LayerRouting {
  const slots = dispatch.length / tokens / experts;
  const grid = (values: ArrayLike<number>, scale: number): number[][] =>
    Array.from({ length: experts }, (_, e) =>
      Array.from({ length: tokens - prefix }, (_, n) => {
        let sum = 0;
        const from = ((n + prefix) * experts + e) * slots;
        for (let s = 0; s < slots; s++) sum += values[from + s];
        return Number((sum * scale).toPrecision(4));
      }));
  return { layer, coreExperts, dispatch: grid(dispatch, 1 / slots), combine: grid(combine, 1) };
}

/** Images a forward pass. */
const BATCH = 16;

/** How much each expert is used over the first `count` images of a set. */
export async function usageOf(
  device: Device,
  model: VisionTransformer,
  images: ImageSet | ImageSource,
  transform: Transform,
  count: number,
): Promise<LayerUsage[]> {
  if (!(model instanceof VisionTransformerMoe)) return [];
  const loader = new BatchLoader(images, {
    batchSize: Math.min(BATCH, images.count),
    shuffle: false,
    transform,
  });
  const sums: { layer: string; coreExperts: number; share: Float64Array; active: Float64Array }[] =
    [];
  let patches = 0, done = 0;
  for await (const batch of loader.epoch()) {
    const found = (await forward(device, model, batch.images, batch.shape, false)).layers;
    for (const [i, { layer, coreExperts, experts, tokens, prefix, combine }] of found.entries()) {
      const sum = sums[i] ??= {
        layer,
        coreExperts,
        share: new Float64Array(experts),
        active: new Float64Array(experts),
      };
      const rows = batch.labels.length * tokens, slots = combine.length / rows / experts;
      for (let row = 0; row < rows; row++) {
        if (row % tokens < prefix) continue;
        if (i === 0) patches++;
        for (let e = 0; e < experts; e++) {
          let weight = 0;
          for (let s = 0; s < slots; s++) weight += combine[(row * experts + e) * slots + s];
          sum.share[e] += weight;
          if (weight > 0) sum.active[e]++;
        }
      }
    }
    done += batch.labels.length;
    if (done >= count) break;
  }
  return sums.map(({ layer, coreExperts, share, active }) => ({
    layer,
    coreExperts,
    share: Array.from(share, (value) => value / patches),
    active: Array.from(active, (value) => value / patches),
  }));
}

/** The weights of a layer for a batch: [B, tokens, experts * slots] each, expert by expert. */
interface LayerWeights {
  readonly layer: string;
  readonly coreExperts: number;
  readonly experts: number;
  readonly tokens: number;
  /** Tokens before the patches. */
  readonly prefix: number;
  readonly dispatch: Float32Array;
  readonly combine: Float32Array;
}

/** One forward pass; what it computes on its way is read where it is asked for. */
async function forward(
  device: Device,
  model: VisionTransformer,
  images: Float32Array,
  shape: readonly number[],
  wantLogits: boolean,
): Promise<{ logits: Float32Array | null; layers: LayerWeights[] }> {
  const config = model instanceof VisionTransformerMoe ? model.config : null;
  const pending = await device.step(() =>
    noGrad(() => {
      const found: (Omit<LayerWeights, "dispatch" | "combine"> & {
        readonly reads: readonly Promise<ArrayLike<number>>[];
      })[] = [];
      const logits = model.forward(device.tensor(images, shape), {
        onSite: (site, x: Tensor, block) => {
          const { mlp } = model.blocks[block];
          if (site !== "norm2" || !(mlp instanceof SpheroMoe || mlp instanceof SoftMoe)) return;
          const experts = mlp.phi.shape[0];
          found.push({
            layer: `blocks.${block}.mlp`,
            coreExperts: mlp instanceof SpheroMoe ? config!.coreExperts : experts,
            experts,
            tokens: x.shape[1],
            prefix: config!.classToken ? 1 : 0,
            reads: [mlp.dispatchWeights(x).data(), mlp.combineWeights(x).data()],
          });
        },
      });
      return { found, logits: wantLogits ? logits.data() : null };
    })
  );
  const layers = await Promise.all(pending.found.map(async ({ reads, ...layer }) => {
    const [dispatch, combine] = await Promise.all(reads);
    return { ...layer, dispatch: dispatch as Float32Array, combine: combine as Float32Array };
  }));
  return { logits: await pending.logits as Float32Array | null, layers };
}
