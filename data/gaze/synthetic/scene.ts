/**
 * Everything that decides the picture of one frame and what is true of it; and how the seven scenes of a clip are drawn.
 *
 * All lengths in centimetres in camera axes (see `vectors.ts`), but for picture coordinates, which are in frames: (0, 0)
 * is the upper left corner of the square frame, (1, 1) the lower right.
 * @module
 */
import { cosSinDegrees } from "../../exact_trig.ts";
import type { Rng } from "../../random.ts";
import {
  addScaled,
  compose,
  headRotation,
  rotate,
  type Rotation,
  type Vec3,
  viewAxes,
} from "../vectors.ts";
import { type Cover, drawCover, placeCover } from "./cover.ts";
import { between, mix } from "./draws.ts";
import { Eyes, type EyeState } from "./eyes.ts";
import { drawHiding } from "./hiding.ts";
import { drawEyeMotion, drawHeadMotion, type HeadAngles } from "./motion.ts";
import { CLIP_LENGTH, type NumberRange, type Ranges, type Split } from "./ranges.ts";
import { makePerson, type Person } from "./person.ts";
import { drawSubject } from "./subject.ts";
import { drawSurroundings, type Surroundings } from "./surroundings.ts";

/** A pinhole camera: a point (x, y, z) is seen at (cx - f x / z, cy - f y / z), in frames. */
export interface Camera {
  readonly f: number;
  readonly cx: number;
  readonly cy: number;
}

/** One frame. */
export interface Scene {
  readonly person: Person;
  readonly around: Surroundings;
  readonly camera: Camera;
  /** The head's origin and axes. */
  readonly headAt: Vec3;
  readonly head: Rotation;
  /** The shoulders' axes. */
  readonly body: Rotation;
  readonly eyes: Eyes;
  readonly cover: Cover | undefined;
  /** Standard deviation of the picture's blur, in frames. */
  readonly blur: number;
  /** Standard deviation of the noise on values of [0, 1]. */
  readonly noise: number;
  /** Whether the eyes are lost in the blur. */
  readonly lost: boolean;
}

/** Height that `Ranges.headShare` speaks of. */
const HEAD_HEIGHT = 23;
/** How much of the head's turn the shoulders make. */
const BODY_TURN = 0.35;

/** What may be set of a scene that is made by hand; angles in degrees. */
export interface SceneSettings {
  readonly person: Person;
  readonly around: Surroundings;
  /** Relative to facing the camera. */
  readonly headAngles: HeadAngles;
  readonly eyes: EyeState;
  readonly headAt: Vec3;
  readonly camera: Camera;
}

/** A sharp scene without cover or noise. */
export function makeScene(settings: SceneSettings): Scene {
  const { person, around, headAngles: [yaw, pitch, roll], headAt, camera } = settings;
  const view = viewAxes(headAt);
  return {
    person,
    around,
    camera,
    headAt,
    head: compose(view, headRotation(yaw, pitch, roll)),
    body: compose(view, headRotation(BODY_TURN * yaw, 0, 0)),
    eyes: new Eyes(person.subject, person.surface, settings.eyes),
    cover: undefined,
    blur: 0,
    noise: 0,
    lost: false,
  };
}

/** The point between the eyes, in camera axes. */
export function betweenEyes({ head, headAt, eyes }: Pick<Scene, "head" | "headAt" | "eyes">): Vec3 {
  const [, y, z] = eyes.centre;
  return addScaled(rotate(head, [0, y, z]), headAt, 1);
}

/** The scenes of clip `index`; each kind of choice has a stream of its own, forked from `rng`. */
export function drawScenes(rng: Rng, index: number, split: Split, ranges: Ranges): Scene[] {
  const stream = (purpose: string): Rng => rng.fork(purpose).cell(index);
  const number = (purpose: string, [first, end]: NumberRange): number =>
    first + stream(purpose).integer(end - first);
  const person = makePerson(drawSubject(number("subject", split.subjects)));
  const around = drawSurroundings(number("light", split.lights));
  const heads = drawHeadMotion(stream("head"), ranges);
  const gazes = drawEyeMotion(stream("eyes"), ranges);
  const hidings = drawHiding(stream("hiding"), ranges);
  const cover = drawCover(stream("cover"), person.subject.skin);
  const shot = drawShot(stream("camera"), ranges);
  return Array.from({ length: CLIP_LENGTH }, (_, t): Scene => {
    const { open, coverAway, blur } = hidings[t];
    const [yaw, pitch] = gazes[t];
    const scene = makeScene({
      person,
      around,
      headAngles: heads[t],
      eyes: { yaw, pitch, open },
      headAt: shot.headAt,
      camera: shot.cameras[t],
    });
    const eyes = betweenEyes(scene);
    return {
      ...scene,
      cover: coverAway === undefined
        ? undefined
        : placeCover(cover, viewAxes(eyes), eyes, coverAway),
      blur: Math.sqrt(blur * blur + shot.softness * shot.softness),
      noise: shot.noise,
      lost: blur > 0,
    };
  });
}

/** Where the head is, and a camera for each frame that follows it, not quite. */
function drawShot(rng: Rng, ranges: Ranges) {
  const distance = between(rng, ranges.distance);
  const [, sinBearing] = cosSinDegrees(between(rng, ranges.bearing));
  const [, sinElevation] = cosSinDegrees(between(rng, ranges.elevation));
  const headAt: Vec3 = [distance * sinBearing, distance * sinElevation, distance];
  const f = between(rng, ranges.headShare) * distance / HEAD_HEIGHT;
  const offset = [between(rng, ranges.offCentre), between(rng, ranges.offCentre)];
  const drift = [between(rng, ranges.drift), between(rng, ranges.drift)];
  const cameras = Array.from({ length: CLIP_LENGTH }, (_, t): Camera => {
    const time = t / (CLIP_LENGTH - 1) - 0.5;
    const place = (axis: number): number =>
      0.5 + mix(offset[axis], offset[axis] + drift[axis], time);
    return { f, cx: place(0) + f * sinBearing, cy: place(1) + f * sinElevation };
  });
  return {
    headAt,
    cameras,
    softness: between(rng, ranges.softness),
    noise: between(rng, ranges.noise),
  };
}
