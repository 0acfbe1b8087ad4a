/**
 * Labelled images of one size, in memory: what a data file becomes and what batches are made from.
 * @module
 */
import { DataError } from "../engine/errors.ts";
import type { IdxArray } from "./idx.ts";

/** Labelled images of one size. */
export interface ImageSet {
  /** How many images: N. */
  readonly count: number;
  /** Pixels from top to bottom: H. */
  readonly height: number;
  /** Pixels from left to right: W. */
  readonly width: number;
  /** Values a pixel: C, 1 for grey, 3 for red, green, blue. */
  readonly channels: number;
  /** The pixels, [N, H, W, C], 0 to 255. */
  readonly images: Uint8Array;
  /** The class of each image, in [0, classes). */
  readonly labels: Uint8Array;
  /** How many classes there are. */
  readonly classes: number;
  /** The classes' names, where they are known. */
  readonly names?: readonly string[];
}

/** The two parts that data sets come in. */
export interface DatasetParts {
  /** For training. */
  readonly train: ImageSet;
  /** Held out: for measuring. */
  readonly test: ImageSet;
}

/**
 * Checks that the parts of an image set fit each other, and freezes them as one.
 * @param label names the data in errors
 * @throws {DataError} counts, sizes or labels do not fit
 */
export function makeImageSet(set: Omit<ImageSet, "count">, label = "images"): ImageSet {
  const { images, labels, height, width, channels, classes, names } = set;
  for (const [name, value] of Object.entries({ height, width, channels, classes })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new DataError(`${label}: ${name} must be a whole number >= 1, got ${value}`);
    }
  }
  if (classes > 256) {
    throw new DataError(`${label}: at most 256 classes fit a byte, got ${classes}`);
  }
  const count = labels.length;
  if (images.length !== count * height * width * channels) {
    const have = images.length / (height * width * channels);
    throw new DataError(
      `${label}: ${have} images of ${height} x ${width} x ${channels}, but ${count} labels`,
    );
  }
  if (names !== undefined && names.length !== classes) {
    throw new DataError(`${label}: ${names.length} class names for ${classes} classes`);
  }
  const wrong = labels.findIndex((value) => value >= classes);
  if (wrong >= 0) {
    throw new DataError(
      `${label}: label ${
        labels[wrong]
      } of image ${wrong} is not one of the ${classes} classes, 0 to ${classes - 1}`,
    );
  }
  return Object.freeze({ ...set, count });
}

/** What `imageSetFromIdx` cannot read from the files. */
export interface IdxSetOptions {
  /** How many classes there are; default as many as names, else the largest label plus 1. */
  readonly classes?: number;
  /** The classes' names. */
  readonly names?: readonly string[];
}

/**
 * The image set of two IDX arrays: images [N, H, W] or [N, H, W, C], labels [N], both bytes.
 * @param label names the data in errors
 * @throws {DataError} the arrays have other shapes or types, or do not fit each other
 */
export function imageSetFromIdx(
  images: IdxArray,
  labels: IdxArray,
  options: IdxSetOptions = {},
  label = "IDX images",
): ImageSet {
  const { shape, data } = images;
  if (!(data instanceof Uint8Array) || shape.length < 3 || shape.length > 4) {
    throw new DataError(
      `${label}: images must be bytes of shape [N, H, W] or [N, H, W, C], got ${describe(images)}`,
    );
  }
  if (!(labels.data instanceof Uint8Array) || labels.shape.length !== 1) {
    throw new DataError(`${label}: labels must be bytes of shape [N], got ${describe(labels)}`);
  }
  const [count, height, width, channels = 1] = shape;
  if (count !== labels.data.length) {
    throw new DataError(`${label}: ${count} images, but ${labels.data.length} labels`);
  }
  if (count === 0) throw new DataError(`${label}: there are no images`);
  const largest = labels.data.reduce((a, b) => Math.max(a, b), 0);
  const classes = options.classes ?? options.names?.length ?? largest + 1;
  const { names } = options;
  return makeImageSet(
    { images: data, labels: labels.data, height, width, channels, classes, names },
    label,
  );
}

function describe(array: IdxArray): string {
  return `${array.data.constructor.name} of shape [${array.shape}]`;
}

/** How many images each class has. */
export function classCounts(set: ImageSet): number[] {
  const counts = new Array<number>(set.classes).fill(0);
  for (const label of set.labels) counts[label]++;
  return counts;
}

/**
 * The images at some indices, in that order, copied.
 * @throws {DataError} an index is out of range
 */
export function subset(set: ImageSet, indices: ArrayLike<number>): ImageSet {
  const size = set.height * set.width * set.channels;
  const images = new Uint8Array(indices.length * size);
  const labels = new Uint8Array(indices.length);
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i];
    if (!Number.isInteger(from) || from < 0 || from >= set.count) {
      throw new DataError(`subset: index ${from} is not in [0, ${set.count})`);
    }
    images.set(set.images.subarray(from * size, (from + 1) * size), i * size);
    labels[i] = set.labels[from];
  }
  return makeImageSet({ ...set, images, labels });
}

/**
 * A short text that changes when any pixel, label or size does: kept in a checkpoint, so that a run is not resumed on
 * other data. Against mistakes, not against forgery.
 */
export function fingerprint(set: ImageSet): string {
  const { count, height, width, channels, classes } = set;
  let a = 0x9e3779b9 ^ classes, b = 0x85ebca6b ^ classes;
  for (const bytes of [set.images, set.labels]) {
    for (let i = 0; i < bytes.length; i++) {
      a = Math.imul(a ^ bytes[i], 0x01000193);
      b = Math.imul((b << 5) ^ (b >>> 27) ^ bytes[i], 0x2c1b3c6d);
    }
  }
  const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");
  return `${count}x${height}x${width}x${channels}-${hex(a)}${hex(b)}`;
}
