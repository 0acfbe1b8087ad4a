/**
 * A picture that somebody chose, as floats.
 * @module
 */
import { centerResizedCrop, type FloatImage, makeImage, Rng } from "../../../data/mod.ts";
import { imageWithChannels } from "../../../cli/training/channels.ts";

/** Pixels of the longer side at most: more is made smaller by the browser first. */
const LARGEST = 1024;

/**
 * Reads a picture: red, green, blue in [0, 1]; what is transparent becomes white.
 * @throws {Error} the browser cannot read it
 */
export async function readPicture(file: Blob): Promise<FloatImage> {
  const name = file instanceof File ? file.name : "picture";
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch (cause) {
    throw new Error(`${name}: the browser cannot read it as a picture`, { cause });
  }
  const scale = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(scale * bitmap.width));
  const height = Math.max(1, Math.round(scale * bitmap.height));
  const canvas = new OffscreenCanvas(width, height);
  const to = canvas.getContext("2d")!;
  to.fillStyle = "#fff";
  to.fillRect(0, 0, width, height);
  to.imageSmoothingQuality = "high";
  to.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const { data } = to.getImageData(0, 0, width, height);
  const image = makeImage(3, height, width), size = width * height;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) image.data[c * size + i] = data[4 * i + c] / 255;
  }
  return image;
}

/**
 * The middle of a picture as a model of digits takes it: grey, and light on dark. A picture with a light edge is taken for
 * ink on paper and inverted.
 * @returns whether it was inverted
 */
export function asDigit(
  picture: FloatImage,
  side: number,
): { image: FloatImage; inverted: boolean } {
  const small = centerResizedCrop(side, side)(picture, new Rng(0, "picture"));
  const image = imageWithChannels(small, 1), { data } = image;
  let edge = 0;
  for (let i = 0; i < side; i++) {
    edge += data[i] + data[(side - 1) * side + i] + data[i * side] + data[i * side + side - 1];
  }
  const inverted = edge > 2 * side;
  if (inverted) { for (let i = 0; i < data.length; i++) data[i] = 1 - data[i]; }
  return { image, inverted };
}
