/**
 * What a synthetic gaze clip may look like: every range that the renderer draws from, in one table.
 *
 * Fixed before any training. Angles in degrees, lengths in centimetres, times in frames, shares in [0, 1]. Head and eyes
 * are drawn independently, so the head's pose does not give the gaze away: taking the head pose for the gaze is off by
 * the eyes' angle, about 14 degrees on average.
 * @module
 */
import { ShapeError } from "../../../engine/errors.ts";
import type { Interval } from "./draws.ts";

/** Frames of a clip. */
export const CLIP_LENGTH = 7;

/** Half-open range of the numbers that stand for subjects, or for lights. */
export type NumberRange = readonly [first: number, end: number];

/** Subjects and lights of a split of the data; the splits share none. */
export interface Split {
  /** Whom to draw: shape, skin, hair, eyes, glasses. */
  readonly subjects: NumberRange;
  /** What to draw around them: lights, camera response, background. */
  readonly lights: NumberRange;
}

/** The splits: a subject or light seen in training is never tested on. */
export const SPLITS = {
  train: { subjects: [0, 4096], lights: [0, 4096] },
  validation: { subjects: [1_000_000, 1_000_256], lights: [1_000_000, 1_000_256] },
  test: { subjects: [2_000_000, 2_000_512], lights: [2_000_000, 2_000_512] },
} as const satisfies Record<string, Split>;

/** The name of a split. */
export type SplitName = keyof typeof SPLITS;

/** The ranges that one clip is drawn from. */
export interface Ranges {
  /** Head yaw at the clip's start, relative to facing the camera. */
  readonly headYaw: Interval;
  /** Head pitch at the clip's start. */
  readonly headPitch: Interval;
  /** Head roll at the clip's start. */
  readonly headRoll: Interval;
  /** By how much the head turns during a whole movement: yaw, pitch, roll. */
  readonly headTurn: readonly [yaw: Interval, pitch: Interval, roll: Interval];
  /** Share of clips whose head is turned so far that only the head can be seen. */
  readonly turnedAway: number;
  /** Head yaw of those, to either side. */
  readonly turnedAwayYaw: Interval;
  /** Eye-in-head yaw, at the start and at the end of a movement. */
  readonly eyeYaw: Interval;
  /** Eye-in-head pitch, at the start and at the end of a movement. */
  readonly eyePitch: Interval;
  /** How much of the way from the first drawn eye direction to the second is gone. */
  readonly eyeTravel: Interval;
  /** Frames a movement takes; it may begin before the clip and end after it. */
  readonly movement: Interval;
  /** Distance of the head from the camera. */
  readonly distance: Interval;
  /** Direction in which the head stands, off the camera's axis: left-right. */
  readonly bearing: Interval;
  /** The same, up-down. */
  readonly elevation: Interval;
  /** Height of a head of 23 cm as a share of the frame. */
  readonly headShare: Interval;
  /** By how much the head is off the frame's middle, as a share of the frame, both ways. */
  readonly offCentre: Interval;
  /** How far it drifts during the clip, as a share of the frame, both ways. */
  readonly drift: Interval;
  /** Share of clips in which the eyes blink. */
  readonly blink: number;
  /** Frames the eyes stay shut. */
  readonly blinkFrames: Interval;
  /** Share of clips in which a hand or a thing passes before the eyes. */
  readonly cover: number;
  /** Frames the eyes are wholly covered. */
  readonly coverFrames: Interval;
  /** Share of clips with frames so blurred that the eyes are lost. */
  readonly blur: number;
  /** Frames that are. */
  readonly blurFrames: Interval;
  /** Standard deviation of that blur, as a share of the frame. */
  readonly blurWidth: Interval;
  /** Standard deviation of the lens's own blur in every frame, as a share of the frame. */
  readonly softness: Interval;
  /** Standard deviation of the sensor's noise, as a share of full scale after gamma. */
  readonly noise: Interval;
}

/** The ranges of all committed results. */
export const RANGES: Ranges = {
  headYaw: [-75, 75],
  headPitch: [-25, 25],
  headRoll: [-12, 12],
  headTurn: [[-24, 24], [-12, 12], [-6, 6]],
  turnedAway: 0.04,
  turnedAwayYaw: [110, 160],
  eyeYaw: [-25, 25],
  eyePitch: [-15, 15],
  eyeTravel: [0, 1],
  movement: [6, 14],
  distance: [45, 120],
  bearing: [-15, 15],
  elevation: [-8, 8],
  headShare: [0.7, 0.92],
  offCentre: [-0.05, 0.05],
  drift: [-0.03, 0.03],
  blink: 0.3,
  blinkFrames: [1, 3],
  cover: 0.35,
  coverFrames: [1, 4],
  blur: 0.3,
  blurFrames: [1, 4],
  blurWidth: [0.025, 0.045],
  softness: [0, 0.004],
  noise: [0.004, 0.03],
};

/** Names of the ranges that are shares of clips, and of those that count frames of a clip. */
const SHARES = ["turnedAway", "blink", "cover", "blur"] as const;
const FRAME_COUNTS = ["blinkFrames", "coverFrames", "blurFrames"] as const;

/**
 * Refuses ranges that nothing can be drawn from.
 * @throws {ShapeError} names the range
 */
export function checkRanges(ranges: Ranges): void {
  const isInterval = (value: Interval): boolean =>
    value.length === 2 && value.every(Number.isFinite) && value[0] <= value[1];
  const refuse = (name: string, want: string): never => {
    throw new ShapeError(
      `gaze ranges: ${name} must be ${want}, got ${JSON.stringify(ranges[name as keyof Ranges])}`,
    );
  };
  for (const name of SHARES) {
    if (!(ranges[name] >= 0 && ranges[name] <= 1)) refuse(name, "a share in [0, 1]");
  }
  for (const name of FRAME_COUNTS) {
    const [least, most] = ranges[name];
    const whole = Number.isInteger(least) && Number.isInteger(most);
    if (!whole || least < 1 || most < least || most > CLIP_LENGTH) {
      refuse(name, `whole numbers that rise from 1 to at most ${CLIP_LENGTH}`);
    }
  }
  for (const [name, value] of Object.entries(ranges)) {
    if (typeof value === "number") continue;
    const intervals: readonly Interval[] = name === "headTurn" ? value : [value];
    if (!intervals.every(isInterval)) refuse(name, "two finite numbers that rise");
  }
  if (!(ranges.distance[0] > 30)) {
    refuse("distance", "above 30, outside the head and what covers it");
  }
  if (!(ranges.headShare[0] > 0)) refuse("headShare", "above 0");
  if (!(ranges.movement[0] > 0)) refuse("movement", "above 0");
}
