/**
 * Philox4x32-10: a counter-based random generator (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011, section 3.3).
 *
 * Ten rounds of an integer hash turn a 128-bit counter and a 64-bit key into four random 32-bit words. Nothing is
 * carried from one call to the next, so word `i` can be made anywhere, in any order: here, or in one GPU invocation a
 * word. It needs 32-bit integers only, which is why every adapter and every browser gives the same words.
 * @module
 */

/** Multipliers and key increments of Philox4x32, from the paper. */
const M0 = 0xd2511f53, M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9, W1 = 0xbb67ae85;

/** The 16-bit halves of the multipliers, for the 64-bit products below. */
const M0_LOW = M0 & 0xffff, M0_HIGH = M0 >>> 16;
const M1_LOW = M1 & 0xffff, M1_HIGH = M1 >>> 16;

/** What `floor(x / 65536)` is multiplied by; a power of two, so the product is exact. */
const DOWN_16 = 1 / 65536;

/**
 * Writes the four words of one block to `out[at .. at + 4)`.
 *
 * @param key two words, here (seed, stream)
 * @param counter four words; only their low 32 bits count
 */
export function philox4x32(
  key: readonly [number, number],
  counter: readonly [number, number, number, number],
  out: Uint32Array,
  at = 0,
): void {
  let k0 = key[0] >>> 0, k1 = key[1] >>> 0;
  let c0 = counter[0] >>> 0, c1 = counter[1] >>> 0, c2 = counter[2] >>> 0, c3 = counter[3] >>> 0;
  for (let round = 0; round < 10; round++) {
    // The high words of c0 * M0 and c2 * M1. A double holds 53 bits and each partial product has at most 49, so
    // these sums are exact; `>>> 0` and `>>> 16` would cut them to 32 bits too early.
    const high0 = Math.floor((c0 * M0_HIGH + Math.floor(c0 * M0_LOW * DOWN_16)) * DOWN_16);
    const high1 = Math.floor((c2 * M1_HIGH + Math.floor(c2 * M1_LOW * DOWN_16)) * DOWN_16);
    const low0 = Math.imul(c0, M0), low1 = Math.imul(c2, M1);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[at] = c0;
  out[at + 1] = c1;
  out[at + 2] = c2;
  out[at + 3] = c3;
}
