/**
 * Mutants that no test can fail, because they compute the same: each with the reason.
 *
 * An entry is no excuse for a weak test: it holds only what is equal for every input that the kernel is given.
 * @module
 */
import type { Mutation } from "./mutation.ts";

/** A family of mutants that change nothing. */
export interface EquivalentMutants {
  /** Programs it is about; default all. */
  readonly label?: RegExp;
  /** The line before. */
  readonly line: RegExp;
  /** The line after. */
  readonly mutant: RegExp;
  /** Why nothing changes. */
  readonly reason: string;
}

/** All that are known. */
export const EQUIVALENT: readonly EquivalentMutants[] = [];

/** The reason why a mutation changes nothing, if it is known to. */
export function equivalence(mutation: Mutation): string | undefined {
  return EQUIVALENT.find(({ label, line, mutant }) =>
    (label?.test(mutation.label) ?? true) && line.test(mutation.line) &&
    mutant.test(mutation.mutant)
  )?.reason;
}
