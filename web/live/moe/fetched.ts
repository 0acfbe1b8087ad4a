/**
 * What the page loads from beside itself.
 * @module
 */
import { type DatasetParts, type ImageSet, imageSetFromIdx, readIdx } from "../../../data/mod.ts";
import { DIGITS } from "./places.ts";

/** The bytes of a file of the site. @throws {Error} it is not there */
export async function fetched(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: the server says ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** One part of the digits. */
export async function fetchedDigits(part: keyof typeof DIGITS): Promise<ImageSet> {
  const { images, labels } = DIGITS[part];
  const [pixels, classes] = await Promise.all(
    [images, labels].map(async (path) => await readIdx(await fetched(path), path)),
  );
  return imageSetFromIdx(pixels, classes, { classes: 10 }, images);
}

let both: Promise<DatasetParts> | undefined;

/** Both parts, fetched once. */
export function fetchedParts(): Promise<DatasetParts> {
  return both ??= Promise.all([fetchedDigits("train"), fetchedDigits("heldOut")])
    .then(([train, test]) => ({ train, test }));
}
