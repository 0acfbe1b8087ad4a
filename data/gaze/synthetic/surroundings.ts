/**
 * What is around a subject: light, the camera's response, and a blurred background. A function of a number alone.
 * @module
 */
import { Rng } from "../../random.ts";
import { lookAlong, type Vec3 } from "../vectors.ts";
import { between, chance, type Colour, mixColours, vary } from "./draws.ts";

/** A soft patch of the background. */
export interface Patch {
  /** Its middle, in frames. */
  readonly x: number;
  readonly y: number;
  /** One over its reach, per frame. */
  readonly overWidth: number;
  readonly overHeight: number;
  readonly colour: Colour;
}

/** Light and background of a clip. */
export interface Surroundings {
  /** Unit vector towards the main light, camera axes. */
  readonly toLight: Vec3;
  /** Radiance of the main light, of the sky above and of the ground below. */
  readonly light: Colour;
  readonly sky: Colour;
  readonly ground: Colour;
  /** Radiance on faces that look at the camera, from behind it. */
  readonly fill: number;
  /** What radiance is multiplied by. */
  readonly exposure: number;
  /** Background at the top and at the bottom, and what stands out in it. */
  readonly above: Colour;
  readonly below: Colour;
  readonly patches: readonly Patch[];
}

const WARM: Colour = [1.12, 0.96, 0.78], COOL: Colour = [0.88, 0.98, 1.15];

/** Surroundings `number`, always the same. */
export function drawSurroundings(number: number): Surroundings {
  const rng = new Rng(0, "gaze/light").cell(number);
  const towards = lookAlong(between(rng, [-80, 80]), between(rng, [-15, 65]));
  const power = between(rng, [0.35, 1.25]), around = between(rng, [0.22, 0.6]);
  const tint = mixColours(WARM, COOL, rng.uniform());
  const skyTint = mixColours(COOL, WARM, rng.uniform());
  const sky = scaled(skyTint, around), ground = scaled(vary(rng, tint, 0.1), 0.55 * around);
  const fill = between(rng, [0.05, 0.25]);
  const brightness = 0.6 * power + 0.8 * around + fill;
  return {
    toLight: towards,
    light: scaled(tint, power),
    sky,
    ground,
    fill,
    exposure: between(rng, [0.75, 1.25]) / brightness,
    above: drawColour(rng),
    below: drawColour(rng),
    patches: Array.from({ length: 2 + rng.integer(6) }, () => ({
      x: between(rng, [-0.2, 1.2]),
      y: between(rng, [-0.2, 1.2]),
      overWidth: 1 / between(rng, [0.08, 0.5]),
      overHeight: 1 / between(rng, [0.08, 0.7]),
      colour: drawColour(rng),
    })),
  };
}

/** Writes the background's radiance at (x, y), in frames from the upper left corner. */
export function backdropAt(around: Surroundings, x: number, y: number, out: Float64Array): void {
  const down = Math.min(1, Math.max(0, y));
  for (let c = 0; c < 3; c++) {
    out[c] = around.above[c] + (around.below[c] - around.above[c]) * down;
  }
  for (const { x: px, y: py, overWidth, overHeight, colour } of around.patches) {
    const u = (x - px) * overWidth, v = (y - py) * overHeight;
    const rest = 1 - u * u - v * v;
    if (rest <= 0) continue;
    const amount = Math.min(1, 2.5 * rest);
    for (let c = 0; c < 3; c++) out[c] += (colour[c] - out[c]) * amount;
  }
}

/** A colour of a room or a street, dull more often than not. */
function drawColour(rng: Rng): Colour {
  const light = between(rng, [0.02, 0.7]);
  return vary(rng, [light, light, light], chance(rng, 0.3) ? 0.5 : 0.15);
}

function scaled(colour: Colour, amount: number): Colour {
  return [colour[0] * amount, colour[1] * amount, colour[2] * amount];
}
