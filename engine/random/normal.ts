/**
 * Standard normal numbers from one 32-bit word each, through a table of integers.
 *
 * The usual ways (Box-Muller, polar, inverse error function) need log, cos or exp, whose last bits differ between
 * engines and GPUs. Here a normal is a table look-up, one integer interpolation, one exact conversion and one
 * multiplication by a power of two, so a GPU kernel with the same table gives the same bits.
 *
 * Map     The word's top bit is the sign; the other 31 bits, as n = 2 m + 1 in [1, 2^32), stand for the tail
 *         probability p = n / 2^33 in (0, 1/2). The result is +-Q(p), where Q(p) is the z that a normal exceeds
 *         with probability p.
 * Table   Q is steep near 0, so each octave [2^k, 2^(k+1)) of n has its own 32 segments: 32 * 32 + 1 knots, each
 *         Q in units of 2^-21. The largest, 6.34 * 2^21, is below 2^24: f32 holds every result exactly.
 * Error   Between knots Q is replaced by its chord: at most 5.1e-5 off in z, variance 1.000027, kurtosis 3.000.
 * @module
 */

import { normalFromKnots } from "../../kernels/random.ts";

/** Segments an octave of the tail probability is cut into. */
const SEGMENTS = 32;
/** Octaves of a 32-bit number. */
const OCTAVES = 32;
/** Table unit: results are whole multiples of 2^-21. */
const UNIT = 1 / 2 ** 21;

let table: Uint32Array | undefined;

/** The 1,025 knots of `normalFromWord`, falling from Q(2^-33) to Q(1/2) = 0, in units of 2^-21. Do not write to it. */
export function normalTable(): Uint32Array {
  if (table === undefined) {
    table = new Uint32Array(OCTAVES * SEGMENTS + 1);
    let z = 0;
    for (let k = table.length - 1; k >= 0; k--) {
      const n = 2 ** Math.floor(k / SEGMENTS) * (1 + (k % SEGMENTS) / SEGMENTS);
      z = upperQuantile(n / 2 ** 33, z);
      table[k] = Math.round(z / UNIT);
    }
  }
  return table;
}

/** The standard normal number that a random 32-bit word stands for; a whole multiple of 2^-21 in [-6.34, 6.34]. */
export function normalFromWord(word: number): number {
  return normalFromKnots(word, normalTable());
}

/** Q(p) by Newton's method from a start that is not far below it. Only + - * / : the same bits in every engine. */
function upperQuantile(p: number, start: number): number {
  let z = start;
  for (let i = 0; i < 8; i++) z += (upperTail(z) - p) / density(z);
  return z;
}

/** The probability that a standard normal exceeds z >= 0. */
function upperTail(z: number): number {
  if (z < 2) {
    // 1/2 - density(z) * (z + z^3/3 + z^5/(3*5) + ...)
    let term = z, sum = z;
    for (let i = 3; i < 60; i += 2) {
      term *= z * z / i;
      sum += term;
    }
    return 0.5 - density(z) * sum;
  }
  // density(z) / (z + 1/(z + 2/(z + 3/...))): keeps its relative precision where the series would cancel.
  let fraction = z;
  for (let i = 150; i >= 1; i--) fraction = z + i / fraction;
  return density(z) / fraction;
}

/** exp(-z^2/2) / sqrt(2 pi), the exponential as a Taylor series of x / 1024, squared ten times. */
function density(z: number): number {
  const x = -z * z / 2048;
  let term = 1, sum = 1;
  for (let i = 1; i < 12; i++) {
    term *= x / i;
    sum += term;
  }
  for (let i = 0; i < 10; i++) sum *= sum;
  return sum * 0.3989422804014327;
}
