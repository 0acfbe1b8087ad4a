/**
 * Where a ray meets an ellipsoid: one quadratic equation.
 * @module
 */
import type { Vec3 } from "../vectors.ts";

/** An ellipsoid whose axes lie along those of its space. */
export interface Ellipsoid {
  readonly centre: Vec3;
  /** Half-axes. */
  readonly axes: Vec3;
}

/** A ray o + t d; d need not be a unit vector. Changed in place, as one is cast for every sample of a picture. */
export interface Ray {
  ox: number;
  oy: number;
  oz: number;
  dx: number;
  dy: number;
  dz: number;
}

/** The least t at which the ray enters the ellipsoid, or Infinity; a ray that starts inside meets nothing. */
export function enterEllipsoid(ray: Ray, { centre, axes }: Ellipsoid): number {
  const ox = (ray.ox - centre[0]) / axes[0], dx = ray.dx / axes[0];
  const oy = (ray.oy - centre[1]) / axes[1], dy = ray.dy / axes[1];
  const oz = (ray.oz - centre[2]) / axes[2], dz = ray.dz / axes[2];
  const a = dx * dx + dy * dy + dz * dz;
  const b = ox * dx + oy * dy + oz * dz;
  const c = ox * ox + oy * oy + oz * oz - 1;
  const root = b * b - a * c;
  if (root <= 0 || b >= 0 || c <= 0) return Infinity;
  return (-b - Math.sqrt(root)) / a;
}

/** A ray without a place yet. */
export function makeRay(): Ray {
  return { ox: 0, oy: 0, oz: 0, dx: 0, dy: 0, dz: 1 };
}
