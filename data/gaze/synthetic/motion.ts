/**
 * How head and eyes move during a clip: from one pose to another, smoothly, with the movement's beginning and end inside
 * or outside the clip.
 * @module
 */
import type { Rng } from "../../random.ts";
import { between, type Interval, mix, smoothStep } from "./draws.ts";
import { CLIP_LENGTH, type Ranges } from "./ranges.ts";

/** Yaw, pitch and roll of a head, degrees, relative to facing the camera. */
export type HeadAngles = readonly [yaw: number, pitch: number, roll: number];

/** Yaw and pitch of both eyes in the head, degrees. */
export type EyeAngles = readonly [yaw: number, pitch: number];

/** The head's angles in each frame. */
export function drawHeadMotion(rng: Rng, ranges: Ranges): HeadAngles[] {
  const away = rng.uniform() < ranges.turnedAway;
  const side = rng.uniform() < 0.5 ? -1 : 1;
  const yawRange = away ? ranges.turnedAwayYaw : ranges.headYaw;
  const yaw = between(rng, yawRange) * (away ? side : 1);
  const start = [yaw, between(rng, ranges.headPitch), between(rng, ranges.headRoll)];
  const turn = ranges.headTurn.map((range) => between(rng, range));
  const gone = drawProgress(rng, ranges.movement);
  const limits = [away ? undefined : ranges.headYaw, ranges.headPitch, ranges.headRoll];
  return gone.map((share) => {
    const angle = (i: number): number => within(limits[i], start[i], turn[i], share);
    return [angle(0), angle(1), angle(2)];
  });
}

/** The eyes' angles in each frame: drawn without a look at the head's. */
export function drawEyeMotion(rng: Rng, ranges: Ranges): EyeAngles[] {
  const { eyeYaw, eyePitch } = ranges;
  const from = [between(rng, eyeYaw), between(rng, eyePitch)];
  const to = [between(rng, eyeYaw), between(rng, eyePitch)];
  const travel = between(rng, ranges.eyeTravel);
  const gone = drawProgress(rng, ranges.movement);
  return gone.map((share) => [
    mix(from[0], to[0], share * travel),
    mix(from[1], to[1], share * travel),
  ]);
}

/** Which share of a movement is done in each frame, rising from 0 to 1. */
function drawProgress(rng: Rng, movement: Interval): number[] {
  const duration = between(rng, movement);
  const middle = between(rng, [0, CLIP_LENGTH - 1]);
  return Array.from(
    { length: CLIP_LENGTH },
    (_, t) => smoothStep(middle - duration / 2, middle + duration / 2, t),
  );
}

/** start + share * turn; a turn that would leave the limits goes the other way. */
function within(
  limits: Interval | undefined,
  start: number,
  turn: number,
  share: number,
): number {
  const end = start + turn;
  const leaves = limits !== undefined && (end < limits[0] || end > limits[1]);
  return start + (leaves ? -turn : turn) * share;
}
