/**
 * What a recipe does to images, as transforms: for training at random, for evaluation always the same.
 * @module
 */
import {
  centerResizedCrop,
  compose,
  normalise,
  randAugment,
  randomErasing,
  randomHorizontalFlip,
  randomResizedCrop,
  randomShift,
  type Transform,
} from "../../data/mod.ts";
import type { Recipe } from "./recipe.ts";

/** An image as it comes from a file becomes a training input of height x width, anew each epoch; timm's order. */
export function trainingTransform(recipe: Recipe, height: number, width: number): Transform {
  const { scale, ratio, translate, hflip, aa, mean, std, reprob } = recipe;
  return compose(
    scale === null
      ? centerResizedCrop(height, width)
      : randomResizedCrop(height, width, { scale, ratio }),
    ...(translate > 0 ? [randomShift(translate)] : []),
    ...(hflip > 0 ? [randomHorizontalFlip(hflip)] : []),
    ...(aa === null ? [] : [randAugment(aa, mean)]),
    normalise(mean, std),
    ...(reprob > 0 ? [randomErasing(reprob)] : []),
  );
}

/** An image becomes an input of height x width: its middle, normalised. */
export function evaluationTransform(
  { cropPct, mean, std }: Recipe,
  height: number,
  width: number,
): Transform {
  return compose(centerResizedCrop(height, width, cropPct), normalise(mean, std));
}
