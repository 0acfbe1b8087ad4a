// deno-lint-ignore-file no-import-prefix -- with no import map, this also works when imported by URL
/**
 * Folders of pictures (Deno and Node only): JPEG, PNG and WebP files, decoded and cut to one size.
 *
 *     FOLDER/CLASS/…/picture.jpg     a class is a folder of the first level, as torchvision's ImageFolder has it
 *
 * Sizes are those of timm's transform for evaluation: the shorter side becomes floor(size / cropPct) pixels (bicubic,
 * antialiased), and the middle square of `size` is cut out. Files are decoded as PIL's `convert("RGB")` does: grey is
 * repeated, transparency dropped, the orientation in EXIF not looked at.
 * @module
 */
import { readdir, realpath, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import type Sharp from "npm:sharp@0.35.5";
import { DataError, ShapeError } from "../engine/errors.ts";
import { codeOf, fileError } from "../io/file_error.ts";
import { readFileBytes } from "../io/files.ts";
import type { FloatImage } from "./float_image.ts";
import { type ImageSet, makeImageSet } from "./image_set.ts";

/** Picture files with their classes. */
export interface ImageFolder {
  /** The files, sorted by class and path. */
  readonly files: readonly string[];
  /** The class of each file, in [0, names.length). */
  readonly labels: Uint32Array;
  /** The folders' names, sorted: the classes. */
  readonly names: readonly string[];
}

/** A picture as bytes, [height, width, 3] row-major: red, green, blue in 0 to 255. */
export interface RgbImage {
  /** Pixels from top to bottom. */
  readonly height: number;
  /** Pixels from left to right. */
  readonly width: number;
  /** The values, [height, width, 3]. */
  readonly data: Uint8Array;
}

/** The size that pictures are brought to. */
export interface FitOptions {
  /** Side of the result in pixels. */
  readonly size: number;
  /** Which part of the shorter side is kept, in (0, 1]. Default 0.9, timm's for `vit_*_patch16_224`. */
  readonly cropPct?: number;
}

const PICTURE = /\.(jpe?g|png|webp)$/i;

/**
 * All pictures in a folder and the folders in it, sorted by path. Links are followed, hidden files left out.
 * @throws {DataError} there is no such folder, or no picture in it
 */
export async function listImages(folder: string): Promise<string[]> {
  const found: string[] = [];
  await collect(folder, found, new Set());
  if (found.length === 0) {
    throw new DataError(`${folder}: there are no pictures in it (.jpg, .jpeg, .png, .webp)`);
  }
  return found.sort();
}

/**
 * All pictures in the class folders of a folder. A class folder without pictures is none.
 * @throws {DataError} there is no such folder, or its pictures are not in folders; names the path
 */
export async function listImageFolder(folder: string): Promise<ImageFolder> {
  const files = await listImages(folder);
  const classes = files.map((file) => relative(folder, file).split(/[\\/]/));
  const loose = classes.findIndex((parts) => parts.length < 2);
  if (loose >= 0) {
    throw new DataError(
      `${files[loose]}: it is in no class; want one folder a class: ${folder}/CLASS/picture.jpg`,
    );
  }
  const names = [...new Set(classes.map(([name]) => name))].sort();
  const index = new Map(names.map((name, i) => [name, i]));
  // Sorted by path, "a-b/x" comes before "a/x": sort by class first, as the labels count.
  const order = files.map((_, i) => i).sort((a, b) =>
    index.get(classes[a][0])! - index.get(classes[b][0])! || a - b
  );
  return {
    files: order.map((i) => files[i]),
    labels: Uint32Array.from(order, (i) => index.get(classes[i][0])!),
    names,
  };
}

/**
 * Decodes a picture file.
 * @throws {DataError} the file cannot be read, is damaged, truncated or no picture; names the path
 */
export async function readImage(path: string): Promise<RgbImage> {
  const bytes = await readFileBytes(path, DataError);
  const sharp = await loadSharp();
  try {
    const picture = sharp(bytes).toColourspace("srgb").removeAlpha().raw();
    const { data, info } = await picture.toBuffer({ resolveWithObject: true });
    if (info.channels === 3) return { height: info.height, width: info.width, data };
    const rgb = new Uint8Array(3 * info.height * info.width);
    for (let i = 0; i < rgb.length; i++) rgb[i] = data[info.channels * Math.trunc(i / 3)];
    return { height: info.height, width: info.width, data: rgb };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new DataError(`cannot read ${path}: it is damaged or no picture (${why})`, { cause });
  }
}

/**
 * Brings a picture to `size` x `size`: resizes its shorter side, then cuts out the middle.
 * @throws {ShapeError} size is no whole number >= 1, or cropPct not in (0, 1]
 */
export async function fitImage(image: RgbImage, options: FitOptions): Promise<RgbImage> {
  const { size, cropPct = 0.9 } = options;
  checkFit(options);
  const shorter = Math.floor(size / cropPct);
  const least = Math.min(image.height, image.width);
  const [height, width] = [image.height, image.width]
    .map((side) => side === least ? shorter : Math.trunc(shorter * side / least));
  const sharp = await loadSharp();
  const raw = { width: image.width, height: image.height, channels: 3 } as const;
  const data = await sharp(image.data, { raw })
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .extract({
      left: halfToEven((width - size) / 2),
      top: halfToEven((height - size) / 2),
      width: size,
      height: size,
    })
    .raw().toBuffer();
  return { height: size, width: size, data };
}

/** The picture as floats: bytes / 255, channel by channel, [3, H, W]. */
export function toFloatImage({ height, width, data }: RgbImage): FloatImage {
  const size = height * width;
  const values = new Float32Array(3 * size);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < size; i++) values[c * size + i] = data[3 * i + c] / 255;
  }
  return { channels: 3, height, width, data: values };
}

/**
 * Reads a folder of class folders whole, as bytes of one size: count * size * size * 3 of them.
 * @param onImage called after each picture with how many are read, and how many there are
 * @throws {DataError} there are no pictures, more than 256 classes, or a file is no picture; names the path
 */
export async function loadImageFolder(
  folder: string,
  options: FitOptions,
  onImage?: (done: number, total: number) => void,
): Promise<ImageSet> {
  checkFit(options);
  const { files, labels, names } = await listImageFolder(folder);
  if (names.length > 256) {
    throw new DataError(`${folder}: ${names.length} classes; at most 256 fit in memory this way`);
  }
  const { size } = options;
  const bytes = 3 * size * size;
  const images = new Uint8Array(files.length * bytes);
  for (const [i, file] of files.entries()) {
    images.set((await fitImage(await readImage(file), options)).data, i * bytes);
    onImage?.(i + 1, files.length);
  }
  return makeImageSet({
    images,
    labels: Uint8Array.from(labels),
    height: size,
    width: size,
    channels: 3,
    classes: names.length,
    names,
  }, folder);
}

/** @param seen folders that were entered, so that links in a circle end */
async function collect(folder: string, found: string[], seen: Set<string>): Promise<void> {
  const names = await guarded(folder, async () => {
    const place = await realpath(folder);
    if (seen.has(place)) return [];
    seen.add(place);
    return await readdir(folder);
  });
  for (const name of names) {
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    const info = await guarded(path, () => stat(path));
    if (info.isDirectory()) await collect(path, found, seen);
    else if (info.isFile() && PICTURE.test(name)) found.push(path);
  }
}

async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const code = codeOf(cause);
    if (code === "ENOENT") throw new DataError(`${path}: there is no such folder`, { cause });
    if (code === "ENOTDIR") throw new DataError(`${path}: it is a file, not a folder`, { cause });
    throw fileError(DataError, "read", path, cause);
  }
}

function checkFit({ size, cropPct = 0.9 }: FitOptions): void {
  if (!Number.isInteger(size) || size < 1) {
    throw new ShapeError(`fitImage: size must be a whole number >= 1, got ${size}`);
  }
  if (!(cropPct > 0 && cropPct <= 1)) {
    throw new ShapeError(`fitImage: cropPct must be in (0, 1], got ${cropPct}`);
  }
}

/** Rounds as Python does, in which the crop's place is computed. */
function halfToEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + floor % 2 : Math.round(x);
}

/** The decoder, loaded at its first use: programs without pictures do without it. */
async function loadSharp(): Promise<typeof Sharp> {
  try {
    return (await import("npm:sharp@0.35.5")).default;
  } catch (cause) {
    throw new DataError(
      "the npm package sharp@0.35.5, which decodes pictures, is not there and could not be fetched, or has no " +
        "build for this system; run `deno install`",
      { cause },
    );
  }
}
