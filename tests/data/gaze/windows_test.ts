import { assertClose, assertEquals, assertThrows, test } from "../../harness.ts";
import { clipAround, mergeClips, slidingClips } from "../../../data/gaze/windows.ts";
import { DataError, ShapeError } from "../../../engine/errors.ts";

const range = (from: number, end: number): number[] =>
  Array.from({ length: end - from }, (_, i) => from + i);

test("clipAround() takes three frames to either side, and repeats the ends", () => {
  const known = range(0, 10);
  assertEquals(clipAround(5, known), range(2, 9));
  assertEquals(clipAround(0, known), [0, 0, 0, 0, 1, 2, 3]);
  assertEquals(clipAround(8, known), [5, 6, 7, 8, 9, 9, 9]);
  assertEquals(clipAround(4, [4]), [4, 4, 4, 4, 4, 4, 4]);
  assertEquals(clipAround(2, [2, 3, 4], 3), [2, 2, 3]);
});

test("clipAround() puts the first or last known frame where a neighbour is not known", () => {
  assertEquals(clipAround(5, [1, 3, 4, 5, 6, 8, 9]), [1, 3, 4, 5, 6, 8, 9]);
  assertEquals(clipAround(5, [2, 3, 4, 5, 8, 11]), [2, 3, 4, 5, 8, 11, 11]);
});

test("clipAround() refuses even lengths and unknown centres", () => {
  assertThrows(() => clipAround(1, [0, 1, 2], 6), ShapeError, "odd length, got 6");
  assertThrows(() => clipAround(7, [0, 1, 2]), ShapeError, "frame 7 is not known");
});

test("slidingClips() slides by 4, and the last clip ends with the video", () => {
  const firsts = (frames: number): number[] => slidingClips(frames).map(([first]) => first);
  assertEquals(slidingClips(7), [range(0, 7)]);
  assertEquals(firsts(8), [0, 1]);
  assertEquals(firsts(11), [0, 4]);
  assertEquals(firsts(12), [0, 4, 5]);
  assertEquals(firsts(15), [0, 4, 8]);
  assertEquals(slidingClips(12).at(-1), range(5, 12));
  assertEquals(slidingClips(5, { length: 2, stride: 2 }), [[0, 1], [2, 3], [3, 4]]);
});

test("slidingClips() covers every frame of any video, without gaps", () => {
  for (let frames = 7; frames < 40; frames++) {
    assertEquals([...new Set(slidingClips(frames).flat())].sort((a, b) => a - b), range(0, frames));
  }
});

test("slidingClips() refuses a video shorter than a clip by name, or repeats its last frame", () => {
  assertThrows(
    () => slidingClips(6, {}, "video 3"),
    DataError,
    "video 3 has 6 frames, a clip needs 7",
  );
  assertThrows(
    () => slidingClips(0, { short: "repeat" }, "video 3"),
    DataError,
    "video 3 has no frames",
  );
  assertEquals(slidingClips(3, { short: "repeat" }), [[0, 1, 2, 2, 2, 2, 2]]);
  assertEquals(slidingClips(1, { short: "repeat" }), [[0, 0, 0, 0, 0, 0, 0]]);
  assertThrows(() => slidingClips(9, { stride: 8 }), ShapeError, "stride 8");
  assertThrows(() => slidingClips(9, { stride: 0 }), ShapeError, "stride 0");
});

test("mergeClips() averages what overlaps, clip by clip, and takes a repeated frame once", () => {
  const clips = [[0, 1, 2], [2, 3, 4], [3, 4, 5]];
  const values = [[0, 1, 2], [20, 30, 40], [34, 44, 50]];
  assertClose(mergeClips(clips, values, 1), [0, 1, 11, 32, 42, 50], { atol: 0 });
  assertClose(mergeClips([[0, 1, 2], [1, 2, 3], [2, 3, 4]], [[0, 0, 4], [0, 8, 0], [2, 0, 0]], 1), [
    0,
    0,
    4, // ((4 + 8) / 2 + 2) / 2
    0,
    0,
  ], { atol: 0 });
  assertClose(mergeClips([[0, 1, 1]], [[1, 2, 3, 4, 5, 6]], 2), [1, 2, 3, 4], { atol: 0 });
});

test("mergeClips() refuses values that do not fit, and frames that are in no clip", () => {
  assertThrows(() => mergeClips([[0, 1]], [], 1), ShapeError, "1 clips, but values of 0");
  assertThrows(
    () => mergeClips([[0, 1]], [[1]], 1),
    ShapeError,
    "clip 0 has 2 frames of 1 values, got 1",
  );
  assertThrows(() => mergeClips([[0, 2]], [[1, 2]], 1), ShapeError, "frame 1 is in no clip");
});
