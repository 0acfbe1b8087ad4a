/**
 * What the tests of synthetic scenes share: scenes made by hand, and the picture plane as parts.
 * @module
 */
import { Caster, type Part } from "../../../data/gaze/synthetic/caster.ts";
import { makePerson } from "../../../data/gaze/synthetic/person.ts";
import { makeScene, type Scene, type SceneSettings } from "../../../data/gaze/synthetic/scene.ts";
import { drawSubject, type Subject } from "../../../data/gaze/synthetic/subject.ts";
import type { Surroundings } from "../../../data/gaze/synthetic/surroundings.ts";

/** Light from the camera, grey background. */
export const PLAIN: Surroundings = {
  toLight: [0, 0, -1],
  light: [0.7, 0.7, 0.7],
  sky: [0.3, 0.3, 0.3],
  ground: [0.3, 0.3, 0.3],
  fill: 0,
  exposure: 1,
  above: [0.5, 0.5, 0.5],
  below: [0.5, 0.5, 0.5],
  patches: [],
};

/** A head 60 cm before the camera that fills most of the frame and looks into it, unless settings say otherwise. */
export function sceneOf(subject: Subject, settings: Partial<SceneSettings> = {}): Scene {
  return makeScene({
    person: makePerson(subject),
    around: PLAIN,
    headAngles: [0, 0, 0],
    eyes: { yaw: 0, pitch: 0, open: 1 },
    headAt: [0, 0, 60],
    camera: { f: 2, cx: 0.5, cy: 0.5 },
    ...settings,
  });
}

/** Subject `number` without hair, beard and glasses: the same left and right. */
export function baldSubject(number: number): Subject {
  return { ...drawSubject(number), hair: "none", glasses: undefined, beard: 0 };
}

/** What a size x size grid of rays over the frame, or a part of it, meets. */
export function castGrid(
  scene: Scene,
  size: number,
  [x1, y1, x2, y2]: readonly number[] = [0, 0, 1, 1],
): { x: number; y: number; part: Part }[] {
  const caster = new Caster(scene), out = new Float64Array(3);
  return Array.from({ length: size * size }, (_, i) => {
    const x = x1 + (x2 - x1) * (i % size + 0.5) / size;
    const y = y1 + (y2 - y1) * (Math.floor(i / size) + 0.5) / size;
    return { x, y, part: caster.cast(x, y, out) };
  });
}
