import { assert, assertClose, assertEquals, assertThrows, test } from "../../harness.ts";
import {
  centreCrop,
  clipPipeline,
  flipClip,
  type FloatClip,
  floatClip,
  IMAGENET,
  mirrored,
  normaliseClip,
  padClip,
  resizeClip,
  someFrames,
  testSteps,
  TRAIN_STEPS,
} from "../../../data/gaze/clip_transforms.ts";
import { checkClip, type GazeClip } from "../../../data/gaze/clip.ts";
import { vectorsToAngles } from "../../../data/gaze/angles.ts";
import { Rng } from "../../../data/random.ts";
import { DataError, ShapeError } from "../../../engine/errors.ts";
import { BOXES, numberedClip } from "./support.ts";

const rng = (): Rng => new Rng(1, "test/transforms");

/** [red, green, blue] of a pixel as bytes. */
function pixel(clip: FloatClip, t: number, x: number, y: number): number[] {
  const { height, width, data } = clip.frames[t];
  return [0, 1, 2].map((c) => Math.round(255 * data[(c * height + y) * width + x]));
}

function boxesOf(clip: FloatClip, t: number): number[][] {
  return [0, 1, 2].map((i) => [...clip.boxes.subarray(12 * t + 4 * i, 12 * t + 4 * i + 4)]);
}

test("floatClip() lays pixels out channel by channel, divided by 255", () => {
  const clip = floatClip(numberedClip());
  assertEquals(clip.frames.map(({ channels, height, width }) => [channels, height, width]), [
    [3, 20, 20],
    [3, 20, 20],
    [3, 20, 20],
  ]);
  assertEquals(pixel(clip, 2, 13, 4), [13, 4, 2]);
  assertEquals(clip.frames[1].data[400 + 7 * 20 + 3], Math.fround(7 / 255));
});

test("centreCrop() keeps the middle of all frames and cuts the boxes to it", () => {
  const clip = centreCrop([0.68, 0.68])(floatClip(numberedClip(3, 20, 25)), rng());
  // 20 * 0.68 = 13.6 -> 14 rows from row 3; 25 * 0.68 = 17 columns from column 4.
  assertEquals([clip.frames[0].height, clip.frames[0].width], [14, 17]);
  assertEquals(pixel(clip, 1, 0, 0), [4, 3, 1]);
  assertEquals(pixel(clip, 2, 16, 13), [20, 16, 2]);
  assertEquals(boxesOf(clip, 0), [[2, 2, 10, 13], [4, 4, 9, 6], [0, 0, 12, 14]]);
  assertEquals(boxesOf(clip, 1), [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 12, 14]]);
  assertEquals([...clip.faceKnown], [1, 0, 1]);
});

test("centreCrop() draws one share a clip, from the whole range", () => {
  const crop = centreCrop([0.68, 1]), one = floatClip(numberedClip(3, 100, 100));
  const generator = rng();
  const sizes = Array.from({ length: 200 }, () => {
    const heights = crop(one, generator).frames.map(({ height }) => height);
    assertEquals(new Set(heights).size, 1);
    return heights[0];
  });
  assert(Math.min(...sizes) <= 69 && Math.min(...sizes) >= 68, `${Math.min(...sizes)}`);
  assert(Math.max(...sizes) >= 99 && Math.max(...sizes) <= 100, `${Math.max(...sizes)}`);
});

test("centreCrop() forgets face and eyes that it cuts off, and refuses a head that it cuts off", () => {
  const clip = numberedClip();
  clip.boxes.set([0, 0, 2, 2], 4); // eyes in the corner
  const cropped = centreCrop([0.5, 0.5])(floatClip(clip), rng());
  assertEquals([...cropped.faceKnown], [0, 0, 1]);
  assertEquals(boxesOf(cropped, 0).slice(0, 2), [[0, 0, 0, 0], [0, 0, 0, 0]]);
  clip.boxes.set([0, 0, 2, 2], 8);
  assertThrows(
    () => centreCrop([0.5, 0.5])(floatClip(clip), rng()),
    DataError,
    "frame 0: nothing of the head",
  );
  assertThrows(() => centreCrop([0, 1]), ShapeError, "(0, 1]");
});

test("resizeClip() fits the longer side and scales boxes with each side", () => {
  const clip = resizeClip(40)(floatClip(numberedClip(3, 20, 25)), rng());
  assertEquals([clip.frames[0].height, clip.frames[0].width], [32, 40]);
  assertClose(boxesOf(clip, 0)[0], [6 * 1.6, 5 * 1.6, 14 * 1.6, 16 * 1.6], { rtol: 1e-7 });
  assertClose([clip.frames[0].data[0], clip.frames[0].data[39]], [0, 24 / 255], { atol: 1e-7 });
  assertThrows(() => resizeClip(0), ShapeError, "whole number");
});

test("mirrored() is its own inverse: pictures, boxes and the gaze's x", () => {
  const clip = floatClip(numberedClip(3, 20, 25)), mirror = mirrored(clip), back = mirrored(mirror);
  assertEquals(pixel(mirror, 1, 3, 8), pixel(clip, 1, 21, 8));
  assertEquals(boxesOf(mirror, 0), BOXES.map(([x1, y1, x2, y2]) => [25 - x2, y1, 25 - x1, y2]));
  assertEquals(boxesOf(mirror, 1)[0], [0, 0, 0, 0]);
  const [yaw, pitch] = vectorsToAngles(clip.gaze),
    [mirrorYaw, mirrorPitch] = vectorsToAngles(mirror.gaze);
  assertClose([mirrorYaw, mirrorPitch], [-yaw, pitch], { atol: 1e-12 });
  assertEquals(back.boxes, clip.boxes);
  assertEquals(back.gaze, clip.gaze);
  assertEquals(back.frames.map(({ data }) => data), clip.frames.map(({ data }) => data));
});

test("flipClip() flips whole clips, as often as asked", () => {
  const clip = floatClip(numberedClip()), generator = rng();
  const flipped = (p: number): number =>
    Array.from({ length: 100 }, () => flipClip(p)(clip, generator)).filter((c) => c !== clip)
      .length;
  assertEquals([flipped(0), flipped(1)], [0, 100]);
  assert(Math.abs(flipped(0.5) - 50) < 20);
  assertThrows(() => flipClip(1.5), ShapeError, "probability");
});

test("normaliseClip() uses ImageNet's means in the authors' units, padClip() adds zeros right and below", () => {
  assertClose(IMAGENET.mean.map((v) => 255 * v), [123.675, 116.28, 103.53], { atol: 1e-9 });
  assertClose(IMAGENET.std.map((v) => 255 * v), [58.395, 57.12, 57.375], { atol: 1e-9 });
  const clip = floatClip(numberedClip(3, 20, 25));
  const normal = normaliseClip(IMAGENET.mean, IMAGENET.std)(clip, rng());
  assertClose([normal.frames[2].data[2 * 500]], [(2 - 103.53) / 57.375], { rtol: 1e-6 });
  const padded = padClip(32)(normal, rng());
  assertEquals([padded.frames[0].height, padded.frames[0].width], [32, 32]);
  assertEquals(padded.frames[0].data[32 * 19 + 24], normal.frames[0].data[25 * 19 + 24]);
  assertEquals([padded.frames[0].data[25], padded.frames[0].data[20 * 32]], [0, 0]);
  assertEquals(padded.boxes, clip.boxes);
});

test("clipPipeline() gives the published sizes, and testSteps() leaves nothing to chance", () => {
  const clip = floatClip(numberedClip(2, 100, 90));
  const train = clipPipeline(TRAIN_STEPS.gaze360)(clip, rng());
  assertEquals([train.frames[0].height, train.frames[0].width], [224, 224]);
  const steps = testSteps(TRAIN_STEPS.gaze360);
  assertEquals(steps, { crop: [(0.68 + 1) / 2, (0.68 + 1) / 2], size: 224, flip: 0 });
  assertEquals(testSteps(TRAIN_STEPS.l2cs), { size: 448, flip: 0 });
  const generator = rng(), small = clipPipeline({ ...steps, size: 64 });
  const [a, b] = [small(clip, generator), small(clip, generator)];
  assertEquals(a.frames.map(({ data }) => data), b.frames.map(({ data }) => data));
  assertEquals(a.gaze, clip.gaze);
});

test("checkClip() accepts a good clip and names what is wrong with another", () => {
  const good = numberedClip();
  checkClip(good, "clip 5");
  const refused = (change: Partial<GazeClip>, part: string): void => {
    assertThrows(() => checkClip({ ...good, ...change }, "clip 5"), DataError, `clip 5${part}`);
  };
  refused({ width: 21 }, ": frames has 3600");
  refused({ hidden: new Uint8Array(2) }, ": hidden has 2 values");
  const gaze = good.gaze.slice();
  gaze[4] = NaN;
  refused({ gaze }, ", frame 1: the gaze must be a unit vector, got [");
  gaze.set([0, 0, -1.1], 3);
  refused({ gaze }, ", frame 1: the gaze must be a unit vector");
  const boxes = good.boxes.slice();
  boxes[24 + 2] = 21;
  refused({ boxes }, ", frame 2: the box of the face reaches outside the frame of 20 x 20");
  boxes[24 + 2] = 6;
  refused({ boxes }, ", frame 2: the box of the face is empty or not a number");
  boxes[24 + 2] = NaN;
  refused({ boxes }, ", frame 2: the box of the face is empty or not a number");
});

test("someFrames() keeps frames in a row with all that is known of them", () => {
  const clip = floatClip(numberedClip(5));
  const seen = new Set<number>();
  for (let seed = 0; seed < 40; seed++) {
    const part = someFrames(3)(clip, new Rng(seed, "test/frames"));
    const first = clip.frames.indexOf(part.frames[0]);
    seen.add(first);
    assertEquals(part.frames, clip.frames.slice(first, first + 3));
    assertEquals(part.boxes, clip.boxes.slice(12 * first, 12 * first + 36));
    assertEquals(part.faceKnown, clip.faceKnown.slice(first, first + 3));
    assertEquals(part.gaze, clip.gaze.slice(3 * first, 3 * first + 9));
  }
  assertEquals([...seen].sort(), [0, 1, 2]);
  assertThrows(() => someFrames(0), ShapeError, "someFrames: want a whole number");
  assertThrows(() => someFrames(6)(clip, rng()), ShapeError, "6 frames of a clip of 5");
});
