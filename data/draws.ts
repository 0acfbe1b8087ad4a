/**
 * Draws that need a power: rounded, so that engines whose `Math.pow` differs in a last bit still draw alike.
 * @module
 */
import type { Rng } from "./random.ts";

/** u^p for u in [0, 1], to 2^-24. */
export function roundedPower(u: number, p: number): number {
  return Math.round(u ** p * 2 ** 24) / 2 ** 24;
}

/** A number in [least, most] whose logarithm is uniform. */
export function logUniform(least: number, most: number, rng: Rng): number {
  return least * (1 / roundedPower(least / most, rng.uniform()));
}
