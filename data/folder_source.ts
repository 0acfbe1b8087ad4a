/**
 * A folder of pictures as a source for a loader: files are decoded when they are asked for (Deno and Node only).
 *
 *     FOLDER/train/CLASS/…, FOLDER/val/CLASS/…     two parts (`test` and `validation` are taken for `val`)
 *     FOLDER/CLASS/…                               one part, of which a share of each class is held out
 * @module
 */
import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { DataError } from "../engine/errors.ts";
import { type ImageFolder, listImageFolder, readImage, toFloatImage } from "./image_folder.ts";
import type { ImageSource } from "./image_source.ts";
import { Rng } from "./random.ts";

/** The two parts of a data set, as sources. */
export interface SourceParts {
  /** For training. */
  readonly train: ImageSource;
  /** Held out: for measuring. */
  readonly test: ImageSource;
}

/** Names of the folder that is held out. */
const HELD_OUT = ["val", "validation", "test"];

/**
 * Opens a folder of pictures; see above for its layout. Nothing is decoded yet.
 * @param options.share of each class that is held out where the folder has one part; default 0.1
 * @param options.seed decides which pictures those are; default 0
 * @throws {DataError} there is no such folder, no picture, a class is in one part only, or too small to be divided
 */
export async function openImageFolder(
  folder: string,
  { share = 0.1, seed = 0 }: { share?: number; seed?: number } = {},
): Promise<SourceParts> {
  const names = await readdir(folder).catch((): string[] => []); // listImageFolder says what is wrong
  const held = HELD_OUT.find((name) => names.includes(name));
  if (!names.includes("train") || held === undefined) {
    return divide(folder, await listImageFolder(folder), share, seed);
  }
  const [train, test] = await Promise.all(
    ["train", held].map((part) => listImageFolder(join(folder, part))),
  );
  const missing = (a: ImageFolder, b: ImageFolder) =>
    a.names.find((name) => !b.names.includes(name));
  const lonely = missing(train, test) ?? missing(test, train);
  if (lonely !== undefined) {
    throw new DataError(`${folder}: the class "${lonely}" is not in both train and ${held}`);
  }
  return { train: await sourceOfFolder(folder, train), test: await sourceOfFolder(folder, test) };
}

/** Holds a share of each class out, at least one picture. */
async function divide(
  root: string,
  { files, labels, names }: ImageFolder,
  share: number,
  seed: number,
): Promise<SourceParts> {
  const train: number[] = [], test: number[] = [];
  for (const [label, name] of names.entries()) {
    const own = [...labels.keys()].filter((i) => labels[i] === label);
    const count = Math.max(1, Math.round(share * own.length));
    if (count >= own.length) {
      throw new DataError(
        `${root}: the class "${name}" has ${own.length} picture${
          own.length === 1 ? "" : "s"
        }, of which ${count} ` +
          "would be held out; add some, or make folders train and val",
      );
    }
    new Rng(seed, `data/split/${name}`).shuffle(own);
    test.push(...own.slice(0, count));
    train.push(...own.slice(count));
  }
  const part = (indices: number[]): ImageFolder => {
    indices.sort((a, b) => a - b);
    return {
      files: indices.map((i) => files[i]),
      labels: Uint32Array.from(indices, (i) => labels[i]),
      names,
    };
  };
  return {
    train: await sourceOfFolder(root, part(train)),
    test: await sourceOfFolder(root, part(test)),
  };
}

/** Pictures as a source; its fingerprint is made of their paths, labels and sizes in bytes. */
async function sourceOfFolder(
  root: string,
  { files, labels, names }: ImageFolder,
): Promise<ImageSource> {
  let hash = 0x811c9dc5;
  for (const [i, file] of files.entries()) {
    const line = `${relative(root, file)}\n${labels[i]}\n${(await stat(file)).size}\n`;
    for (const byte of new TextEncoder().encode(line)) hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return {
    count: files.length,
    channels: 3,
    classes: names.length,
    labels,
    names,
    size: null,
    fingerprint: `${files.length} pictures-${(hash >>> 0).toString(16).padStart(8, "0")}`,
    image: async (index) => toFloatImage(await readImage(files[index])),
  };
}
