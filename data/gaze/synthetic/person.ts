/**
 * A person's shape, made once for all frames of a clip: the bare head's surface, hair, ears, and points on all of them
 * from which boxes are measured.
 * @module
 */
import { cosSinDegrees } from "../../exact_trig.ts";
import type { Vec3 } from "../vectors.ts";
import type { Ellipsoid } from "./ellipsoid.ts";
import { Hair } from "./hair.ts";
import { HeadSurface } from "./head_surface.ts";
import type { Subject } from "./subject.ts";

/** A person's shape, on head axes. */
export interface Person {
  readonly subject: Subject;
  readonly surface: HeadSurface;
  readonly hair: Hair;
  readonly ears: readonly Ellipsoid[];
  /** Points on skull, hair and ears; their box is that of the head. */
  readonly headPoints: readonly Vec3[];
  /** Points on the front of the head from the eyebrows to the chin; their box is that of the face. */
  readonly facePoints: readonly Vec3[];
}

/** Degrees between points on a shape, and centimetres between points on the face's profile. */
const SPACING = 7.5, PROFILE_SPACING = 0.4;
/** From where rays are sent to the surface: no head reaches so far. */
const OUTSIDE = 14;

/** The shape of a subject. */
export function makePerson(subject: Subject): Person {
  const surface = new HeadSurface(subject);
  const hair = new Hair(subject);
  const ear = (side: number): Ellipsoid => ({
    centre: [side * (subject.skull[0] - 0.1), -0.9, 0.9],
    axes: [0.85, 3.1, 1.9],
  });
  const ears = subject.hair === "long" ? [] : [ear(1), ear(-1)]; // long hair lies over them
  const bare = pointsOn(surface);
  const hairPoints = hair.shells.flatMap((shell, i) =>
    spherePoints(shell.centre, shell.axes).filter(([x, y, z]) => hair.covers(i, x, y, z))
  );
  const brow = subject.eyeY + subject.browY + subject.browWidth;
  return {
    subject,
    surface,
    hair,
    ears,
    headPoints: [...bare, ...hairPoints, ...ears.flatMap((e) => spherePoints(e.centre, e.axes))],
    facePoints: bare.filter(([, y, z]) => y <= brow && z <= -2),
  };
}

/** Points of the surface: where rays to the origin from all sides meet it, and the profile from the front. */
function pointsOn(surface: HeadSurface): Vec3[] {
  const points: Vec3[] = [];
  const send = ([ox, oy, oz]: Vec3, [dx, dy, dz]: Vec3): void => {
    const t = surface.enter({ ox, oy, oz, dx, dy, dz }, 0, 1);
    if (t !== Infinity) points.push([ox + t * dx, oy + t * dy, oz + t * dz]);
  };
  for (const [x, y, z] of spherePoints([0, 0, 0], [OUTSIDE, OUTSIDE, OUTSIDE])) {
    send([x, y, z], [-x, -y, -z]);
  }
  for (let y = -OUTSIDE; y <= OUTSIDE; y += PROFILE_SPACING) {
    send([0, y, -OUTSIDE], [0, 0, OUTSIDE]);
  }
  return points;
}

/** Points on an ellipsoid along meridians. */
function spherePoints(centre: Vec3, axes: Vec3): Vec3[] {
  const points: Vec3[] = [];
  for (let up = -90; up <= 90; up += SPACING) {
    const [cosUp, sinUp] = cosSinDegrees(up);
    for (let around = 0; around < 360; around += SPACING) {
      const [cos, sin] = cosSinDegrees(around);
      points.push([
        centre[0] + axes[0] * cosUp * cos,
        centre[1] + axes[1] * sinUp,
        centre[2] + axes[2] * cosUp * sin,
      ]);
    }
  }
  return points;
}
