/**
 * Hair: shells around the skull, cut off at a hairline.
 * @module
 */
import type { Ellipsoid } from "./ellipsoid.ts";
import { mix, smoothStep } from "./draws.ts";
import { noise3 } from "./noise.ts";
import type { HairStyle, Subject } from "./subject.ts";

/** Height of the hairline over the forehead. */
const FOREHEAD: Readonly<Record<HairStyle, number>> = {
  short: 6.6,
  long: 6.8,
  fringe: 4.3,
  receding: 8.8,
  none: Infinity,
};

/** The hair of one subject, on head axes. */
export class Hair {
  /** What a ray may meet; a meeting counts where `covers` says so. */
  readonly shells: readonly Ellipsoid[];
  readonly #style: HairStyle;

  /** The hair of a subject. */
  constructor({ hair, hairDepth, skull }: Subject) {
    const [x, y, z] = skull;
    this.#style = hair;
    const cap: Ellipsoid = {
      centre: [0, 0.9, 0.5],
      axes: [x + 0.35 + 0.4 * hairDepth, y - 0.6 + hairDepth, z + 0.1 + 0.5 * hairDepth],
    };
    const curtain: Ellipsoid = {
      centre: [0, -5.2, 2.8],
      axes: [x + 0.9 + 0.5 * hairDepth, 12.5, z - 2.2 + 0.5 * hairDepth],
    };
    if (hair === "none") this.shells = [];
    else this.shells = hair === "long" ? [cap, curtain] : [cap];
  }

  /** Whether there is hair at a point of shell number `shell`. */
  covers(shell: number, x: number, y: number, z: number): boolean {
    const ragged = 1.3 * (noise3(1.1 * x, 0.7 * y, 0.8 * z, 11) - 0.5);
    if (shell === 1) return z > -2.6 + ragged + 0.012 * (y + 4) * (y + 4);
    return y + ragged > this.#line(z);
  }

  /** Light and dark strands: about 1. */
  strands(x: number, y: number, z: number): number {
    return 0.55 + 0.9 * noise3(2.4 * x, 0.45 * y, 2.4 * z, 5);
  }

  /** The hairline's height, from the forehead past the temple and the ear to the nape. */
  #line(z: number): number {
    const temple = this.#style === "long" ? -2 : 1.2;
    const side = mix(FOREHEAD[this.#style], temple, smoothStep(-7, -2.2, z));
    return mix(side, -7, smoothStep(0.8, 4.5, z));
  }
}
