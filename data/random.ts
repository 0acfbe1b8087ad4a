/**
 * The seeded generator that data order, sampling and augmentation draw from; it lives in the engine, as initial weights
 * draw from it too.
 * @module
 */
export { Rng, type RngState } from "../engine/random/host_rng.ts";
