import {
  assert,
  assertClose,
  assertEquals,
  assertRejects,
  assertThrows,
  test,
} from "../../harness.ts";
import { AnnotatedClips, type Picture, trainingClips } from "../../../data/gaze/annotated_clips.ts";
import { annotationText } from "../../../data/gaze/annotation_text.ts";
import { KNOWN, parseAnnotations } from "../../../data/gaze/annotations.ts";
import { lookAlong } from "../../../data/gaze/vectors.ts";
import { DataError } from "../../../engine/errors.ts";

type Json = Record<string, unknown>;
const LENGTH = 4;
const FILES = Array.from({ length: LENGTH }, (_, t) => `9/0000${t}.png`);
const looks = Array.from({ length: LENGTH }, (_, t) => [...lookAlong(5 * t, -t)]);

/** An annotation file of one video; face and eyes are not known in frame 1, nothing is in frame 2. */
function file(change: { video?: Json; face?: Json; head?: Json } = {}): string {
  const bboxes = (
    box: number[],
    ofHead: boolean,
  ): unknown[] => [box, ofHead ? box : null, null, box];
  const annotation = (id: number, box: number[], extra?: Json): Json => (
    { id, video_id: 9, category_id: 1, gaze: looks, bboxes: bboxes(box, id === 3), ...extra }
  );
  return JSON.stringify({
    info: {},
    categories: [{ id: 1, name: "person_face" }],
    videos: [{ id: 9, height: 30, width: 40, length: LENGTH, file_names: FILES, ...change.video }],
    annotations: [
      annotation(1, [10, 5, 8, 12], change.face),
      annotation(2, [11, 8, 6, 2]),
      annotation(3, [-2, 1, 30, 40], change.head),
    ],
  });
}

test("parseAnnotations() reads boxes of face, eyes and head, in this order, and cuts them to the frame", () => {
  const [video] = parseAnnotations(file(), "train.json");
  assertEquals([video.id, video.height, video.width], [9, 30, 40]);
  assertEquals([...video.files], FILES);
  assertEquals([...video.known], [KNOWN.all, KNOWN.head, KNOWN.nothing, KNOWN.all]);
  const first = [10, 5, 18, 17, 11, 8, 17, 10, 0, 1, 28, 30], none = new Array(8).fill(0);
  assertEquals([...video.boxes], [
    ...first,
    ...none,
    ...first.slice(8),
    ...none,
    ...none.slice(4),
    ...first,
  ]);
  assertClose(video.gaze, looks.flat(), { atol: 1e-7 });
});

test("parseAnnotations() makes unit vectors, and vectors of yaw and pitch in radians", () => {
  const long = looks.map((v) => v.map((x) => 3 * x));
  assertClose(parseAnnotations(file({ head: { gaze: long } }), "x")[0].gaze, looks.flat(), {
    atol: 1e-7,
  });
  const angles = looks.map((_, t) => [5 * t * Math.PI / 180, -t * Math.PI / 180]);
  assertClose(parseAnnotations(file({ head: { gaze: angles } }), "x")[0].gaze, looks.flat(), {
    atol: 1e-7,
  });
});

test("parseAnnotations() reads test files with one annotation a video and no boxes", () => {
  const json = JSON.parse(file());
  json.annotations = [{ id: 1, video_id: 9, category_id: 1, gaze: looks }];
  const [video] = parseAnnotations(JSON.stringify(json), "test.json");
  assertEquals([...video.known], [0, 0, 0, 0]);
  assertEquals(trainingClips([video]), []);
});

test("parseAnnotations() refuses labels that are NaN or missing, by video and frame", () => {
  const broken = (t: number, value: unknown): string =>
    file({ head: { gaze: looks.map((v, i) => i === t ? value : v) } });
  const refused = (text: string, part: string): void => {
    assertThrows(
      () => parseAnnotations(text, "train.json"),
      DataError,
      `train.json, video 9${part}`,
    );
  };
  refused(broken(2, null), ", frame 2: the gaze label is missing or no direction: null");
  refused(broken(0, [0, 0, 0]), ", frame 0: the gaze label is missing");
  refused(broken(3, [0, 1, 0, 0]), ", frame 3: the gaze label is missing");
  // Python writes NaN where it should not.
  const python = broken(1, [0, "NaN", "NaN"]).replaceAll('"NaN"', "NaN");
  assert(python.includes("[0,NaN,NaN]"));
  refused(python, ", frame 1: the gaze label is missing or no direction: [0,null,null]");
  refused(file({ head: { gaze: looks.slice(1) } }), ": gaze has 3 entries for 4 frames");
});

test("parseAnnotations() refuses boxes that are no boxes, by video and frame", () => {
  const refused = (box: unknown, part: string): void => {
    const face = { bboxes: [[10, 5, 8, 12], null, null, box] };
    assertThrows(
      () => parseAnnotations(file({ face }), "a"),
      DataError,
      `a, video 9, frame 3${part}`,
    );
  };
  refused([45, 5, 8, 12], ": the box of the face lies outside the frame of 30 x 40");
  refused([4, -13, 8, 12], ": the box of the face lies outside the frame");
  refused([4, 5, 0, 12], ": the box of the face is empty");
  refused([4, 5, 8], ": the box of the face must be four numbers");
  refused([4, 5, null, 12], ": the box of the face must be four numbers");
  refused(null, " must have the boxes of face, eyes and head, or the head's, or none; has 2");
});

test("parseAnnotations() refuses what is no annotation file", () => {
  const refused = (text: string, part: string): void => {
    assertThrows(() => parseAnnotations(text, "a.json"), DataError, part);
  };
  refused("{", "a.json is not JSON");
  refused("[]", 'a.json: an object with "annotations" is missing');
  refused('{"annotations": 3, "videos": []}', "a.json: annotations must be a list");
  refused(
    file({ video: { height: 2.5 } }),
    "a.json, video 9: height must be a whole number, is 2.5",
  );
  refused(
    file({ video: { id: 8 } }),
    "video 8 must have one annotation (head) or three (face, eyes, head), has 0",
  );
  refused(file({ face: { bboxes: undefined } }), "video 9: bboxes must be a list");
});

test("annotationText() writes what parseAnnotations() reads", () => {
  const videos = parseAnnotations(file(), "a");
  const again = parseAnnotations(annotationText(videos, "test"), "b");
  assertEquals(again.map(({ gaze, ...rest }) => ({ ...rest, gaze: gaze.length })), [
    { ...videos[0], gaze: 12 },
  ]);
  assertClose(again[0].gaze, videos[0].gaze, { atol: 1e-7 });
});

/** A picture whose bytes are all the frame's number. */
function picture(file: string, height = 30, width = 40): Picture {
  const data = new Uint8Array(height * width * 3).fill(Number(file.slice(2, 7)));
  return { height, width, data };
}

test("AnnotatedClips reads the frames of each clip with their boxes and gaze", async () => {
  const [video] = parseAnnotations(file(), "a");
  const clips = trainingClips([video]);
  assertEquals(clips.map(({ frames }) => frames.join(" ")), [
    "0 0 0 0 1 3 3", // frame 2 is not known
    "0 0 0 1 3 3 3",
    "0 0 1 3 3 3 3",
  ]);
  const source = new AnnotatedClips(clips, (name) => Promise.resolve(picture(name)));
  const clip = await source.clip(1);
  assertEquals([source.count, clip.length, clip.height, clip.width], [3, 7, 30, 40]);
  assertEquals([0, 3, 6].map((t) => clip.frames[t * 3600 + 99]), [0, 1, 3]);
  assertEquals([...clip.faceKnown], [1, 1, 1, 0, 1, 1, 1]);
  assertEquals([...clip.boxes.subarray(36, 48)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 28, 30]);
  assertClose(clip.gaze.subarray(9, 12), looks[1], { atol: 1e-7 });
});

test("AnnotatedClips refuses frames of another size, frames that cannot be read and unknown clips, by name", async () => {
  const clips = trainingClips(parseAnnotations(file(), "a"));
  const other = new AnnotatedClips(
    clips,
    (name) => Promise.resolve(picture(name, name.includes("3") ? 31 : 30)),
  );
  await assertRejects(
    () => other.clip(0),
    DataError,
    "video 9, frame 3: 9/00003.png has 31 x 40 pixels, its video 30 x 40; all frames of a video must have one size",
  );
  const unreadable = new AnnotatedClips(clips, (name) => (
    name.includes("1") ? Promise.reject(new Error("no PNG file")) : Promise.resolve(picture(name))
  ));
  await assertRejects(
    () => unreadable.clip(0),
    DataError,
    "video 9, frame 1: cannot read 9/00001.png: no PNG file",
  );
  await assertRejects(() => other.clip(3), DataError, "clip 3 is not in [0, 3)");
  assertThrows(
    () => new AnnotatedClips([], () => Promise.reject()),
    DataError,
    "no frame has a known box",
  );
});
