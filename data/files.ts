/**
 * IDX and CIFAR data sets on disk (Deno and Node only; `data/mod.ts` holds what browsers can use).
 * @module
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../engine/errors.ts";
import { codeOf, fileError } from "../io/file_error.ts";
import { readFileBytes } from "../io/files.ts";
import { type CifarClasses, readCifar } from "./cifar.ts";
import { type IdxArray, readIdx } from "./idx.ts";
import {
  type DatasetParts,
  type IdxSetOptions,
  type ImageSet,
  imageSetFromIdx,
} from "./image_set.ts";

/** A part of a data set, as its file names say it: `train-…` or `t10k-…`. */
export type DatasetPart = "train" | "test";

const PREFIX = { train: "train", test: "t10k" } as const;

/**
 * Reads an IDX file, packed with gzip or not.
 * @throws {DataError} the file cannot be read, is truncated, damaged, or no IDX file; names the path
 */
export async function loadIdxFile(path: string): Promise<IdxArray> {
  return await readIdx(await readFileBytes(path, DataError), path);
}

/**
 * Reads one part of a folder with MNIST's file names: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or
 * `t10k-…` for the test part; each may end in `.gz`, and may have `.idx` for `-idx`.
 * @throws {DataError} a file is missing or damaged, or images and labels do not fit; names the path
 */
export async function loadIdxPart(
  folder: string,
  part: DatasetPart,
  options: IdxSetOptions = {},
): Promise<ImageSet> {
  const names = await listFolder(folder);
  const [images, labels] = await Promise.all([
    loadIdxFile(findFile(folder, names, `${PREFIX[part]}-images`, "idx3-ubyte")),
    loadIdxFile(findFile(folder, names, `${PREFIX[part]}-labels`, "idx1-ubyte")),
  ]);
  return imageSetFromIdx(images, labels, options, `${folder} (${part})`);
}

/**
 * Reads both parts of a folder with MNIST's file names (see `loadIdxPart`). Without `classes` or `names`, the training
 * labels say how many classes there are.
 * @throws {DataError} a file is missing or damaged, images and labels do not fit, or the parts have other image sizes
 */
export async function loadIdxFolder(
  folder: string,
  options: IdxSetOptions = {},
): Promise<DatasetParts> {
  const train = await loadIdxPart(folder, "train", options);
  const test = await loadIdxPart(folder, "test", { classes: train.classes, ...options });
  const size = (set: ImageSet): string => `${set.height} x ${set.width} x ${set.channels}`;
  if (size(train) !== size(test)) {
    throw new DataError(
      `${folder}: training images are ${size(train)}, test images ${
        size(test)
      }; they must be one size`,
    );
  }
  return { train, test };
}

/** Whether a folder holds all four files of `loadIdxFolder`. */
export async function isIdxFolder(folder: string): Promise<boolean> {
  let names: readonly string[];
  try {
    names = await listFolder(folder);
  } catch {
    return false;
  }
  return ["train", "t10k"].every((prefix) =>
    candidates(`${prefix}-images`, "idx3-ubyte").some((name) => names.includes(name)) &&
    candidates(`${prefix}-labels`, "idx1-ubyte").some((name) => names.includes(name))
  );
}

/** The files of each part of the two CIFARs, and the file of the classes' names. */
const CIFAR: Readonly<
  Record<CifarClasses, Record<DatasetPart, readonly string[]> & { names: string }>
> = {
  10: {
    train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
    test: ["test_batch.bin"],
    names: "batches.meta.txt",
  },
  100: { train: ["train.bin"], test: ["test.bin"], names: "fine_label_names.txt" },
};

/** Which CIFAR's binary files a folder holds, all of them; null where none. */
export async function cifarIn(folder: string): Promise<CifarClasses | null> {
  const there = await listFolder(folder).catch((): string[] => []);
  const whole = (
    [, { train, test }]: [string, { train: readonly string[]; test: readonly string[] }],
  ) => [...train, ...test].every((name) => there.includes(name));
  const found = Object.entries(CIFAR).find(whole);
  return found === undefined ? null : Number(found[0]) as CifarClasses;
}

/**
 * Reads both parts of a folder with the binary files of CIFAR-10 or CIFAR-100, unpacked.
 * @throws {DataError} a file is missing, damaged, or no such file; names the path
 */
export async function loadCifarFolder(folder: string): Promise<DatasetParts> {
  const classes = await cifarIn(folder);
  if (classes === null) {
    throw new DataError(
      `${folder}: want data_batch_1.bin to data_batch_5.bin and test_batch.bin (CIFAR-10), or train.bin and ` +
        "test.bin (CIFAR-100), unpacked from the binary version",
    );
  }
  const files = CIFAR[classes];
  const text = await readFileBytes(join(folder, files.names), DataError).then(
    (bytes) => new TextDecoder().decode(bytes),
    () => "",
  );
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const names = lines.length === classes ? lines : undefined;
  const part = async (which: DatasetPart): Promise<ImageSet> => {
    const bytes = await Promise.all(
      files[which].map((name) => readFileBytes(join(folder, name), DataError)),
    );
    return readCifar(bytes, classes, names, `${folder} (${which})`);
  };
  return { train: await part("train"), test: await part("test") };
}

async function listFolder(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") {
      throw new DataError(`${folder}: there is no such folder`, { cause });
    }
    throw fileError(DataError, "read", folder, cause);
  }
}

function findFile(folder: string, names: readonly string[], stem: string, kind: string): string {
  const found = candidates(stem, kind).find((name) => names.includes(name));
  if (found !== undefined) return join(folder, found);
  throw new DataError(`${folder}: there is no ${stem}-${kind} or ${stem}-${kind}.gz in it`);
}

function candidates(stem: string, kind: string): string[] {
  return [`${stem}-${kind}`, `${stem}-${kind}.gz`, `${stem}.${kind}`, `${stem}.${kind}.gz`];
}
