/**
 * `deno run -A cli/gaze/sheet.ts [--out FILE] [--view NAME] [--split NAME] [--first N] [--clips N] [--size N] [--zoom N]
 * [--seed N] [--plain]`
 *
 * A contact sheet of synthetic clips as a PNG: a row a clip, a column a frame. The head's box is yellow, the face's
 * green, the eyes' blue; the red arrow is the gaze, the purple one where the head points. `--plain` leaves them out.
 * @module
 */
import { writeFileAtomic } from "../../io/files.ts";
import {
  type GazeClip,
  type Picture,
  type SplitName,
  SPLITS,
  SyntheticClips,
} from "../../data/mod.ts";
import { readArguments, runMain, UsageError, wholeNumber } from "../main.ts";
import { encodePng } from "../png.ts";
import { blankPicture, box, gazeArrow, paste, type Rgb } from "./drawing.ts";

const YELLOW: Rgb = [255, 230, 0], GREEN: Rgb = [0, 220, 60], BLUE: Rgb = [0, 190, 255];
const RED: Rgb = [255, 30, 30], PURPLE: Rgb = [200, 60, 255];
/** The colours of the boxes of face, eyes and head. */
const BOX_COLOURS = [GREEN, BLUE, YELLOW];

const USAGE = `Usage: deno run -A cli/gaze/sheet.ts [OPTIONS]

  --out FILE      the PNG file; default out/gaze_sheet.png
  --view NAME     head: the squares that models are shown; frame: the renderer's whole frames; default head
  --split NAME    train, validation or test; default train
  --first N       number of the first clip; default 0
  --clips N       how many; default 8
  --size N        side of a frame in pixels; default 96
  --zoom N        how often each pixel is repeated; default 2
  --seed N        default 0
  --plain         pictures alone, without boxes and arrows`;

await runMain("gaze/sheet", async () => {
  const options = readArguments(USAGE, Deno.args, {
    options: {
      out: { type: "string", default: "out/gaze_sheet.png" },
      view: { type: "string", default: "head" },
      split: { type: "string", default: "train" },
      first: { type: "string", default: "0" },
      clips: { type: "string", default: "8" },
      size: { type: "string", default: "96" },
      zoom: { type: "string", default: "2" },
      seed: { type: "string", default: "0" },
      plain: { type: "boolean", default: false },
    },
  }).values;
  if (!Object.hasOwn(SPLITS, options.split)) {
    throw new UsageError(
      `--split is one of ${Object.keys(SPLITS).join(", ")}, not ${options.split}`,
    );
  }
  const { view } = options;
  if (view !== "head" && view !== "frame") {
    throw new UsageError(`--view is head or frame, not ${view}`);
  }
  const number = (name: "first" | "clips" | "size" | "zoom" | "seed", least: number): number =>
    wholeNumber(name, options[name], least, 10_000);
  const first = number("first", 0), rows = number("clips", 1);
  const size = number("size", 8), zoom = number("zoom", 1);
  const clips = new SyntheticClips({
    split: options.split as SplitName,
    count: first + rows,
    size,
    view,
    seed: number("seed", 0),
  });
  const sheet = blankPicture(rows * size * zoom, clips.clip(first).length * size * zoom);
  for (let row = 0; row < rows; row++) {
    drawClip(sheet, clips.clip(first + row), row * size * zoom, zoom, !options.plain);
  }
  await writeFileAtomic(options.out, await encodePng(sheet));
  console.log(options.out);
});

/** Draws a clip's frames side by side. */
function drawClip(
  sheet: Picture,
  clip: GazeClip,
  top: number,
  zoom: number,
  marked: boolean,
): void {
  const { length, height, width, frames, boxes, gaze, headPose, faceKnown } = clip;
  for (let t = 0; t < length; t++) {
    const left = t * width * zoom;
    const data = frames.subarray(3 * t * height * width, 3 * (t + 1) * height * width);
    paste(sheet, { height, width, data }, left, top, zoom);
    if (!marked) continue;
    for (let clue = faceKnown[t] === 1 ? 0 : 2; clue < 3; clue++) {
      box(sheet, placed(boxes, 12 * t + 4 * clue, left, top, zoom), BOX_COLOURS[clue]);
    }
    const from = placed(boxes, 12 * t + (faceKnown[t] === 1 ? 4 : 8), left, top, zoom);
    const middle = [(from[0] + from[2]) / 2, (from[1] + from[3]) / 2] as const;
    const reach = 0.4 * width * zoom;
    if (headPose) gazeArrow(sheet, middle, headPose.subarray(3 * t, 3 * t + 3), reach, PURPLE);
    gazeArrow(sheet, middle, gaze.subarray(3 * t, 3 * t + 3), reach, RED);
  }
}

/** A box on the sheet. */
function placed(
  boxes: Float32Array,
  at: number,
  left: number,
  top: number,
  zoom: number,
): Float32Array {
  return boxes.slice(at, at + 4).map((value, i) => zoom * value + (i % 2 === 0 ? left : top));
}
