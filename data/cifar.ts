/**
 * CIFAR's binary files (Krizhevsky, 2009): records of labels and 32 x 32 pixels, the red plane before the green and the
 * blue one.
 *
 *     CIFAR-10    label, 3072 bytes                  data_batch_1.bin … data_batch_5.bin, test_batch.bin
 *     CIFAR-100   coarse label, fine label, 3072 bytes                 train.bin, test.bin
 * @module
 */
import { DataError } from "../engine/errors.ts";
import { type ImageSet, makeImageSet } from "./image_set.ts";

/** Which of the two. */
export type CifarClasses = 10 | 100;

const SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3;

/**
 * Reads one or more files as one set; of CIFAR-100 the fine labels.
 * @param names the classes' names, as many as there are classes
 * @param label names the data in errors
 * @throws {DataError} a file is no whole number of records, or a label is out of range
 */
export function readCifar(
  files: readonly Uint8Array[],
  classes: CifarClasses,
  names?: readonly string[],
  label = `CIFAR-${classes}`,
): ImageSet {
  const labelBytes = classes === 10 ? 1 : 2, record = labelBytes + CHANNELS * PLANE;
  const bad = files.findIndex(({ length }) => length === 0 || length % record !== 0);
  if (bad >= 0 || files.length === 0) {
    throw new DataError(
      `${label}: file ${bad + 1} has ${files[bad]?.length ?? 0} bytes, needs records of ${record}`,
    );
  }
  const count = files.reduce((sum, { length }) => sum + length / record, 0);
  const images = new Uint8Array(count * CHANNELS * PLANE), labels = new Uint8Array(count);
  let image = 0;
  for (const bytes of files) {
    for (let at = 0; at < bytes.length; at += record, image++) {
      labels[image] = bytes[at + labelBytes - 1];
      const planes = bytes.subarray(at + labelBytes, at + record);
      const to = image * CHANNELS * PLANE;
      for (let i = 0; i < PLANE; i++) {
        for (let c = 0; c < CHANNELS; c++) images[to + i * CHANNELS + c] = planes[c * PLANE + i];
      }
    }
  }
  return makeImageSet(
    { images, labels, height: SIDE, width: SIDE, channels: CHANNELS, classes, names },
    label,
  );
}
