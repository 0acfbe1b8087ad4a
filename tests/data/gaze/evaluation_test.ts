import { assertClose, assertEquals, assertThrows, test } from "../../harness.ts";
import { constantGazeErrors, headPoseErrors, meanGaze } from "../../../data/gaze/baselines.ts";
import type { GazeClip } from "../../../data/gaze/clip.ts";
import { evaluateClues, evaluateGaze } from "../../../data/gaze/evaluation.ts";
import { smoothGaze } from "../../../data/gaze/smoothing.ts";
import { lookAlong } from "../../../data/gaze/vectors.ts";
import { DataError, ShapeError } from "../../../engine/errors.ts";

/** Vectors of [yaw, pitch] in degrees. */
function looks(...angles: readonly (readonly [number, number])[]): Float32Array {
  return Float32Array.from(angles.flatMap(([yaw, pitch]) => [...lookAlong(yaw, pitch)]));
}

/** Angles of 0.1 degrees lose digits in f32 and acos. */
const F32 = { atol: 2e-4 };

test("smoothGaze() mixes a frame with the mean of its neighbours, and the ends with their one", () => {
  const smoothed = smoothGaze([1, 0, 0, 0, 1, 0, 0, 0, 1], 0.6);
  const unit = (v: number[]): number[] => v.map((x) => x / Math.hypot(...v));
  const want = [unit([0.6, 0.4, 0]), unit([0.2, 0.6, 0.2]), unit([0, 0.4, 0.6])];
  assertClose(smoothed, want.flat(), { atol: 1e-15 });
  assertClose(smoothGaze([0, 0, -2, 0, 3, 0], 1), [0, 0, -1, 0, 1, 0], { atol: 0 });
  assertClose(smoothGaze([0, 0, -2]), [0, 0, -2], { atol: 0 }); // one frame stays as it is
  assertEquals(smoothGaze([]).length, 0);
  assertThrows(() => smoothGaze([0, 0, 1], 0), ShapeError, "keep must be in (0, 1]");
  assertThrows(() => smoothGaze([0, 0, 1, 2]), ShapeError, "no vectors of 3");
});

test("evaluateGaze() is a mean over frames of all videos, by the true yaw, whatever the pitch", () => {
  const videos = [
    {
      truth: looks([0, 0], [20.001, 0], [19.9, 60]),
      predicted: looks([1, 0], [23.001, 0], [19.9, 52]),
    },
    { truth: looks([-90.01, 0], [-89.9, 0]), predicted: looks([-100.01, 0], [-69.9, 0]) },
  ];
  const { all360, front180, front40 } = evaluateGaze(videos);
  assertEquals([all360.frames, front180.frames, front40.frames], [5, 4, 2]);
  const want = [(1 + 3 + 8 + 10 + 20) / 5, (1 + 3 + 8 + 20) / 4, (1 + 8) / 2];
  assertClose([all360.degrees!, front180.degrees!, front40.degrees!], want, F32);
});

test("evaluateGaze() smooths within a video alone, and says null where a region is empty", () => {
  const away = looks([120, 0], [120, 0]);
  const videos = [
    { truth: away, predicted: looks([110, 0], [130, 0]) },
    { truth: away, predicted: looks([120, 30], [120, 30]) },
  ];
  const raw = evaluateGaze(videos), smoothed = evaluateGaze(videos, 0.5);
  assertClose([raw.all360.degrees!, smoothed.all360.degrees!], [20, 15], F32);
  assertEquals(raw.front180, { degrees: null, frames: 0 });
  assertEquals(evaluateGaze([]).all360, { degrees: null, frames: 0 });
});

test("evaluateGaze() refuses NaN and missing gaze by video and frame", () => {
  const truth = looks([0, 0], [1, 0]), predicted = looks([0, 0], [1, 0]);
  const good = { truth, predicted };
  const broken = predicted.slice();
  broken[4] = NaN;
  assertThrows(
    () => evaluateGaze([good, { truth, predicted: broken }]),
    DataError,
    "video 1: predicted gaze, frame 1",
  );
  assertThrows(
    () => evaluateGaze([{ truth: broken, predicted }]),
    DataError,
    "video 0: true gaze, frame 1",
  );
  assertThrows(
    () => evaluateGaze([{ truth: new Float32Array(6), predicted }]),
    DataError,
    "no direction",
  );
  assertThrows(
    () => evaluateGaze([{ truth, predicted: looks([0, 0]) }]),
    DataError,
    "3 numbers for 2 frames",
  );
});

test("evaluateClues() reports each clue, raw and smoothed", () => {
  const truth = looks([0, 0], [0, 0], [0, 0]);
  const video = { truth, predicted: { fused: truth, head: looks([3, 0], [-3, 0], [3, 0]) } };
  const { fused, head } = evaluateClues([video]);
  assertEquals(fused.raw.all360.degrees, 0);
  assertClose([head.raw.all360.degrees!], [3], F32);
  assertClose([head.smoothed.all360.degrees!], [0.6], { atol: 2e-3 }); // 3 (0.6 - 0.4)
  assertThrows(
    () => evaluateClues([video, { truth, predicted: { fused: truth } as never }]),
    DataError,
    "video 1 has no gaze for the clue head",
  );
});

test("baselines: the mean gaze for all frames, and the head pose for the gaze", () => {
  const clip = (gaze: Float32Array, headPose?: Float32Array) =>
    ({ gaze, headPose }) as unknown as GazeClip;
  const mean = meanGaze([looks([10, 0], [-10, 0]), looks([0, 10], [0, -10])]);
  assertClose(mean, [0, 0, -1], { atol: 1e-7 });
  const clips = [clip(looks([10, 0], [-10, 0]), looks([14, 0], [-10, 0]))];
  assertClose([constantGazeErrors(clips, mean).all360.degrees!], [10], F32);
  assertClose([headPoseErrors(clips).all360.degrees!], [2], F32);
  assertThrows(
    () => headPoseErrors([clip(looks([0, 0]))]),
    DataError,
    "head pose of clip 0 is not known",
  );
  assertThrows(() => meanGaze([looks([0, 0]), looks([180, 0])]), DataError, "no direction");
  assertThrows(() => meanGaze([]), DataError, "no direction");
});
