/**
 * The verdict on a case: every stored output and gradient must have been computed, and must be as close as the manifest
 * asks.
 * @module
 */
import type { GoldenCase, Results } from "./case.ts";
import type { TensorEntry } from "./manifest.ts";

/** How a case went. */
export interface Verdict {
  /** The case. */
  readonly name: string;
  /** Whether all of it is within its tolerances. */
  readonly ok: boolean;
  /** The largest |got - want| over all values of all tensors; NaN when nothing was compared. */
  readonly maxAbs: number;
  /** The largest |got - want| relative to the largest |want| of its tensor; NaN when nothing was compared. */
  readonly maxRel: number;
  /** What failed; undefined when it is ok. */
  readonly what?: string;
}

/** The line that `golden` prints for a case. */
export function formatVerdict({ name, ok, maxAbs, maxRel, what }: Verdict): string {
  const figures = `max_abs=${format(maxAbs)} max_rel=${format(maxRel)}`;
  return ok ? `${name} ok ${figures}` : `${name} FAIL ${figures} (${what})`;
}

function format(x: number): string {
  return x === 0 || !Number.isFinite(x) ? String(x).toLowerCase() : x.toExponential(1);
}

/** Compares all outputs and gradients of a case. Those that were not computed count as failures. */
export function compareCase(golden: GoldenCase, results: Results): Verdict {
  let maxAbs = NaN, maxRel = NaN, compared = 0;
  const failures: string[] = [];
  // NaN stands for "nothing yet"; Math.max would keep it.
  const larger = (found: number, before: number) => found <= before ? before : found;
  for (const tensor of golden.entry.tensors) {
    if (!/^(output|grad)\./.test(tensor.name)) continue;
    const got = results.get(tensor.name);
    if (got === undefined) {
      failures.push(`${tensor.name} was not computed`);
      continue;
    }
    const found = compareTensor(golden, tensor, got);
    compared += found.compared;
    maxAbs = larger(found.maxAbs, maxAbs);
    maxRel = larger(found.maxRel, maxRel);
    if (found.what !== undefined) failures.push(`${tensor.name}: ${found.what}`);
  }
  if (failures.length === 0 && compared === 0) failures.push("nothing to compare");
  const { name } = golden;
  if (failures.length === 0) return { name, ok: true, maxAbs, maxRel };
  const more = failures.length > 1 ? `; and ${failures.length - 1} more tensors` : "";
  return { name, ok: false, maxAbs, maxRel, what: failures[0] + more };
}

interface TensorVerdict {
  /** How many values a mask left to compare. */
  compared: number;
  maxAbs: number;
  maxRel: number;
  what?: string;
}

function compareTensor(
  golden: GoldenCase,
  { name, tolAbs, tolRel }: TensorEntry,
  got: ArrayLike<number>,
): TensorVerdict {
  const want = golden.values(name);
  if (got.length !== want.length) {
    return {
      compared: 0,
      maxAbs: NaN,
      maxRel: NaN,
      what: `${got.length} values, want ${want.length}`,
    };
  }
  const maskName = `mask.${name.slice(name.indexOf(".") + 1)}`;
  const mask = golden.has(maskName) ? golden.ints(maskName) : undefined;
  let compared = 0, maxAbs = 0, largest = 0, off = 0, worst = -1, worstExcess = 0;
  for (let i = 0; i < want.length; i++) {
    if (mask !== undefined && mask[i] === 0) continue;
    compared++;
    const difference = distance(got[i], want[i]);
    if (difference > maxAbs) maxAbs = difference;
    if (Number.isFinite(want[i])) largest = Math.max(largest, Math.abs(want[i]));
    if (difference === 0) continue;
    const excess = difference - (tolAbs + tolRel * Math.abs(want[i]));
    if (excess <= 0) continue;
    off++;
    if (worst < 0 || excess > worstExcess) [worst, worstExcess] = [i, excess];
  }
  const maxRel = maxAbs === 0 ? 0 : maxAbs / largest;
  if (off === 0) return { compared, maxAbs, maxRel };
  const what = `${off} of ${want.length} off by more than ${tolAbs} + ${tolRel} |want|; ` +
    `worst at ${worst}: got ${got[worst]}, want ${want[worst]}`;
  return { compared, maxAbs, maxRel, what };
}

/** |got - want|, where NaN agrees with NaN, an infinity with itself, and neither with anything else. */
function distance(got: number, want: number): number {
  if (Object.is(got, want) || got === want) return 0;
  const difference = Math.abs(got - want);
  return Number.isNaN(difference) ? Infinity : difference;
}
