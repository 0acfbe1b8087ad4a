/** From frames and heads to each person's gaze: boxes, who is who, sliding clips, what the model is shown, arrows. */
import {
  boxInFrame,
  clipPipeline,
  type ClipPrediction,
  ClipSlider,
  floatClip,
  type FrameHead,
  gazeArrowLine,
  GazeFollower,
  type GazePredictor,
  headCrop,
  headOfFace,
  HeadTracker,
  mergeClips,
  overlap,
  overlaySvg,
  parseHeadBoxes,
  type PersonGaze,
  slidingClips,
  squareAbout,
  SyntheticClips,
  testSteps,
  wholeFrame,
} from "../../../data/gaze/mod.ts";
import { Rng } from "../../../data/random.ts";
import { DataError, ShapeError } from "../../../engine/errors.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertRejects,
  assertThrows,
  test,
} from "../../harness.ts";

test("headOfFace() and squareAbout() give boxes of the documented proportions", () => {
  const head = headOfFace([40, 50, 60, 80]);
  assertClose(head, [50 - 13.6, 60.2 - 21.3, 50 + 13.6, 60.2 + 21.3], { atol: 1e-9 });
  const box = [10, 20, 50, 116] as const;
  const { left, top, side } = squareAbout(box);
  assertClose([left, top, side], [-10, 28, 80], { atol: 1e-9 });
  assertEquals(squareAbout(box, 0.96), { left: -20, top: 18, side: 100 });
  assertEquals(wholeFrame(40, 60), { left: 0, top: -10, side: 60 });
});

test("boxInFrame() cuts a box to its frame, and refuses what is none", () => {
  assertEquals(boxInFrame([-5, 2, 70, 30], 40, 60, "box"), [0, 2, 60, 30]);
  assertThrows(() => boxInFrame([0, NaN, 4, 4], 40, 60, "b"), DataError, "b must be four finite");
  assertThrows(() => boxInFrame([4, 0, 4, 4], 40, 60, "b"), DataError, "b is empty");
  assertThrows(
    () => boxInFrame([60, 0, 70, 4], 40, 60, "frame 3: the head's box"),
    DataError,
    "frame 3: the head's box lies outside its frame of 60 x 40 pixels: [60, 0, 70, 4]",
  );
});

test("parseHeadBoxes() reads heads by number and name, and names what is wrong", () => {
  const text =
    `{"heads": [{"frame": 0, "box": [1, 2, 3, 4]}, {"frame": "b.png", "box": [0, 0, 9, 9], "person": 2}]}`;
  const heads = parseHeadBoxes(text, "boxes.json");
  assertEquals(heads.of(0, "a.png"), [{ box: [1, 2, 3, 4], person: undefined }]);
  assertEquals(heads.of(1, "b.png"), [{ box: [0, 0, 9, 9], person: 2 }]);
  assertEquals(heads.of(2, "c.png"), []);
  const refused = (text: string, message: string) =>
    assertThrows(() => parseHeadBoxes(text, "f"), DataError, message);
  refused("[", "f is not JSON");
  refused("null", 'f: want { "heads"');
  refused('{"heads": {}}', 'f: want { "heads"');
  refused('{"heads": [null]}', "f, heads[0]: frame must be a number from 0 or a file name");
  refused('{"heads": [{"frame": -1}]}', "heads[0]: frame must be");
  refused('{"heads": [{"frame": 7, "box": [1, NaN, 3, 4]}]}', "f, heads[0], frame 7: box must be");
  refused('{"heads": [{"frame": 7, "box": [1, 2, 3]}]}', "is [1,2,3]");
  refused(
    '{"heads": [{"frame": 7, "box": [1, 2, 3, 4], "person": "A"}]}',
    'person must be a number from 0, is "A"',
  );
  const one = '{"frame": 1, "box": [0, 0, 1, 1], "person": 0}';
  refused(`{"heads": [${one}, ${one}]}`, "person 0 comes twice in frame 1");
});

test("HeadTracker follows by overlap, most first; who is long gone comes back as another", () => {
  assertEquals(overlap([0, 0, 2, 2], [1, 0, 3, 2]), 1 / 3);
  assertEquals(overlap([0, 0, 1, 1], [1, 0, 2, 1]), 0);
  const tracker = new HeadTracker({ maxGap: 2 });
  assertEquals(tracker.assign([[0, 0, 10, 10], [20, 0, 30, 10]]), [0, 1]);
  // Both new boxes overlap with person 0; the one that overlaps most takes it, the other is new.
  assertEquals(tracker.assign([[4, 0, 14, 10], [1, 0, 11, 10]]), [2, 0]);
  assertEquals([...tracker.present].sort(), [0, 1, 2]);
  assertEquals(tracker.assign([[21, 0, 31, 10]]), [1]);
  tracker.assign([[21, 0, 31, 10]]);
  tracker.assign([]);
  assertEquals(tracker.assign([[1, 0, 11, 10], [22, 0, 32, 10]]), [3, 1]);
  assertEquals(tracker.assign([[50, 0, 60, 10], [1, 0, 11, 10]], [8, undefined]), [8, 3]);
  tracker.cut();
  assertEquals(tracker.assign([[1, 0, 11, 10]]), [9]);
});

test("ClipSlider gives the clips of slidingClips() and the means of mergeClips()", async () => {
  for (let count = 1; count <= 24; count++) {
    const asked: number[][] = [];
    const valueOf = (clip: readonly number[], i: number): number[] =>
      clip.flatMap((frame, t) => [Math.sin(31 * frame + 7 * t + i), frame]);
    const slider = new ClipSlider<number>((clip) => {
      asked.push([...clip]);
      return Promise.resolve(valueOf(clip, asked.length - 1));
    });
    const got = [];
    for (let frame = 0; frame < count; frame++) {
      got.push(...await slider.add(frame));
      assert(slider.open.length < 14, "too many frames are kept");
    }
    got.push(...await slider.end());
    const clips = slidingClips(count, { short: "repeat" });
    assertEquals(asked, clips);
    assertEquals(got.map(({ frame }) => frame), Array.from({ length: count }, (_, i) => i));
    assertEquals(got.flatMap(({ values }) => [...values]), [
      ...mergeClips(clips, clips.map(valueOf), 2),
    ]);
    assertEquals(slider.open, []);
  }
  assertThrows(
    () => new ClipSlider(() => Promise.resolve([]), { stride: 9 }),
    ShapeError,
    "length 7 and stride 9",
  );
});

test("headCrop() of a whole frame is what the model is trained on", () => {
  const clip = new SyntheticClips({ split: "test", count: 1, size: 32 }).clip(0);
  const want = clipPipeline(testSteps({ size: 32, flip: 0 }))(floatClip(clip), new Rng(0, "none"));
  const picture = { height: 32, width: 32, data: clip.frames.subarray(0, 3 * 32 * 32) };
  const got = headCrop(picture, wholeFrame(32, 32), 32);
  assertClose(got, want.frames[0].data, { atol: 1e-5 });
});

test("headCrop() takes means when it shrinks, and the mean colour outside the frame", () => {
  const data = Uint8Array.from(
    { length: 4 * 4 * 3 },
    (_, i) => Math.floor(i / 3) % 2 === 0 ? 0 : 255,
  );
  const shrunk = headCrop({ height: 4, width: 4, data }, wholeFrame(4, 4), 1);
  assertClose(shrunk, [0.485, 0.456, 0.406].map((m, c) => (0.5 - m) / [0.229, 0.224, 0.225][c]), {
    atol: 1e-6,
  });
  const beside = headCrop({ height: 4, width: 4, data }, { left: -4, top: 0, side: 4 }, 4);
  assertClose(beside, new Float32Array(48), { atol: 1e-9 });
  assertThrows(
    () => headCrop({ height: 4, width: 4, data }, { left: 0, top: 0, side: NaN }, 4),
    ShapeError,
    "side NaN",
  );
});

/** Says of a frame the gaze and boxes that its first pixel gives; counts the features that are not freed. */
interface Fake {
  readonly first: number;
  dispose(): void;
}

class FakeModel implements GazePredictor<Fake> {
  readonly size = 8;
  alive = 0;
  shown = 0;
  features(images: Float32Array, count: number) {
    this.shown += count;
    this.alive += count;
    const each = images.length / count;
    return Promise.resolve(Array.from({ length: count }, (_, i) => ({
      first: images[i * each],
      dispose: () => void this.alive--,
    })));
  }
  predict(clip: readonly Fake[]): Promise<ClipPrediction> {
    return Promise.resolve({
      gazes: { final: clip.flatMap(({ first }) => [0, first, -1]) },
      boxes: { head: clip.flatMap(() => [0, 0, 8, 8]), eyes: clip.flatMap(() => [2, 3, 6, 5]) },
    });
  }
}

const grey = (value: number, height = 16, width = 40) => ({
  height,
  width,
  data: new Uint8Array(3 * height * width).fill(value),
});

test("GazeFollower gives each person's gaze once, reuses features and frees them", async () => {
  const model = new FakeModel(), follower = new GazeFollower<Fake>(model);
  const got: PersonGaze[] = [];
  for (let frame = 0; frame < 30; frame++) {
    const heads: FrameHead[] = [{ box: [4, 4, 12, 12] }];
    if (frame < 3) heads.push({ box: [24, 4, 32, 12] }); // shorter than a clip
    got.push(...await follower.add(frame, grey(3 * frame), frame === 10 ? [] : heads));
    assert(model.alive <= 14, `${model.alive} features are kept`);
  }
  got.push(...await follower.cut());
  assertEquals([model.shown, model.alive], [29 + 3, 0]);
  const frames = (who: number) => got.filter((g) => g.person === who).map((g) => g.frame);
  assertEquals(frames(0), Array.from({ length: 30 }, (_, i) => i).filter((i) => i !== 10));
  assertEquals(frames(1), [0, 1, 2]);
  for (const { frame, gaze, box, clues } of got.filter(({ person }) => person === 0)) {
    const y = (3 * frame / 255 - 0.485) / 0.229, norm = Math.hypot(y, 1);
    assertClose([...gaze], [0, y / norm, -1 / norm], { atol: 1e-6 });
    assertEquals(box, [4, 4, 12, 12]);
    const { left, top, side } = squareAbout(box); // 8 pixels shown to the model
    assertClose([...clues.eyes!], [2, 3, 6, 5].map((v, k) => (k % 2 ? top : left) + v * side / 8), {
      atol: 1e-9,
    });
    assertEquals(clues.face, undefined);
  }
});

test("GazeFollower shows whole frames where no box is known; a cut begins with others", async () => {
  const model = new FakeModel(), follower = new GazeFollower<Fake>(model);
  const first = [...await follower.add(0, grey(9), [{ box: null }]), ...await follower.cut()];
  const second = [
    ...await follower.add(1, grey(9, 8, 8), [{ box: null }]),
    ...await follower.cut(),
  ];
  assertEquals(first.map(({ person, box }) => [person, box]), [[0, [0, -12, 40, 28]]]);
  assertEquals(second.map(({ person, box }) => [person, box]), [[1, [0, 0, 8, 8]]]);
  await follower.add(2, grey(9), [{ box: null }]);
  assertEquals(model.alive, 1);
  follower.dispose();
  assertEquals(model.alive, 0);
});

test("GazeFollower passes on what the model refuses", async () => {
  const model = new FakeModel(), follower = new GazeFollower<Fake>(model);
  model.predict = () => Promise.reject(new ShapeError("no"));
  await follower.add(0, grey(1), [{ box: null }]);
  await assertRejects(() => follower.cut(), ShapeError, "no");
  follower.dispose();
  assertEquals(model.alive, 0);
});

test("overlaySvg() draws boxes, arrows to the left for positive x and up for positive y, and text", () => {
  const head = { person: 0, box: [10, 20, 30, 60], clues: {}, gaze: [1, 0, 0] } as const;
  assertEquals(gazeArrowLine(head, [1, 0, 0]), { from: [20, 40], to: [-20, 40] });
  assertEquals(gazeArrowLine(head, [0, 0.5, 0]), { from: [20, 40], to: [20, 20] });
  assertEquals(gazeArrowLine({ ...head, clues: { eyes: [10, 20, 20, 30] } }, [0, 0, -1]), {
    from: [15, 25],
    to: [15, 25],
  });
  const svg = overlaySvg({ height: 100, width: 200 }, [{ ...head, truth: [0, 1, 0] }], {
    caption: "a < b & c",
    zoom: 3,
  });
  assert(svg.includes('width="600" height="300" viewBox="0 0 200 100">'), svg);
  assert(
    svg.includes('<rect x="10" y="20" width="20" height="40" fill="none" stroke="#ffb000"'),
    svg,
  );
  assert(svg.includes("M20 40L-20 40") && svg.includes("M20 40L20 0"), svg);
  assert(svg.includes("a &#60; b &#38; c"), svg);
});
