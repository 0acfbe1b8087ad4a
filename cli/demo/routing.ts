/**
 * Which patches feed which expert, for a few images.
 * @module
 */
import { imageAt, type ImageSet } from "../../data/mod.ts";
import { add, type Device, noGrad, type Tensor } from "../../engine/mod.ts";
import type { VisionTransformerMoe } from "../../models/mod.ts";
import { Rng, SpheroMoe } from "../../nn/mod.ts";
import { EVALUATION } from "./recipe.ts";
import type { ImageRouting, LayerRouting } from "./record.ts";

/** The way of some images through the experts of each layer. */
export async function routingOf(
  device: Device,
  model: VisionTransformerMoe,
  data: ImageSet,
  chosen: readonly number[],
  predictions: ArrayLike<number>,
): Promise<ImageRouting[]> {
  model.eval();
  const routes: ImageRouting[] = [];
  for (const index of chosen) {
    const { pixels, shape } = plain(data, index);
    const { weights } = await device.step(() =>
      noGrad(() => ({ weights: dispatchWeights(model, device.tensor(pixels, shape)) }))
    );
    const layers: LayerRouting[] = [];
    for (const [block, values] of weights) {
      layers.push(layerRouting(model, block, await values));
    }
    const size = data.height;
    const grey = data.images.subarray(index * size * size, (index + 1) * size * size);
    routes.push({
      label: data.labels[index],
      predicted: predictions[index],
      pixels: [...grey],
      size,
      layers,
    });
  }
  return routes;
}

function plain(data: ImageSet, index: number): { pixels: Float32Array; shape: number[] } {
  const image = EVALUATION(imageAt(data, index), new Rng(0, "routing"));
  return { pixels: image.data, shape: [1, image.channels, image.height, image.width] };
}

/** Runs the model and asks each mixture layer for its weights [1, tokens, slots] on the tokens that reach it. */
function dispatchWeights(
  model: VisionTransformerMoe,
  images: Tensor,
): [block: number, weights: Promise<ArrayLike<number>>][] {
  const found: [number, Promise<ArrayLike<number>>][] = [];
  model.forward(images, {
    onBlock: (tokens, block) => {
      const next = model.blocks[block + 1];
      if (!(next?.mlp instanceof SpheroMoe)) return;
      const middle = add(tokens, next.attn.forward(next.norm1.forward(tokens)));
      found.push([block + 1, next.mlp.dispatchWeights(next.norm2.forward(middle)).data()]);
    },
  });
  return found;
}

/** Weights [tokens, slots] as one list of tokens for each expert, its slots averaged. */
function layerRouting(
  model: VisionTransformerMoe,
  block: number,
  values: ArrayLike<number>,
): LayerRouting {
  const { coreExperts, univExperts, slotsPerExpert } = model.config;
  const experts = coreExperts + univExperts, slots = experts * slotsPerExpert;
  const tokens = values.length / slots;
  const weights = Array.from(
    { length: experts },
    (_, e) =>
      Array.from({ length: tokens }, (_, n) => {
        let sum = 0;
        for (let s = 0; s < slotsPerExpert; s++) sum += values[n * slots + e * slotsPerExpert + s];
        return Number((sum / slotsPerExpert).toFixed(5));
      }),
  );
  return { layer: `blocks.${block}.mlp`, coreExperts, weights };
}
