/**
 * What happens to training images, in all arms alike.
 * @module
 */
import { recipeFor } from "../demo/recipe.ts";
import { JETPACK, type Recipe } from "../training/recipe.ts";

/** Pixels by which training images move at most, each way. */
const SHIFT = 2;

/** `shift`: images move a little, as in the demo; `randaugment`: and the authors' RandAugment comes on top. */
export type Augmentation = "shift" | "randaugment";

/** The augmentations in words. */
export const AUGMENTATIONS: Readonly<Record<Augmentation, string>> = {
  randaugment: `images moved by up to ${SHIFT} pixels, the authors' RandAugment (${JETPACK.aa})`,
  shift: `images moved by up to ${SHIFT} pixels`,
};

/** Whether a text names an augmentation. */
export function isAugmentation(text: string): text is Augmentation {
  return Object.hasOwn(AUGMENTATIONS, text);
}

/** How every arm is trained. */
export function recipeOf(
  { epochs, augmentation }: { readonly epochs: number; readonly augmentation: Augmentation },
): Recipe {
  const recipe = recipeFor(epochs, SHIFT);
  return augmentation === "shift" ? recipe : { ...recipe, aa: JETPACK.aa };
}
