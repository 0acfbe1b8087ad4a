/**
 * Grey images for models that see colours, and colours for those that see grey. It knows no file system, so pages use it too.
 * @module
 */
import { type FloatImage, type ImageSource, makeImage } from "../../data/mod.ts";
import { DataError } from "../../engine/mod.ts";

/**
 * The same images with as many channels as a model takes.
 * @throws {DataError} neither has 1 channel
 */
export function withChannels(source: ImageSource, channels: number): ImageSource {
  if (source.channels === channels) return source;
  const convert = conversion(source.channels, channels);
  return {
    ...source,
    channels,
    image: async (index) => convert(await source.image(index), channels),
  };
}

/**
 * The same image with as many channels as a model takes: grey is repeated, colours become their brightness.
 * @throws {DataError} neither has 1 channel
 */
export function imageWithChannels(image: FloatImage, channels: number): FloatImage {
  return image.channels === channels
    ? image
    : conversion(image.channels, channels)(image, channels);
}

function conversion(from: number, to: number): (image: FloatImage, channels: number) => FloatImage {
  if (from === 1) return repeated;
  if (to === 1) return brightness;
  throw new DataError(`images have ${from} channels, the model takes ${to}`);
}

function repeated({ height, width, data }: FloatImage, channels: number): FloatImage {
  const image = makeImage(channels, height, width);
  for (let c = 0; c < channels; c++) image.data.set(data, c * height * width);
  return image;
}

/** With the weights of ITU-R 601, as PIL's `convert("L")`. */
function brightness({ height, width, data }: FloatImage): FloatImage {
  const image = makeImage(1, height, width);
  const size = height * width;
  for (let i = 0; i < size; i++) {
    image.data[i] = 0.299 * data[i] + 0.587 * data[size + i] + 0.114 * data[2 * size + i];
  }
  return image;
}
