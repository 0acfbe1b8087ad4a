/**
 * `--data`: any data set that is understood, by what lies in the folder.
 * @module
 */
import { loadFashionMnist, loadMnist } from "../../data/datasets.ts";
import { cifarIn, isIdxFolder, loadCifarFolder, loadIdxFolder } from "../../data/files.ts";
import { openImageFolder, type SourceParts } from "../../data/folder_source.ts";
import { type DatasetParts, type ImageSource, type Rng, sourceOf } from "../../data/mod.ts";
import { DataError } from "../../engine/mod.ts";

/** What the usage of a command says of the option. */
export const DATA_USAGE = `SET is mnist, fashion-mnist, or a folder with
                 MNIST's four IDX files, CIFAR-10's or CIFAR-100's binary files, train/CLASS/picture and
                 val/CLASS/picture, or CLASS/picture (JPEG, PNG, WebP), of which a tenth is held out`;

/**
 * Opens a data set.
 * @param seed decides what is held out of a folder with one part
 * @throws {DataError} there is nothing, or nothing that is understood
 */
export async function openData(where: string, seed: number): Promise<SourceParts> {
  if (where === "mnist") return sources(await loadMnist());
  if (where === "fashion-mnist") return sources(await loadFashionMnist());
  if (await isIdxFolder(where)) return sources(await loadIdxFolder(where));
  if (await cifarIn(where) !== null) return sources(await loadCifarFolder(where));
  return await openImageFolder(where, { seed });
}

function sources({ train, test }: DatasetParts): SourceParts {
  return { train: sourceOf(train), test: sourceOf(test) };
}

/**
 * The first images of each class in a random order, as many of each as come out even: for small trials.
 * @throws {DataError} there are fewer images
 */
export function limited(source: ImageSource, count: number, rng: Rng): ImageSource {
  if (count > source.count) {
    throw new DataError(`${count} images are wanted, there are ${source.count}`);
  }
  const order = rng.permutation(source.count);
  const seen = new Array<number>(source.classes).fill(0);
  // By how many of its class came before it, so that each class is there about equally often.
  const ranked = Array.from(order, (index) => ({ index, rank: seen[source.labels[index]]++ }))
    .sort((a, b) => a.rank - b.rank).slice(0, count).map(({ index }) => index).sort((a, b) =>
      a - b
    );
  return {
    ...source,
    count,
    labels: Uint32Array.from(ranked, (index) => source.labels[index]),
    fingerprint: `${count} of ${source.fingerprint}, seed ${rng.seed}`,
    image: (index) => source.image(ranked[index]),
  };
}
