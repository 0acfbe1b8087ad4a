/**
 * Decoding and encoding pictures for gaze, by sharp.
 * @module
 */
import { Buffer } from "node:buffer";
import sharp from "sharp";
import type { Picture } from "../../data/gaze/mod.ts";
import { DataError } from "../../engine/errors.ts";

/** Smallest number of pixels of a side that anything can be seen in. */
const LEAST_SIDE = 8;

/**
 * Decodes a picture as people see it: turned as its EXIF says, grey repeated, transparency dropped.
 * @param page of an animation, from 0
 * @throws {DataError} it is damaged, no picture, or less than 8 pixels high or wide
 */
export async function decodePicture(bytes: Uint8Array, label: string, page = 0): Promise<Picture> {
  let picture: Picture;
  try {
    const { data, info } = await sharp(bytes, { page }).autoOrient().toColourspace("srgb")
      .removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const { height, width, channels } = info;
    const rgb = channels === 3 ? new Uint8Array(data) : new Uint8Array(3 * height * width)
      .map((_, i) => data[channels * Math.trunc(i / 3)]);
    picture = { height, width, data: rgb };
  } catch (cause) {
    throw new DataError(`cannot read ${label}: it is damaged or no picture (${reason(cause)})`, {
      cause,
    });
  }
  if (Math.min(picture.height, picture.width) < LEAST_SIDE) {
    throw new DataError(
      `${label} has ${picture.width} x ${picture.height} pixels; nothing can be seen in less than ${LEAST_SIDE}`,
    );
  }
  return picture;
}

/** Milliseconds that each page of an animation is shown; null: it is no picture that sharp knows. */
export async function pagesOf(bytes: Uint8Array): Promise<readonly number[] | null> {
  try {
    const { pages = 1, delay = [] } = await sharp(bytes, { pages: -1 }).metadata();
    return Array.from({ length: pages }, (_, i) => delay[i] || delay[0] || 100);
  } catch {
    return null;
  }
}

/** The first line of what went wrong. */
export function reason(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).split("\n")[0];
}

/** A picture made smaller so that neither side has more than `most` pixels; and by how much, 0 to 1. */
export async function shrink(
  picture: Picture,
  most: number,
): Promise<{ picture: Picture; scale: number }> {
  const { height, width, data } = picture;
  const scale = Math.min(1, most / Math.max(height, width));
  if (scale === 1) return { picture, scale };
  const small = await sharp(data, { raw: { height, width, channels: 3 } })
    .resize(Math.round(scale * width), Math.round(scale * height), { fit: "fill" })
    .raw().toBuffer({ resolveWithObject: true });
  const { info } = small;
  return { picture: { height: info.height, width: info.width, data: small.data }, scale };
}

/** A picture, each pixel `zoom` x `zoom` times, with an SVG of that size drawn over it, as a PNG file. */
export async function drawOver(
  { height, width, data }: Picture,
  svg: string,
  zoom: number,
): Promise<Uint8Array> {
  return await sharp(data, { raw: { height, width, channels: 3 } })
    .resize(zoom * width, zoom * height, { kernel: "nearest" })
    .composite([{ input: Buffer.from(svg) }])
    .png().toBuffer();
}

/**
 * PNG files as one animated WebP file; frames of another size than the first are fitted into it.
 * @param delays milliseconds of each
 */
export async function animate(
  files: readonly Uint8Array[],
  delays: readonly number[],
  most: number,
): Promise<Uint8Array> {
  const { width: w = 1, height: h = 1 } = await sharp(files[0]).metadata();
  const scale = Math.min(1, most / Math.max(w, h));
  const width = Math.max(1, Math.round(scale * w)), height = Math.max(1, Math.round(scale * h));
  const small: Uint8Array[] = [];
  for (const file of files) {
    small.push(
      await sharp(file).resize(width, height, { fit: "contain", background: "#000" }).png()
        .toBuffer(),
    );
  }
  return await sharp(small, { join: { animated: true } })
    .webp({ delay: delays.map(Math.round), loop: 0, quality: 80 }).toBuffer();
}
