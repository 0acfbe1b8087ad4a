/**
 * What passes before the eyes: the fingers of a hand, or a thing. Ellipsoids between the camera and the head.
 * @module
 */
import { cosSinDegrees } from "../../exact_trig.ts";
import type { Rng } from "../../random.ts";
import { addScaled, compose, headRotation, type Rotation, type Vec3 } from "../vectors.ts";
import { between, chance, type Colour, vary } from "./draws.ts";
import type { Ellipsoid } from "./ellipsoid.ts";

/** How a cover looks; it is the same in all frames of a clip. */
export interface CoverLook {
  readonly parts: readonly Ellipsoid[];
  readonly colour: Colour;
  /** How it is turned in the picture, degrees. */
  readonly roll: number;
  /** Direction in which it comes and goes, degrees, 0 to the left. */
  readonly course: number;
}

/** A cover in one frame. */
export interface Cover {
  readonly parts: readonly Ellipsoid[];
  readonly colour: Colour;
  /** Its middle and axes, in camera axes. */
  readonly at: Vec3;
  readonly axes: Rotation;
}

/** How far before the eyes it passes. */
const BEFORE = 9;
/** Thickness and spacing of fingers. */
const FINGER = 1.05, FINGER_STEP = 1.75;

/** Draws a cover that hides both eyes when its middle is before them. `skin` is a hand's colour. */
export function drawCover(rng: Rng, skin: Colour): CoverLook {
  const hand = chance(rng, 0.6);
  const colour = hand ? vary(rng, skin, 0.12) : vary(rng, [0.2, 0.2, 0.2], 0.95);
  const roll = between(rng, [-18, 18]), course = between(rng, [0, 360]);
  if (!hand) {
    const axes: Vec3 = [between(rng, [7.5, 9.5]), between(rng, [2.8, 4.2]), 1.5];
    return { parts: [{ centre: [0, 0, 0], axes }], colour, roll, course };
  }
  const fingers = [-1.5, -0.5, 0.5, 1.5].map((place): Ellipsoid => ({
    centre: [place * place - 2.5, place * FINGER_STEP, 0],
    axes: [8.5, FINGER, FINGER],
  }));
  const palm: Ellipsoid = { centre: [9, 0, 0.4], axes: [6, 4.3, 1.5] };
  const parts = [...fingers, palm];
  return { parts, colour, roll, course };
}

/** A cover whose middle is `away` centimetres from the line between the camera and the eyes. */
export function placeCover(look: CoverLook, view: Rotation, eyes: Vec3, away: number): Cover {
  const axes = compose(view, headRotation(0, 0, look.roll));
  const [left, up] = cosSinDegrees(look.course);
  const before = addScaled(eyes, view[2], -BEFORE);
  const at = addScaled(addScaled(before, view[0], away * left), view[1], away * up);
  return { parts: look.parts, colour: look.colour, at, axes };
}
