/**
 * The eyes: two balls that turn in the head, and the openings between the lids through which they are seen.
 *
 * An opening lies on the front of a ball, a little turned to the side. In its own coordinates, (u, v) from its middle in
 * centimetres, u outwards (to the temple) and v up, it is what lies between two parabolas over |u| < w:
 *   -down (1 - u^2 / w^2) < v - slant u < up (1 - u^2 / w^2)
 * The upper lid follows the gaze up and down, and comes down to the lower one in a blink.
 * @module
 */
import { cosSinDegrees } from "../../exact_trig.ts";
import { lookAlong, type Vec3 } from "../vectors.ts";
import { type HeadSurface, LID } from "./head_surface.ts";
import type { Subject } from "./subject.ts";

/** How the eyes stand in one frame. */
export interface EyeState {
  /** Eye-in-head yaw, degrees, of both eyes; positive to the head's right. */
  readonly yaw: number;
  /** Eye-in-head pitch, degrees, positive up. */
  readonly pitch: number;
  /** 1 open, 0 shut. */
  readonly open: number;
}

/** By how many degrees the openings are turned to the temples. */
const OUTWARD = 9;
const [COS_OUT, SIN_OUT] = cosSinDegrees(OUTWARD);
/** How far the upper and the lower lid go with the gaze: centimetres per unit of its upward part. */
const UPPER_FOLLOWS = 1.1, LOWER_FOLLOWS = 0.45;

/** Both eyes of a subject in one frame, on head axes. */
export class Eyes {
  /** Middle of the eyeball on the side of positive x; the other is its mirror image. */
  readonly centre: Vec3;
  /** Where both look. */
  readonly gaze: Vec3;
  /** Half the openings' width, and how far they reach up and down. */
  readonly width: number;
  readonly up: number;
  readonly down: number;
  readonly slant: number;
  readonly radius: number;
  /** 1 open, 0 shut. */
  readonly open: number;

  /** The eyes of `subject` on its `surface`. */
  constructor(subject: Subject, surface: HeadSurface, state: EyeState) {
    this.centre = [subject.eyeX, subject.eyeY, surface.eyeZ];
    this.radius = subject.eyeball;
    this.open = state.open;
    this.gaze = lookAlong(state.yaw, state.pitch);
    this.width = subject.openingWidth;
    this.slant = subject.slant;
    this.down = Math.max(0.2, subject.openingDown - LOWER_FOLLOWS * this.gaze[1]);
    const wideOpen = Math.max(0.25, subject.openingUp + UPPER_FOLLOWS * this.gaze[1]);
    this.up = (wideOpen + this.down) * state.open - this.down;
  }

  /** The middle of the eyeball on a side, +1 or -1. */
  centreOn(side: number): Vec3 {
    return [side * this.centre[0], this.centre[1], this.centre[2]];
  }

  /** Coordinate u of a point on that side. */
  u(side: number, x: number, z: number): number {
    return (side * x - this.centre[0]) * COS_OUT + (z - this.centre[2]) * SIN_OUT;
  }

  /** How far a point lies in front of the eyeball's middle, along the opening's own direction. */
  depth(side: number, x: number, z: number): number {
    return (side * x - this.centre[0]) * SIN_OUT - (z - this.centre[2]) * COS_OUT;
  }

  /** Height of the upper lid's rim at u. */
  upper(u: number): number {
    return this.up * this.#bow(u) + this.slant * u;
  }

  /** Height of the lower lid's rim at u. */
  lower(u: number): number {
    return -this.down * this.#bow(u) + this.slant * u;
  }

  /** Whether a point of the face's surface, on that side, is in the opening. */
  inOpening(side: number, x: number, y: number, z: number): boolean {
    const u = this.u(side, x, z);
    if (u > this.width || u < -this.width || this.depth(side, x, z) <= 0) return false;
    const v = y - this.centre[1];
    return v < this.upper(u) && v > this.lower(u);
  }

  /** The direction in which the opening of a side faces. */
  facing(side: number): Vec3 {
    return [side * SIN_OUT, 0, -COS_OUT];
  }

  /** The rim of a side's opening at `count` places from corner to corner, each above and below; as if no blink. */
  rim(side: number, subject: Subject, count: number): Vec3[] {
    const radius = this.radius + LID;
    return Array.from({ length: 2 * count }, (_, i) => {
      const u = this.width * (2 * (i >> 1) / (count - 1) - 1);
      const bow = this.#bow(u);
      const v = (i % 2 === 0 ? subject.openingUp : -subject.openingDown) * bow + this.slant * u;
      const w = Math.sqrt(Math.max(0, radius * radius - u * u - v * v));
      return [
        side * (this.centre[0] + u * COS_OUT + w * SIN_OUT),
        this.centre[1] + v,
        this.centre[2] + u * SIN_OUT - w * COS_OUT,
      ];
    });
  }

  #bow(u: number): number {
    const share = u / this.width;
    return Math.max(0, 1 - share * share);
  }
}
