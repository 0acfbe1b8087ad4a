/**
 * From a clip's bytes to what the model takes: centre crop, resize, flip, normalise, pad, in the authors' order, the same
 * for all frames of a clip (configs/_base_/datasets/gaze360.py and multiclue_gaze_r50_l2cs.py).
 *
 * Crop     the middle of the frame, of a share drawn from [0.68, 1] of its height and width. The authors draw when they
 *          test, too; here `testSteps` takes the middle of that range, so that a test can be repeated.
 * Flip     mirrors pictures, boxes and the gaze's x. The authors also draw anew for frames repeated at a video's end,
 *          where their flag is reset too early; here a clip is flipped whole or not at all.
 * Values   in [0, 1] until normalised with ImageNet's means and deviations. Resizing is bilinear without antialiasing, as
 *          OpenCV's, but for its rounding to bytes.
 * @module
 */
import { ShapeError } from "../../engine/errors.ts";
import { type FloatImage, makeImage } from "../float_image.ts";
import type { Rng } from "../random.ts";
import { resize } from "../resample.ts";
import { mirrorImage, normalise as normaliseImage, place } from "../transforms.ts";
import type { GazeClip } from "./clip.ts";
import { cutBoxes, mapBoxes } from "./clip_boxes.ts";

/** A clip on its way to the model: its frames are floats, the rest is as in `GazeClip`. */
export interface FloatClip extends Pick<GazeClip, "boxes" | "faceKnown" | "gaze"> {
  /** [3, H, W] each. */
  readonly frames: readonly FloatImage[];
}

/** A change to a clip. */
export type ClipTransform = (clip: FloatClip, rng: Rng) => FloatClip;

/** Settings of the authors' two data configurations. */
export interface ClipSteps {
  /** Share of the frame that a centre crop keeps, drawn from this range; undefined: no crop. */
  readonly crop?: readonly [least: number, most: number];
  /** The longer side in pixels after resizing; the ratio of the sides stays. */
  readonly size: number;
  /** Probability of a flip. */
  readonly flip: number;
}

/** The published configurations: Gaze360 at 224 with the crop, and L2CS at 448 without. */
export const TRAIN_STEPS = {
  gaze360: { crop: [0.68, 1], size: 224, flip: 0.5 },
  l2cs: { size: 448, flip: 0.5 },
} as const satisfies Record<string, ClipSteps>;

/** Height and width become multiples of this. */
const PAD_TO = 32;
/** ImageNet's, for values in [0, 1]: the authors' 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 over 255. */
export const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;

/** The same steps without chance: no flip, and a crop of the range's middle. */
export function testSteps({ crop, size }: ClipSteps): ClipSteps {
  const middle = crop && (crop[0] + crop[1]) / 2;
  return { ...(middle === undefined ? {} : { crop: [middle, middle] as const }), size, flip: 0 };
}

/**
 * The whole way: crop, resize, flip, normalise, pad.
 * @throws {ShapeError} a setting is out of range
 */
export function clipPipeline(steps: ClipSteps): ClipTransform {
  const { crop, size, flip } = steps;
  const all: ClipTransform[] = [
    ...(crop === undefined ? [] : [centreCrop(crop)]),
    resizeClip(size),
    flipClip(flip),
    normaliseClip(IMAGENET.mean, IMAGENET.std),
    padClip(PAD_TO),
  ];
  return (clip, rng) => all.reduce((current, apply) => apply(current, rng), clip);
}

/** A clip's bytes as values in [0, 1]. */
export function floatClip(clip: GazeClip): FloatClip {
  const { frames, length, height, width, boxes, faceKnown, gaze } = clip;
  const size = height * width;
  const images = Array.from({ length }, (_, t) => {
    const image = makeImage(3, height, width);
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < 3; c++) image.data[c * size + i] = frames[3 * (t * size + i) + c] / 255;
    }
    return image;
  });
  return { frames: images, boxes, faceKnown, gaze };
}

/**
 * Keeps the middle of all frames, of one share drawn for the clip. Boxes are cut to it. Where nothing is left of a face's
 * or eyes' box, the frame keeps the head's alone (the authors put the head's box in their place).
 * @throws {ShapeError} the range is not within (0, 1]; when applied, DataError where a head is cut off wholly
 */
export function centreCrop([least, most]: readonly [number, number]): ClipTransform {
  if (!(least > 0 && most >= least && most <= 1)) {
    throw new ShapeError(`centreCrop: want a range in (0, 1], got [${least}, ${most}]`);
  }
  return (clip, rng) => {
    const share = least + (most - least) * rng.uniform();
    const { height, width } = clip.frames[0];
    const [newHeight, newWidth] = [height, width].map((side) => Math.floor(side * share + 0.5));
    const top = Math.floor((height - newHeight) / 2 + 0.5);
    const left = Math.floor((width - newWidth) / 2 + 0.5);
    const frames = clip.frames.map((frame) => place(frame, newHeight, newWidth, -top, -left));
    const moved = mapBoxes(clip, ([x1, y1, x2, y2]) => [x1 - left, y1 - top, x2 - left, y2 - top]);
    return { ...cutBoxes({ ...clip, boxes: moved }, newHeight, newWidth), frames };
  };
}

/**
 * Resizes so that the longer side has `size` pixels.
 * @throws {ShapeError} size is no whole number >= 1
 */
export function resizeClip(size: number): ClipTransform {
  if (!Number.isInteger(size) || size < 1) {
    throw new ShapeError(`resizeClip: want a whole number of pixels >= 1, got ${size}`);
  }
  return (clip, rng) => {
    const { height, width } = clip.frames[0];
    const scale = size / Math.max(height, width);
    const [newHeight, newWidth] = [height, width].map((side) => Math.floor(side * scale + 0.5));
    const apply = resize(newHeight, newWidth);
    const sx = newWidth / width, sy = newHeight / height;
    return {
      ...clip,
      frames: clip.frames.map((frame) => apply(frame, rng)),
      boxes: mapBoxes(clip, ([x1, y1, x2, y2]) => [sx * x1, sy * y1, sx * x2, sy * y2]),
    };
  };
}

/**
 * Mirrors the whole clip with a probability: pictures, boxes, and x of the gaze.
 * @throws {ShapeError} the probability is not in [0, 1]
 */
export function flipClip(probability: number): ClipTransform {
  if (!(probability >= 0 && probability <= 1)) {
    throw new ShapeError(`flipClip: want a probability, got ${probability}`);
  }
  return (clip, rng) => rng.uniform() < probability ? mirrored(clip) : clip;
}

/** The mirror image of a clip. */
export function mirrored(clip: FloatClip): FloatClip {
  const { width } = clip.frames[0];
  return {
    ...clip,
    frames: clip.frames.map(mirrorImage),
    boxes: mapBoxes(clip, ([x1, y1, x2, y2]) => [width - x2, y1, width - x1, y2]),
    gaze: clip.gaze.map((value, i) => i % 3 === 0 ? -value : value),
  };
}

/**
 * Keeps `count` frames in a row, from a place that is drawn anew each time: a step on few frames of many clips sees more
 * people and lights than one on as many frames of few.
 * @throws {ShapeError} count is no whole number >= 1; when applied, a clip is shorter
 */
export function someFrames(count: number): ClipTransform {
  if (!Number.isInteger(count) || count < 1) {
    throw new ShapeError(`someFrames: want a whole number of frames >= 1, got ${count}`);
  }
  return ({ frames, boxes, faceKnown, gaze }, rng) => {
    if (count > frames.length) {
      throw new ShapeError(`someFrames: ${count} frames of a clip of ${frames.length}`);
    }
    const first = rng.integer(frames.length - count + 1), end = first + count;
    return {
      frames: frames.slice(first, end),
      boxes: boxes.slice(12 * first, 12 * end),
      faceKnown: faceKnown.slice(first, end),
      gaze: gaze.slice(3 * first, 3 * end),
    };
  };
}

/** (value - mean) / std by channel. @throws {ShapeError} a std is not above 0 */
export function normaliseClip(mean: readonly number[], std: readonly number[]): ClipTransform {
  const apply = normaliseImage(mean, std);
  return (clip, rng) => ({ ...clip, frames: clip.frames.map((frame) => apply(frame, rng)) });
}

/**
 * Adds zeros on the right and below until both sides are multiples of `multiple`; boxes stay.
 * @throws {ShapeError} multiple is no whole number >= 1
 */
export function padClip(multiple: number): ClipTransform {
  if (!Number.isInteger(multiple) || multiple < 1) {
    throw new ShapeError(`padClip: want a whole number of pixels >= 1, got ${multiple}`);
  }
  return (clip) => {
    const { height, width } = clip.frames[0];
    const newHeight = Math.ceil(height / multiple) * multiple;
    const newWidth = Math.ceil(width / multiple) * multiple;
    if (newHeight === height && newWidth === width) return clip;
    return { ...clip, frames: clip.frames.map((frame) => place(frame, newHeight, newWidth, 0, 0)) };
  };
}
