/**
 * Dividing a launch: the same workgroups in several dispatches, so that a slow adapter is not held by one for too long.
 *
 * A program whose workgroups number themselves by `FOLDED_GROUP` (snippets.ts) counts from `params.first_group`. Every
 * workgroup runs once, on the same data, and knows nothing of the division: the results are the same to the last bit.
 * @module
 */
import { ceilDiv, type Kernel } from "./kernel.ts";

/** A part of a launch: so many workgroups, counted from `first`. */
export interface LaunchPart {
  /** Number of the first workgroup. */
  readonly first: number;
  /** Workgroups in x, y and z. */
  readonly workgroups: readonly [number, number, number];
  /** Share of the whole launch, 0 to 1. */
  readonly share: number;
  /** No part follows. */
  readonly last: boolean;
}

/**
 * Divides a launch into `parts` of about equal size that together run every workgroup just once; into fewer where it has
 * not so many, into one where the program does not count from `first_group`.
 */
export function divide({ program, workgroups: [x, y, z] }: Kernel, parts: number): LaunchPart[] {
  const all = x * y;
  let size = ceilDiv(all, Math.max(1, parts));
  if (!program.divisible || z !== 1 || size >= all) {
    return [{ first: 0, workgroups: [x, y, z], share: 1, last: true }];
  }
  if (size > x) size = ceilDiv(size, x) * x; // whole lines of x, as a part must not run more than its own
  return Array.from({ length: ceilDiv(all, size) }, (_, i): LaunchPart => {
    const first = i * size, count = Math.min(size, all - first);
    const workgroups = size < x ? [count, 1, 1] as const : [x, count / x, 1] as const;
    return { first, workgroups, share: count / all, last: first + count === all };
  });
}
