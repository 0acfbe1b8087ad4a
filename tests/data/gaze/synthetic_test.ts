import { assert, assertClose, assertEquals, assertThrows, test } from "../../harness.ts";
import { headPoseErrors } from "../../../data/gaze/baselines.ts";
import { checkClip } from "../../../data/gaze/clip.ts";
import { blur } from "../../../data/gaze/synthetic/blur.ts";
import { drawHiding } from "../../../data/gaze/synthetic/hiding.ts";
import { drawEyeMotion, drawHeadMotion } from "../../../data/gaze/synthetic/motion.ts";
import { RANGES, type Ranges, SPLITS } from "../../../data/gaze/synthetic/ranges.ts";
import { renderScene } from "../../../data/gaze/synthetic/render.ts";
import { drawScenes, type Scene } from "../../../data/gaze/synthetic/scene.ts";
import { drawSubject } from "../../../data/gaze/synthetic/subject.ts";
import { drawSurroundings } from "../../../data/gaze/synthetic/surroundings.ts";
import {
  type SyntheticClip,
  SyntheticClips,
} from "../../../data/gaze/synthetic/synthetic_clips.ts";
import { truthOf } from "../../../data/gaze/synthetic/truth.ts";
import { headSquares } from "../../../data/gaze/synthetic/view.ts";
import { addScaled, lookAlong, rotate } from "../../../data/gaze/vectors.ts";
import { Rng } from "../../../data/random.ts";
import { DataError, ShapeError } from "../../../engine/errors.ts";
import { PLAIN, sceneOf } from "./scenes.ts";

const rngOf = (i: number): Rng => new Rng(2, "test/synthetic").cell(i);

/** How far the middle of an iris moves in the picture, in frames, when the eyes turn from straight on by `yaw` degrees. */
function irisWay({ head, headAt, eyes, camera: { f } }: Scene, yaw: number): number {
  return Math.max(...[1, -1].map((side) => {
    const [from, to] = [0, yaw].map((angle) => {
      const iris = addScaled(eyes.centreOn(side), lookAlong(angle, 0), eyes.radius);
      const [x, y, z] = addScaled(rotate(head, iris), headAt, 1);
      return [f * x / z, f * y / z];
    });
    return Math.hypot(from[0] - to[0], from[1] - to[1]);
  }));
}

/** A hash of everything in a clip. */
function digest(clip: SyntheticClip): string {
  let hash = 0x811c9dc5;
  const { frames, boxes, faceKnown, gaze, headPose, hidden } = clip;
  for (const array of [frames, boxes, faceKnown, gaze, headPose, hidden]) {
    for (const byte of new Uint8Array(array.buffer)) hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return (hash >>> 0).toString(16);
}

test("SyntheticClips renders the pinned bits in every engine, in any order", () => {
  const clips = new SyntheticClips({ split: "train", count: 100, size: 24, seed: 6 });
  const frames = new SyntheticClips({
    split: "train",
    count: 100,
    size: 24,
    view: "frame",
    seed: 6,
  });
  const pinned = ["1d957333", "65cdd623", "5bfb3bad"];
  assertEquals([2, 0, 1].map((i) => digest(frames.clip(i))).join(), pinned.join());
  const heads = ["cc53f843", "d3df365b", "2c64ada"];
  assertEquals([2, 0, 1].map((i) => digest(clips.clip(i))).join(), heads.join());
  const again = new SyntheticClips({ split: "train", count: 3, size: 24, seed: 6 });
  assertEquals(digest(again.clip(0)), digest(clips.clip(0)));
  const other = new SyntheticClips({ split: "train", count: 3, size: 24, seed: 7 });
  assert(digest(other.clip(0)) !== digest(clips.clip(0)));
});

test("SyntheticClips gives whole clips at any size, whose truth does not depend on it", () => {
  const clipAt = (size: number): SyntheticClip =>
    new SyntheticClips({ split: "test", count: 9, size }).clip(3);
  const small = clipAt(40), large = clipAt(53);
  for (const [clip, size] of [[small, 40], [large, 53]] as const) {
    checkClip(clip, "clip 3");
    assertEquals([clip.length, clip.height, clip.width], [7, size, size]);
  }
  assertEquals(small.gaze, large.gaze);
  assertEquals(small.hidden, large.hidden);
  assertClose(small.boxes.map((v) => v / 40), large.boxes.map((v) => v / 53), { atol: 1e-6 });
});

test("the view of heads is a part of the frame: eyes stand in it larger and whole, and nothing else is true of it", () => {
  const options = { split: "train", count: 40, size: 64 } as const;
  const rng = new Rng(0, "gaze/train"),
    scenesOf = (i: number) => drawScenes(rng, i, SPLITS.train, RANGES);
  let frames = 0, whole = 0, inFrame = 0, inView = 0;
  for (let i = 0; i < options.count; i++) {
    const scenes = scenesOf(i), truths = scenes.map(truthOf);
    const squares = headSquares(rng.fork("view").cell(i), truths.map(({ head }) => head));
    truths.forEach(({ eyes }, t) => {
      if (eyes === undefined) return;
      const { left, top, side } = squares[t];
      const [x1, y1, x2, y2] = eyes;
      const width = Math.min(x2, left + side) - Math.max(x1, left);
      const height = Math.min(y2, top + side) - Math.max(y1, top);
      const moved = 64 * irisWay(scenes[t], 25);
      frames++;
      if (width * height > 0.95 * (x2 - x1) * (y2 - y1)) whole++;
      inFrame += moved;
      inView += moved / side;
    });
  }
  assert(whole / frames > 0.98, `${whole} of ${frames}`);
  // 1.29 pixels of 64 for 25 degrees, all heads together, become 1.74.
  assert(inFrame / frames > 1.2 && inFrame / frames < 1.4, `${inFrame / frames}`);
  assert(inView / frames > 1.6 && inView / frames < 1.85, `${inView / frames}`);

  const clip = new SyntheticClips(options).clip(2),
    frame = new SyntheticClips({
      ...options,
      view: "frame",
    }).clip(2);
  checkClip(clip, "clip 2");
  for (const name of ["gaze", "headPose", "hidden", "faceKnown"] as const) {
    assertEquals(clip[name], frame[name]);
  }
  const { side } =
    headSquares(rng.fork("view").cell(2), scenesOf(2).map((s) => truthOf(s).head))[3];
  const sizeOf = ({ boxes }: SyntheticClip) =>
    [2, 3].map((k) => boxes[12 * 3 + 4 + k] - boxes[12 * 3 + 2 + k]);
  assertClose(sizeOf(clip).map((v) => v * side), sizeOf(frame), { atol: 1e-4 });
});

test("renderScene() of a square draws what a whole frame of smaller pixels shows there", () => {
  const scene = sceneOf(drawSubject(2), { headAngles: [20, 0, 0] });
  const all = renderScene(scene, 48, rngOf(1));
  const part = renderScene(scene, 24, rngOf(1), { left: 0.25, top: 0.125, side: 0.5 });
  for (let y = 1; y < 23; y++) { // its outermost pixels do not see where things end outside
    const from = 3 * ((y + 6) * 48 + 12 + 1), row = 3 * (y * 24 + 1);
    assertEquals(part.slice(row, row + 3 * 22), all.slice(from, from + 3 * 22));
  }
});

test("the splits share neither subjects nor lights", () => {
  const ranges = Object.values(SPLITS);
  for (const name of ["subjects", "lights"] as const) {
    const sorted = ranges.map((split) => split[name]).sort((a, b) => a[0] - b[0]);
    for (let i = 1; i < sorted.length; i++) assert(sorted[i][0] >= sorted[i - 1][1]);
  }
  assertEquals(drawSubject(17), drawSubject(17));
  const numbers = ranges.flatMap(({ subjects: [first] }) => [first, first + 1]);
  const texts = numbers.map((number) =>
    JSON.stringify([drawSubject(number), drawSurroundings(number)])
  );
  assertEquals(new Set(texts).size, numbers.length);
});

test("eyes move within their ranges, evenly at the start, and without regard to the head", () => {
  const clips = 600;
  const yaws: number[] = [], pitches: number[] = [], heads: number[] = [];
  for (let i = 0; i < clips; i++) {
    const eyes = drawEyeMotion(rngOf(i).fork("eyes").cell(i), RANGES);
    const head = drawHeadMotion(rngOf(i).fork("head").cell(i), { ...RANGES, turnedAway: 0 });
    for (const [yaw, pitch] of eyes) assert(Math.abs(yaw) <= 25 && Math.abs(pitch) <= 15);
    for (const [yaw] of head) assert(Math.abs(yaw) <= 75);
    yaws.push(eyes[3][0]);
    pitches.push(eyes[3][1]);
    heads.push(head[3][0]);
  }
  const deviation = (values: number[]): number =>
    Math.sqrt(values.reduce((s, v) => s + v * v, 0) / clips);
  // Uniform over the whole range: 25 / sqrt(3) = 14.4, 8.7, 43.3; mixtures of two ends are a little narrower.
  assert(deviation(yaws) > 11 && deviation(pitches) > 6.5 && deviation(heads) > 38);
  const product = yaws.reduce((s, yaw, i) => s + yaw * heads[i], 0) / clips;
  const correlation = product / (deviation(yaws) * deviation(heads));
  assert(Math.abs(correlation) < 4 / Math.sqrt(clips), `correlation ${correlation}`);
});

test("head and eyes move smoothly: no step or change of step is large", () => {
  for (let i = 0; i < 200; i++) {
    const eyes = drawEyeMotion(rngOf(i), RANGES), head = drawHeadMotion(rngOf(i), RANGES);
    for (const [path, range] of [[eyes, 50], [head, 24]] as const) {
      for (let t = 1; t < 7; t++) {
        const step = path[t][0] - path[t - 1][0];
        // A smooth step over at least 6 frames is nowhere steeper than 1.5 / 6, and bends by at most 6 / 36 a frame.
        assert(Math.abs(step) <= range * 1.5 / 6);
        if (t > 1) assert(Math.abs(step - path[t - 1][0] + path[t - 2][0]) <= range * 6 / 36);
      }
    }
  }
});

test("drawHiding() hides the eyes as often as the ranges say, and leaves two frames in which they are seen", () => {
  const seen = (ranges: Ranges, i: number): number =>
    drawHiding(rngOf(i), ranges).filter(({ open, coverAway, blur }) => (
      open > 0 && coverAway !== 0 && blur === 0
    )).length;
  const always = {
    ...RANGES,
    blink: 1,
    cover: 1,
    blur: 1,
    coverFrames: [4, 7],
    blurFrames: [4, 7],
  } as const;
  const never = { ...RANGES, blink: 0, cover: 0, blur: 0 };
  let hidden = 0;
  for (let i = 0; i < 400; i++) {
    assert(seen(always, i) >= 2);
    assertEquals(seen(never, i), 7);
    if (seen(RANGES, i) < 7) hidden++;
  }
  assert(Math.abs(hidden / 400 - (1 - 0.7 * 0.65 * 0.7)) < 0.1, `${hidden} of 400 clips`);
});

test("taking the head pose for the gaze is off by the eyes' angle, 8 to 16 degrees on average", () => {
  const clips = new SyntheticClips({ split: "validation", count: 20, size: 8 });
  const { degrees, frames } =
    headPoseErrors(Array.from({ length: 20 }, (_, i) => clips.clip(i))).all360;
  assertEquals(frames, 140);
  assert(degrees! > 8 && degrees! < 16, `${degrees}`);
});

test("renderScene(): blur keeps the mean, noise has the deviation it is given", () => {
  const picture = new Float64Array(20 * 20 * 3);
  picture[3 * (10 * 20 + 9)] = 1;
  blur(picture, 20, 1.5);
  assertClose([picture.reduce((a, b) => a + b)], [1], { atol: 1e-9 });
  const at = (x: number, y: number): number => picture[3 * (y * 20 + x)];
  assertClose([at(9 + 3, 10) / at(9, 10)], [Math.exp(-2)], { rtol: 1e-4 });
  assertClose([at(9, 10 + 2)], [at(9 - 2, 10)], { rtol: 1e-12 });
  // Grey stays grey: gamma 2 of 0.25 is 0.5.
  const empty = sceneOf(drawSubject(1), {
    headAt: [500, 0, 60],
    around: { ...PLAIN, above: [0.25, 0.25, 0.25], below: [0.25, 0.25, 0.25] },
  });
  const plain = renderScene(empty, 32, rngOf(1));
  assert(plain.every((byte) => byte === 128));
  const noisy = renderScene({ ...empty, noise: 0.03 }, 32, rngOf(1));
  const variance = noisy.reduce((s, byte) => s + (byte - 127.5) ** 2, 0) / noisy.length;
  assertClose([Math.sqrt(variance) / 255], [0.03], { rtol: 0.1 });
  assertThrows(
    () => renderScene(empty, 4, rngOf(1)),
    ShapeError,
    "size must be a whole number >= 8",
  );
});

test("SyntheticClips refuses what it cannot draw, by name", () => {
  const refused = (ranges: Partial<Ranges>, part: string): void => {
    const options = {
      split: "train",
      count: 1,
      size: 16,
      ranges: { ...RANGES, ...ranges },
    } as const;
    assertThrows(() => new SyntheticClips(options), ShapeError, `gaze ranges: ${part}`);
  };
  refused({ eyeYaw: [5, -5] }, "eyeYaw must be two finite numbers that rise, got [5,-5]");
  refused({ headTurn: [[0, 1], [0, NaN], [0, 0]] }, "headTurn");
  refused({ blink: 1.5 }, "blink must be a share in [0, 1], got 1.5");
  refused({ coverFrames: [1, 8] }, "coverFrames must be whole numbers");
  refused({ distance: [10, 20] }, "distance must be above 30");
  const clips = (options: object) => () =>
    new SyntheticClips({ split: "train", count: 1, size: 16, ...options });
  assertThrows(clips({ count: 0 }), ShapeError, "count must be a whole number >= 1, got 0");
  assertThrows(clips({ size: 7.5 }), ShapeError, "size must be a whole number >= 8, got 7.5");
  assertThrows(() => clips({})().clip(1), DataError, "clip 1 is not in [0, 1)");
  const away = clips({ view: "frame", ranges: { ...RANGES, offCentre: [3, 3] } })();
  assertThrows(() => away.clip(0), DataError, "clip 0, frame 0: the head is outside the frame");
});
