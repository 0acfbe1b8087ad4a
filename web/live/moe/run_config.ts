/**
 * What decides a training run of the page, besides its data: kept in the checkpoint, so that a run that is loaded goes on
 * with its own settings.
 * @module
 */
import type { ModelCard } from "../../../cli/training/model_card.ts";
import { PLAIN, recipeWith } from "../../../cli/training/recipe.ts";
import type { JsonObject } from "../../../io/mod.ts";
import { moeVitConfig } from "../../../models/mod.ts";

/** The settings of a run. */
export interface PageRun extends ModelCard {
  readonly kind: "page";
  /** Optimiser steps in all. */
  readonly steps: number;
  /** Where its first weights came from, in words. */
  readonly start: string;
}

/** As plain JSON, without what is undefined. */
export function toJson(run: PageRun): JsonObject {
  return JSON.parse(JSON.stringify(run));
}

/** Whether a checkpoint's configuration is of a run of this page, with settings that make a model and a recipe. */
export function isPageRun(config: unknown): config is PageRun {
  const { kind, steps, model, recipe, start } = config as Partial<PageRun>;
  if (kind !== "page" || !Number.isSafeInteger(steps) || typeof start !== "string") return false;
  try {
    moeVitConfig(model);
    recipeWith(PLAIN, recipe);
    return true;
  } catch {
    return false;
  }
}
