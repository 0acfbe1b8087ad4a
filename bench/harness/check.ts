/**
 * Compares what a framework computed with what the reference expects.
 * @module
 */
import type { Expected } from "../workload.ts";

/** The verdict on a row. */
export interface Check {
  readonly ok: boolean;
  /** Largest absolute error over all results; null where nothing could be compared. */
  readonly max_abs: number | null;
}

/** A result that is missing, of another size, or wrong. */
export class WrongResult extends Error {
  constructor(message: string, readonly check: Check) {
    super(message);
  }
}

/**
 * Checks every expected result.
 * @param tolerance largest error allowed, as a share of the largest magnitude expected in that result
 * @throws {WrongResult} naming the first result that is off; a value that is not a number is off
 */
export function checkResults(
  got: Readonly<Record<string, ArrayLike<number>>>,
  want: Readonly<Record<string, Expected>>,
  tolerance: number,
): Check {
  let worst = 0;
  let complaint: string | null = null;
  for (const [name, { values, at }] of Object.entries(want)) {
    const result = got[name];
    if (result === undefined) {
      throw new WrongResult(`no result ${name}`, { ok: false, max_abs: null });
    }
    if (at === undefined && result.length !== values.length) {
      const sizes = `${result.length} values for ${name}, expected ${values.length}`;
      throw new WrongResult(sizes, { ok: false, max_abs: null });
    }
    let scale = 0, error = 0;
    for (let i = 0; i < values.length; i++) {
      const off = Math.abs(result[at ? at[i] : i] - values[i]);
      // NaN is larger than nothing, so it is made the worst of all.
      if (!(off <= error)) error = Number.isNaN(off) ? Infinity : off;
      scale = Math.max(scale, Math.abs(values[i]));
    }
    worst = Math.max(worst, error);
    if (!(error <= tolerance * scale)) {
      const share = (error / scale).toExponential(1);
      complaint ??= `wrong values: ${name} is off by ${share} of its largest value`;
    }
  }
  const check: Check = {
    ok: complaint === null,
    max_abs: Number.isFinite(worst) ? worst : null,
  };
  if (complaint !== null) throw new WrongResult(complaint, check);
  return check;
}
