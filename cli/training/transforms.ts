/**
 * What a recipe does to images, as transforms: for training at random, for evaluation always the same.
 * @module
 */
import {
  compose,
  normalise,
  randomHorizontalFlip,
  randomShift,
  type Transform,
} from "../../data/mod.ts";
import type { Recipe } from "./recipe.ts";

/** An image as it comes from a file becomes a training input of height x width, anew each epoch. */
export function trainingTransform(recipe: Recipe, _height: number, _width: number): Transform {
  const { translate, hflip, mean, std } = recipe;
  const steps: Transform[] = [];
  if (translate > 0) steps.push(randomShift(translate));
  if (hflip > 0) steps.push(randomHorizontalFlip(hflip));
  steps.push(normalise(mean, std));
  return compose(...steps);
}

/** An image becomes an input of height x width: its middle, normalised. */
export function evaluationTransform(recipe: Recipe, _height: number, _width: number): Transform {
  return normalise(recipe.mean, recipe.std);
}
