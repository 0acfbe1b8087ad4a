/**
 * Pixels as a PNG file, by the runtime's own encoder.
 * @module
 */
import type { Picture } from "../data/mod.ts";

/** The bytes of a PNG file. */
export async function encodePng({ height, width, data }: Picture): Promise<Uint8Array> {
  const rgba = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    rgba.data.set([data[3 * i], data[3 * i + 1], data[3 * i + 2], 255], 4 * i);
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("bitmaprenderer")?.transferFromImageBitmap(await createImageBitmap(rgba));
  const file = await canvas.convertToBlob({ type: "image/png" });
  return new Uint8Array(await file.arrayBuffer());
}
