/**
 * Directions and rotations in the coordinate system of all gaze data here: Gaze360's.
 *
 * Axes     x to the left of the picture, y up, z away from the camera (right-handed). A pinhole camera at the origin
 *          sees the point (x, y, z), z > 0, at column cx - f x / z and row cy - f y / z, so an arrow that shows a gaze
 *          on a picture points by (-x, -y) of its vector.
 * Gaze     a unit vector from the eyes to what they look at, in axes turned about the camera so that z runs from the
 *          camera to the middle between the eyes (`viewAxes`): who looks into the camera has (0, 0, -1) wherever they
 *          stand. This is the eye coordinate system of Gaze360 (Kellnhofer et al., ICCV 2019).
 * Angles   yaw = atan2(x, -z), pitch = asin(y): positive yaw looks to the left of the picture, positive pitch up.
 * @module
 */
import { cosSinDegrees } from "../exact_trig.ts";

/** A point or a direction. */
export type Vec3 = readonly [x: number, y: number, z: number];

/** A rotation as the images of the three axes. */
export type Rotation = readonly [x: Vec3, y: Vec3, z: Vec3];

/** a . b */
export function dot(a: Vec3, b: Vec3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/** a x b */
export function cross(a: Vec3, b: Vec3): Vec3 {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

/** a + s b */
export function addScaled(a: Vec3, b: Vec3, s: number): Vec3 {
  return [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]];
}

/** a - b */
export function subtract(a: Vec3, b: Vec3): Vec3 {
  return addScaled(a, b, -1);
}

/** |a| */
export function norm(a: Vec3): number {
  return Math.sqrt(dot(a, a));
}

/** a / |a|; NaN for the zero vector. */
export function unit(a: Vec3): Vec3 {
  const length = norm(a);
  return [a[0] / length, a[1] / length, a[2] / length];
}

/** The vector in the outer axes whose components along the rotated axes are v. */
export function rotate(rotation: Rotation, v: Vec3): Vec3 {
  const [x, y, z] = rotation;
  return [
    x[0] * v[0] + y[0] * v[1] + z[0] * v[2],
    x[1] * v[0] + y[1] * v[1] + z[1] * v[2],
    x[2] * v[0] + y[2] * v[1] + z[2] * v[2],
  ];
}

/** The components of v along the rotated axes: the inverse of `rotate`. */
export function unrotate(rotation: Rotation, v: Vec3): Vec3 {
  return [dot(rotation[0], v), dot(rotation[1], v), dot(rotation[2], v)];
}

/** First `inner`, then `outer`. */
export function compose(outer: Rotation, inner: Rotation): Rotation {
  return [rotate(outer, inner[0]), rotate(outer, inner[1]), rotate(outer, inner[2])];
}

/** The unit vector that looks along yaw and pitch, in degrees: (cos p sin y, sin p, -cos p cos y). */
export function lookAlong(yaw: number, pitch: number): Vec3 {
  const [cosYaw, sinYaw] = cosSinDegrees(yaw);
  const [cosPitch, sinPitch] = cosSinDegrees(pitch);
  return [cosPitch * sinYaw, sinPitch, -cosPitch * cosYaw];
}

/**
 * The rotation of a head that looks along yaw and pitch and leans by roll, in degrees: -z turns to
 * `lookAlong(yaw, pitch)`, and a positive roll leans the head to the left of the picture.
 */
export function headRotation(yaw: number, pitch: number, roll: number): Rotation {
  const [cosRoll, sinRoll] = cosSinDegrees(roll);
  const forward = lookAlong(yaw, pitch);
  const [cosYaw, sinYaw] = cosSinDegrees(yaw);
  const left: Vec3 = [cosYaw, 0, sinYaw]; // at right angles to forward, and level
  const back: Vec3 = [-forward[0], -forward[1], -forward[2]];
  const up = cross(back, left);
  const rolledUp = addScaled(scale(up, cosRoll), left, sinRoll);
  return [cross(rolledUp, back), rolledUp, back];
}

/** The axes in which the gaze of eyes at `eyes` (camera axes) is stated: z from the camera to them, x level. */
export function viewAxes(eyes: Vec3): Rotation {
  const away = unit(eyes);
  const left = unit(cross([0, 1, 0], away));
  return [left, cross(away, left), away];
}

function scale(a: Vec3, s: number): Vec3 {
  return [a[0] * s, a[1] * s, a[2] * s];
}
