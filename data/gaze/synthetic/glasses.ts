/**
 * Glasses: two rims and a bridge in a plane before the eyes, and a temple on either side. Nothing has thickness.
 * @module
 */
import type { Ray } from "./ellipsoid.ts";
import type { Eyes } from "./eyes.ts";

/** How far before the eyeballs' fronts the plane is, the lenses' half-axes, and half the rims' width. */
const BEFORE = 0.8, WIDTH = 2.6, HEIGHT = 1.95, RIM = 0.16;
/** How far below the eyes the lenses' middles are. */
const BELOW = 0.25;

/** Where a ray on head axes meets the glasses, or Infinity. */
export function enterGlasses(ray: Ray, eyes: Eyes): number {
  const { centre, radius } = eyes;
  const plane = centre[2] - radius - BEFORE;
  const front = (plane - ray.oz) / ray.dz;
  if (front > 0) {
    const x = Math.abs(ray.ox + front * ray.dx), y = ray.oy + front * ray.dy - centre[1] + BELOW;
    if (onRim((x - centre[0]) / WIDTH, y / HEIGHT) || onBridge(x, y, centre[0])) return front;
  }
  const outer = centre[0] + WIDTH;
  let first = Infinity;
  for (let side = -1; side <= 1; side += 2) {
    const t = (side * outer - ray.ox) / ray.dx;
    const y = ray.oy + t * ray.dy - centre[1], z = ray.oz + t * ray.dz;
    if (t > 0 && t < first && y > 0.1 && y < 0.1 + 2 * RIM && z > plane && z < 0) first = t;
  }
  return first;
}

/** A rim lies around u^4 + v^4 = 1, a shape between an ellipse and a rectangle. */
function onRim(u: number, v: number): boolean {
  return Math.abs(u * u * u * u + v * v * v * v - 1) < 2 * RIM / HEIGHT;
}

function onBridge(x: number, y: number, eyeX: number): boolean {
  return x < eyeX - WIDTH && y > 0.3 && y < 0.3 + 2 * RIM;
}
