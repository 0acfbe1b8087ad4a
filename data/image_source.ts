/**
 * Where a loader's images come from: an image set in memory, or files that are read one by one.
 * @module
 */
import { type FloatImage, imageAt } from "./float_image.ts";
import { fingerprint, type ImageSet } from "./image_set.ts";

/** Labelled images that are asked for one at a time; their sizes may differ. */
export interface ImageSource {
  /** How many images. */
  readonly count: number;
  /** Values a pixel: 1 for grey, 3 for red, green, blue. */
  readonly channels: number;
  /** How many classes there are. */
  readonly classes: number;
  /** The class of each image, in [0, classes). */
  readonly labels: ArrayLike<number>;
  /** The classes' names, where they are known. */
  readonly names?: readonly string[];
  /** Height and width where all images share them; null where they differ. */
  readonly size: readonly [height: number, width: number] | null;
  /** Changes when the images do: kept in a checkpoint, so that a run is not resumed on other data. */
  readonly fingerprint: string;
  /**
   * Image `index`, values in [0, 1].
   * @throws {DataError} it cannot be read, or there is no such image
   */
  image(index: number): FloatImage | Promise<FloatImage>;
}

/** An image set as a source. */
export function sourceOf(set: ImageSet): ImageSource {
  const { count, channels, classes, labels, names, height, width } = set;
  let print: string | undefined;
  return {
    count,
    channels,
    classes,
    labels,
    ...(names && { names }),
    size: [height, width],
    get fingerprint() {
      return print ??= fingerprint(set);
    },
    image: (index) => imageAt(set, index),
  };
}
