/**
 * The digits that the page learns from and is measured on: a balanced sample of MNIST, made when the site is built. Deno
 * only.
 * @module
 */
import { balancedSample, type ImageSet, Rng, subset } from "../../../data/mod.ts";
import { loadMnist } from "../../../data/datasets.ts";
import { DIGITS } from "./places.ts";

/** How many of each part. */
export const COUNTS = { train: 2000, heldOut: 500 } as const;

/** The IDX files by their place in the site. The held-out digits are none of those that any weights here have seen. */
export async function digitFiles(): Promise<ReadonlyMap<string, Uint8Array>> {
  const mnist = await loadMnist();
  const files = new Map<string, Uint8Array>();
  const add = async (part: keyof typeof DIGITS, from: ImageSet): Promise<void> => {
    const sample = balancedSample(from, COUNTS[part], new Rng(0, `page/${part}`));
    const { count, height, width, images, labels } = subset(from, sample);
    files.set(DIGITS[part].images, await packed(idx([count, height, width], images)));
    files.set(DIGITS[part].labels, await packed(idx([count], labels)));
  };
  await add("train", mnist.train);
  await add("heldOut", mnist.test);
  return files;
}

/** An IDX file of bytes. */
function idx(shape: readonly number[], data: Uint8Array): Uint8Array<ArrayBuffer> {
  const start = 4 + 4 * shape.length;
  const file = new Uint8Array(start + data.length);
  const view = new DataView(file.buffer);
  file.set([0, 0, 0x08, shape.length]);
  shape.forEach((size, i) => view.setUint32(4 + 4 * i, size));
  file.set(data, start);
  return file;
}

async function packed(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
