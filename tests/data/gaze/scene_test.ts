import { assert, assertClose, assertEquals, test } from "../../harness.ts";
import { angularErrors } from "../../../data/gaze/angles.ts";
import { HEAD_PARTS, type Part } from "../../../data/gaze/synthetic/caster.ts";
import { placeCover } from "../../../data/gaze/synthetic/cover.ts";
import { RANGES, SPLITS } from "../../../data/gaze/synthetic/ranges.ts";
import { betweenEyes, drawScenes, type Scene } from "../../../data/gaze/synthetic/scene.ts";
import { drawSubject } from "../../../data/gaze/synthetic/subject.ts";
import { truthOf } from "../../../data/gaze/synthetic/truth.ts";
import {
  addScaled,
  dot,
  norm,
  rotate,
  unit,
  unrotate,
  type Vec3,
  viewAxes,
} from "../../../data/gaze/vectors.ts";
import { Rng } from "../../../data/random.ts";
import { baldSubject, castGrid, sceneOf } from "./scenes.ts";

const EYES: ReadonlySet<Part> = new Set<Part>(["sclera", "iris", "pupil"]);

/** The box of some points. */
function extent(points: readonly { x: number; y: number }[]): number[] {
  const xs = points.map(({ x }) => x), ys = points.map(({ y }) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** The first frames of some clips without covers, of heads that are turned by at most `yaw` degrees. */
function someScenes(count: number, yaw = 75): Scene[] {
  const rng = new Rng(4, "gaze/train");
  const ranges = { ...RANGES, cover: 0, blink: 0, turnedAway: 0, headYaw: [-yaw, yaw] } as const;
  return Array.from({ length: count }, (_, i) => drawScenes(rng, i, SPLITS.train, ranges)[0]);
}

test("a head and eyes that face the camera give the gaze (0, 0, -1)", () => {
  for (const headAt of [[0, 0, 60], [14, -6, 70], [-9, 3, 50]] as const) {
    const scene = sceneOf(drawSubject(3), { headAt });
    const { gaze, headPose, hidden } = truthOf(scene);
    // The eyes are up to 0.6 cm above the head's middle, which is what faces the camera.
    assertClose(gaze, [0, 0, -1], { atol: 0.02 });
    assertClose(headPose, gaze, { atol: 1e-15 });
    assertEquals(hidden, false);
  }
});

test("head and eye angles turn the truth as they say: left of the picture and up are positive", () => {
  const left = truthOf(sceneOf(drawSubject(3), { headAngles: [30, 0, 0] }));
  const up = truthOf(sceneOf(drawSubject(3), { headAngles: [0, 20, 0] }));
  const eyesLeft = truthOf(sceneOf(drawSubject(3), { eyes: { yaw: 20, pitch: 10, open: 1 } }));
  assert(left.headPose[0] > 0.48 && left.gaze[0] > 0.48);
  assert(up.gaze[1] > 0.33);
  assert(
    eyesLeft.gaze[0] > 0.33 && eyesLeft.gaze[1] > 0.15 && Math.abs(eyesLeft.headPose[0]) < 1e-12,
  );
  // Turning the head to the left moves its nose, and with it the face's box, to the left of the picture.
  const straight = truthOf(sceneOf(drawSubject(3)));
  assert(left.face![0] + left.face![2] < straight.face![0] + straight.face![2] - 0.02);
});

test("the gaze can be read off the picture: the pupil's place on the eyeball points along it", () => {
  let checked = 0;
  for (const scene of someScenes(8, 40)) {
    const truth = truthOf(scene), view = viewAxes(betweenEyes(scene));
    for (const side of [1, -1]) {
      const centre = addScaled(rotate(scene.head, scene.eyes.centreOn(side)), scene.headAt, 1);
      const place = centre[0] / centre[2], { f, cx, cy } = scene.camera;
      const reach = scene.eyes.radius * f / centre[2];
      const x = cx - f * place, y = cy - f * centre[1] / centre[2];
      const box = [x - reach, y - reach, x + reach, y + reach];
      const iris = castGrid(scene, 48, box).filter(({ part }) =>
        part === "iris" || part === "pupil"
      );
      if (iris.length === 0) continue;
      // Every ray that the picture shows as iris or pupil meets the ball within the iris' radius of the gaze's end.
      const ends = iris.map((pixel): Vec3 => {
        const ray: Vec3 = [(cx - pixel.x) / f, (cy - pixel.y) / f, 1];
        const b = dot(ray, centre) / dot(ray, ray);
        const miss = dot(centre, centre) - b * b * dot(ray, ray);
        const t = b - Math.sqrt((scene.eyes.radius ** 2 - miss) / dot(ray, ray));
        return unit(unrotate(view, addScaled([t * ray[0], t * ray[1], t], centre, -1)));
      });
      const sine = scene.person.subject.iris / scene.eyes.radius;
      const limit = Math.asin(sine) * 180 / Math.PI;
      const off = angularErrors(ends.flat(), ends.flatMap(() => [...truth.gaze]));
      assert(Math.max(...off) < limit + 0.01, `${Math.max(...off)} beyond ${limit}`);
      // The pupil is round about the gaze: where all of it is seen, its middle gives the gaze.
      const pupil = ends.filter((_, i) => iris[i].part === "pupil");
      const whole = pupil.length > 12 &&
        iris.every(({ part }, i) => part === "iris" || ringed(iris, i));
      if (!whole) continue;
      const sum = pupil.reduce(
        (total, end) => addScaled(total, end, 1 / norm(end)),
        [0, 0, 0] as Vec3,
      );
      assertClose(angularErrors(sum, truth.gaze), [0], { atol: 3, name: "gaze from the pupil" });
      checked++;
    }
  }
  assert(checked >= 5, `only ${checked} pupils were wholly seen`);

  /** Whether the neighbours of pixel i are iris or pupil too. */
  function ringed(iris: readonly { x: number; y: number }[], i: number): boolean {
    const step = Math.min(...iris.map(({ x }) => Math.abs(x - iris[i].x)).filter((d) => d > 1e-9));
    const near = (dx: number, dy: number): boolean =>
      iris.some(({ x, y }) => (
        Math.abs(x - iris[i].x - dx * step) < 1e-6 && Math.abs(y - iris[i].y - dy * step) < 1e-6
      ));
    return near(1, 0) && near(-1, 0) && near(0, 1) && near(0, -1);
  }
});

test("boxes: the eyes' and the face's lie in the head's, which is that of the picture's head", () => {
  for (const [i, scene] of someScenes(6).entries()) {
    const { head, face, eyes } = truthOf(scene);
    for (const box of [face!, eyes!]) {
      assert(
        box[0] >= head[0] && box[1] >= head[1] && box[2] <= head[2] && box[3] <= head[3],
        `${i}`,
      );
    }
    const wide = [head[0] - 0.05, head[1] - 0.05, head[2] + 0.05, head[3] + 0.05];
    const pixels = castGrid(scene, 100, wide);
    // Grid spacing 1 % of the frame; the points on the shapes are 7.5 degrees apart, which misses 0.2 % of a radius.
    const seen = extent(pixels.filter(({ part }) => HEAD_PARTS.has(part)));
    for (const side of [0, 1, 2]) {
      assert(Math.abs(seen[side] - head[side]) < 0.018, `scene ${i}: box ${head}, picture ${seen}`);
    }
    assert(seen[3] < head[3] + 0.018); // the neck may hide a jaw that points down
  }
});

test("boxes: every pixel of an eye lies in the eyes' box, and the box is no larger than eyes with lids", () => {
  const around = (box: readonly number[]): number[] =>
    box.map((value, i) => value + (i < 2 ? -0.06 : 0.06));
  const seenIn = (scene: Scene, box: readonly number[]): number[] =>
    extent(castGrid(scene, 60, around(box)).filter(({ part }) => EYES.has(part)));
  for (const scene of someScenes(6)) {
    const eyes = truthOf(scene).eyes!, seen = seenIn(scene, eyes), margin = 0.012;
    assert(seen[0] > eyes[0] - margin && seen[1] > eyes[1] - margin, `${seen} in ${eyes}`);
    assert(seen[2] < eyes[2] + margin && seen[3] < eyes[3] + margin, `${seen} in ${eyes}`);
  }
  const facing = sceneOf(drawSubject(11)), eyes = truthOf(facing).eyes!;
  assertClose(seenIn(facing, eyes), eyes, { atol: 0.015 });
});

test("mirroring a scene mirrors the picture, the boxes and the gaze's x", () => {
  const subject = baldSubject(21);
  const scene = sceneOf(subject, {
    headAngles: [25, -10, 8],
    eyes: { yaw: -14, pitch: 6, open: 1 },
    headAt: [7, 2, 60],
    camera: { f: 2, cx: 0.7, cy: 0.55 },
  });
  const mirror = sceneOf(subject, {
    headAngles: [-25, -10, -8],
    eyes: { yaw: 14, pitch: 6, open: 1 },
    headAt: [-7, 2, 60],
    camera: { f: 2, cx: 0.3, cy: 0.55 },
  });
  const one = truthOf(scene), two = truthOf(mirror);
  for (const name of ["gaze", "headPose"] as const) {
    assertClose(two[name], [-one[name][0], one[name][1], one[name][2]], { atol: 1e-14 });
  }
  for (const name of ["head", "face", "eyes"] as const) {
    const [x1, y1, x2, y2] = one[name]!;
    assertClose(two[name]!, [1 - x2, y1, 1 - x1, y2], { atol: 1e-12 });
  }
  const size = 64, parts = castGrid(scene, size), mirrored = castGrid(mirror, size);
  const differ = parts.filter(({ part }, i) => {
    const column = i % size;
    return mirrored[i - column + size - 1 - column].part !== part;
  });
  assertEquals(differ.length, 0);
});

test("hidden says whether an eye can be seen: covers, blinks, blur and turned heads hide it", () => {
  const scene = sceneOf(drawSubject(5)), eyes = betweenEyes(scene);
  const look = {
    parts: [{ centre: [0, 0, 0], axes: [8, 3, 1] }] as const,
    colour: [0.5, 0.5, 0.5] as const,
    roll: 0,
    course: 90,
  };
  const covered = (away: number): Scene => ({
    ...scene,
    cover: placeCover(look, viewAxes(eyes), eyes, away),
  });
  assertEquals(truthOf(scene).hidden, false);
  assertEquals(truthOf(covered(0)).hidden, true);
  assertEquals(truthOf(covered(9)).hidden, false);
  assertEquals(truthOf({ ...scene, lost: true }).hidden, true);
  assertEquals(
    truthOf(sceneOf(drawSubject(5), { eyes: { yaw: 0, pitch: 0, open: 0 } })).hidden,
    true,
  );
  const count = (scene: Scene): number =>
    castGrid(scene, 100).filter(({ part }) => EYES.has(part)).length;
  assert(count(scene) > 30);
  assertEquals(count(covered(0)), 0);
  assertEquals(count(sceneOf(drawSubject(5), { eyes: { yaw: 0, pitch: 0, open: 0 } })), 0);
});

test("a head turned away has a box and a gaze, but neither face nor eyes", () => {
  const { head, face, eyes, hidden } = truthOf(
    sceneOf(drawSubject(8), { headAngles: [140, 0, 0] }),
  );
  assertEquals([face, eyes, hidden], [undefined, undefined, true]);
  assert(head[2] - head[0] > 0.3);
  const profile = truthOf(sceneOf(drawSubject(8), { headAngles: [75, 0, 0] }));
  assert(profile.eyes !== undefined && profile.face !== undefined && !profile.hidden);
});

test("the iris can be seen at 96 pixels: several pixels an eye, darker than the white beside it", () => {
  for (const number of [0, 1, 2, 3, 4, 5]) {
    const scene = sceneOf(drawSubject(number), { camera: { f: 1.9, cx: 0.5, cy: 0.5 } });
    const parts = castGrid(scene, 96).map(({ part }) => part);
    const iris = parts.filter((part) => part === "iris" || part === "pupil").length / 2;
    const sclera = parts.filter((part) => part === "sclera").length / 2;
    assert(
      iris >= 9 && sclera >= 6,
      `subject ${number}: ${iris} of iris, ${sclera} of white an eye`,
    );
  }
});
