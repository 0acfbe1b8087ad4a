/**
 * Example frames of the report: the first test clips, each a row, with the true gaze and the model's.
 * @module
 */
import {
  clipPipeline,
  type ClipSource,
  floatClip,
  type GazeClip,
  type Picture,
  testSteps,
} from "../../data/gaze/mod.ts";
import { type Device, noGrad } from "../../engine/mod.ts";
import type { McGaze } from "../../models/mod.ts";
import { Rng } from "../../nn/mod.ts";
import { blankPicture, gazeArrow, paste, type Rgb } from "../gaze/drawing.ts";

/** Clips that are shown. */
const ROWS = 4;
/** Pixels of a frame's side on the sheet, about. */
const SIDE = 192;
const TRUTH: Rgb = [255, 255, 255], SAID: Rgb = [255, 190, 0];

/** What the picture shows. */
export const FRAMES_TEXT =
  `The first ${ROWS} clips of the test split, not chosen, by the full model that is best on validation clips: white the ` +
  "true gaze, yellow the model's. An arrow points to where the gaze goes in the picture; the shorter it is, the more it " +
  "goes towards the camera or away from it.";

/** Draws the sheet; the model is on the device. */
export async function frameSheet(
  device: Device,
  model: McGaze,
  source: ClipSource,
): Promise<Picture> {
  const rows = Math.min(ROWS, source.count);
  let sheet: Picture | undefined;
  for (let row = 0; row < rows; row++) {
    const clip = await source.clip(row);
    const zoom = Math.max(1, Math.round(SIDE / clip.width));
    const width = clip.width * zoom, height = clip.height * zoom;
    sheet ??= blankPicture(rows * height, clip.length * width);
    const said = await gazeOf(device, model, clip);
    for (let t = 0; t < clip.length; t++) drawFrame(sheet, clip, t, said, row * height, zoom);
  }
  return sheet!;
}

/** The fused gaze of a clip, [T, 3]. */
async function gazeOf(device: Device, model: McGaze, clip: GazeClip): Promise<ArrayLike<number>> {
  const ready = clipPipeline(testSteps({ size: clip.width, flip: 0 }))(
    floatClip(clip),
    new Rng(0, "gaze/frames"),
  );
  const { height, width } = ready.frames[0], size = 3 * height * width;
  const images = new Float32Array(clip.length * size);
  ready.frames.forEach(({ data }, t) => images.set(data, t * size));
  const read = await device.step(() =>
    noGrad(() => {
      const stages = model.forward(
        device.tensor(images, [clip.length, 3, height, width]),
        clip.length,
      );
      return [stages[stages.length - 1].gazes.final.data()]; // an array: a step waits for a promise
    })
  );
  return await read[0];
}

function drawFrame(
  sheet: Picture,
  clip: GazeClip,
  t: number,
  said: ArrayLike<number>,
  top: number,
  zoom: number,
): void {
  const { height, width, frames, boxes, faceKnown, gaze } = clip;
  const left = t * width * zoom, size = 3 * height * width;
  paste(sheet, { height, width, data: frames.subarray(t * size, (t + 1) * size) }, left, top, zoom);
  const at = 12 * t + (faceKnown[t] === 1 ? 4 : 8); // the eyes' box, else the head's
  const x = left + zoom * (boxes[at] + boxes[at + 2]) / 2;
  const y = top + zoom * (boxes[at + 1] + boxes[at + 3]) / 2;
  const arrow = (vectors: ArrayLike<number>, colour: Rgb): void => {
    const vector = [0, 1, 2].map((c) => vectors[3 * t + c]);
    for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [1, 1]]) { // two pixels thick
      gazeArrow(sheet, [x + dx, y + dy], vector, 0.4 * width * zoom, colour);
    }
  };
  arrow(gaze, TRUTH);
  arrow(said, SAID);
}
