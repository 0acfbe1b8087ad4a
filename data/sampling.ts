/**
 * Choosing some images of a set by seed, class by class.
 *
 * Each class is put into a random order of its own, and a sample takes the first of it. So with one generator the
 * smaller of two samples is part of the larger: results on 500 and on 2,000 images can be compared.
 * @module
 */
import { DataError } from "../engine/errors.ts";
import { classCounts, type ImageSet } from "./image_set.ts";
import type { Rng } from "./random.ts";

/**
 * Indices of `count` images with the same number from each class; where that does not come out even, some classes that
 * the seed decides have one more. Ascending.
 * @throws {DataError} a class has too few images, or count is no whole number >= 1
 */
export function balancedSample(set: ImageSet, count: number, rng: Rng): Uint32Array {
  checkCount("balancedSample", count, set);
  const base = Math.floor(count / set.classes);
  const quotas = new Array<number>(set.classes).fill(base);
  const luckyFirst = rng.fork("extra").permutation(set.classes);
  for (const label of luckyFirst.subarray(0, count - base * set.classes)) quotas[label]++;
  return takeFromClasses("balancedSample", set, quotas, rng);
}

/**
 * Indices of `count` images whose classes are as frequent as in the set, to the nearest image. Ascending.
 * @throws {DataError} count is no whole number in [1, the set's count]
 */
export function stratifiedSample(set: ImageSet, count: number, rng: Rng): Uint32Array {
  checkCount("stratifiedSample", count, set);
  const shares = classCounts(set).map((size) => size * count / set.count);
  const quotas = shares.map(Math.floor);
  const missing = count - quotas.reduce((a, b) => a + b, 0);
  // The largest remainders get the images that rounding down left over.
  const byRemainder = shares.map((share, label) => ({ label, rest: share - quotas[label] }))
    .sort((a, b) => b.rest - a.rest || a.label - b.label);
  for (const { label } of byRemainder.slice(0, missing)) quotas[label]++;
  return takeFromClasses("stratifiedSample", set, quotas, rng);
}

function takeFromClasses(
  name: string,
  set: ImageSet,
  quotas: readonly number[],
  rng: Rng,
): Uint32Array {
  const members = Array.from({ length: set.classes }, (): number[] => []);
  set.labels.forEach((label, index) => members[label].push(index));
  const chosen: number[] = [];
  for (const [label, indices] of members.entries()) {
    if (indices.length < quotas[label]) {
      throw new DataError(
        `${name}: class ${label} has ${indices.length} images, ${
          quotas[label]
        } are wanted; ask for fewer`,
      );
    }
    rng.fork(`class ${label}`).shuffle(indices);
    for (const index of indices.slice(0, quotas[label])) chosen.push(index);
  }
  return Uint32Array.from(chosen).sort();
}

function checkCount(name: string, count: number, set: ImageSet): void {
  if (!Number.isInteger(count) || count < 1 || count > set.count) {
    throw new DataError(`${name}: count must be a whole number in [1, ${set.count}], got ${count}`);
  }
}
