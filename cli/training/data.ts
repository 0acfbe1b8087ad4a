/**
 * `--data`: any data set that is understood, by what lies in the folder.
 * @module
 */
import { loadFashionMnist, loadMnist } from "../../data/datasets.ts";
import { cifarIn, isIdxFolder, loadCifarFolder, loadIdxFolder } from "../../data/files.ts";
import { openImageFolder, type SourceParts } from "../../data/folder_source.ts";
import {
  type DatasetParts,
  type FloatImage,
  type ImageSource,
  makeImage,
  type Rng,
  sourceOf,
} from "../../data/mod.ts";
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

/**
 * The same images with as many channels as a model takes: grey is repeated, colours become their brightness.
 * @throws {DataError} neither has 1 channel
 */
export function withChannels(source: ImageSource, channels: number): ImageSource {
  if (source.channels === channels) return source;
  const convert = source.channels === 1 ? repeated : channels === 1 ? brightness : null;
  if (convert === null) {
    throw new DataError(`images have ${source.channels} channels, the model takes ${channels}`);
  }
  return {
    ...source,
    channels,
    image: async (index) => convert(await source.image(index), channels),
  };
}

function repeated({ height, width, data }: FloatImage, channels: number): FloatImage {
  const image = makeImage(channels, height, width);
  for (let c = 0; c < channels; c++) image.data.set(data, c * height * width);
  return image;
}

/** With the weights of ITU-R 601, as PIL's `convert("L")`. */
function brightness({ height, width, data }: FloatImage): FloatImage {
  const image = makeImage(1, height, width);
  const size = height * width;
  for (let i = 0; i < size; i++) {
    image.data[i] = 0.299 * data[i] + 0.587 * data[size + i] + 0.114 * data[2 * size + i];
  }
  return image;
}
