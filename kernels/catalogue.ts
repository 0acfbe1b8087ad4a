/**
 * Every launch function of the kernels with representative calls: small, awkward sizes that together reach every
 * program, with the plain loops that say what comes out, and huge ones that reach the limits of a dispatch.
 *
 * Tests compile all of it in both runtimes, run it within guarded buffers and mutate it; a test fails when a launch
 * function of `kernels/` is missing here. A variant that no call reaches is a variant that nobody compiles: with a new
 * tile, option or lane comes a new call.
 * @module
 */
import { ATTENTION } from "./catalogue/attention.ts";
import { CONVOLUTIONS } from "./catalogue/convolutions.ts";
import { ELEMENTS } from "./catalogue/elements.ts";
import type { CatalogueEntry } from "./catalogue/entry.ts";
import { LOSSES } from "./catalogue/losses.ts";
import { MAPS } from "./catalogue/maps.ts";
import { PRODUCTS } from "./catalogue/products.ts";
import { ROUTING } from "./catalogue/routing.ts";
import { ROWS } from "./catalogue/rows.ts";
import { TRAINING } from "./catalogue/training.ts";

export type { CataloguedKernel, CatalogueEntry } from "./catalogue/entry.ts";

/** Every launch function of the kernels. */
export const CATALOGUE: readonly CatalogueEntry[] = [
  ...ELEMENTS,
  ...ROWS,
  ...PRODUCTS,
  ...CONVOLUTIONS,
  ...MAPS,
  ...LOSSES,
  ...ATTENTION,
  ...ROUTING,
  ...TRAINING,
];
