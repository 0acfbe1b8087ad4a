/**
 * What the data tests share: small image sets and gzip.
 * @module
 */
import { type ImageSet, makeImageSet } from "../../data/image_set.ts";

/** `count` images of height x width x channels whose pixels differ, with the classes 0, 1, 2, 0, 1, 2, ... */
export function numberedSet(count: number, height = 2, width = 3, channels = 1): ImageSet {
  const size = height * width * channels;
  const images = Uint8Array.from({ length: count * size }, (_, i) => (i * 37) & 255);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 3);
  return makeImageSet({ images, labels, height, width, channels, classes: 3 });
}

/** An IDX file of bytes. */
export function idxFile(shape: readonly number[], data: ArrayLike<number>, type = 8): Uint8Array {
  const file = new Uint8Array(4 + 4 * shape.length + data.length);
  file.set([0, 0, type, shape.length]);
  const view = new DataView(file.buffer);
  shape.forEach((size, i) => view.setUint32(4 + 4 * i, size));
  file.set(data, 4 + 4 * shape.length);
  return file;
}

/** Packs bytes with gzip. */
export async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}
