/**
 * The surface of a bald head without ears: where f(p) = 0.
 *
 * Shape   f starts as the distance to an ellipsoid that narrows towards the chin; smooth local bumps push the surface out
 *         (nose, brow, cheekbones, chin, lips) or in (eye sockets, temples, under the lip); the lids' spheres over the
 *         eyeballs are joined on with a soft edge. Everything depends on |x| alone: the shape is symmetrical.
 * Rays    f is about a distance, so a ray walks along in steps of f until it is there (sphere tracing, Hart 1996).
 * @module
 */
import type { Ray } from "./ellipsoid.ts";
import type { Subject } from "./subject.ts";

/** How thick the lids are: they are a sphere that much larger than the eyeball. */
export const LID = 0.1;
/** Over how many centimetres the lids' spheres blend into the face. */
const BLEND = 0.55;
/** No bump reaches further back than this. */
const BUMPS_END = -1.6;
/** Numbers a bump takes: middle, one over its reach along each axis, height. */
const BUMP = 7;
/** A step is this share of f and at most so long, as f is only nearly a distance where bumps are steep. */
const CAUTION = 0.85;
const LONGEST_STEP = 1.3;
const MOST_STEPS = 40;
const NEAR = 0.004;
/** Steps that narrow down a crossing which a long step went past. */
const REFINEMENTS = 3;

/** One subject's head. */
export class HeadSurface {
  /** Depth of the eyeballs' middles, on head axes; chosen so that they stand a little out of their sockets. */
  readonly eyeZ: number;
  readonly #subject: Subject;
  readonly #bumps: Float64Array;

  /** The head of a subject. */
  constructor(subject: Subject) {
    const { skull, nose, noseWidth, brow, cheek, chin, lips, mouthY, eyeX, eyeY } = subject;
    const front = -skull[2];
    this.#subject = subject;
    this.#bumps = Float64Array.from([
      bump([0, -3.1, front - 0.6], [noseWidth, 1.9, 3.4], nose), // tip of the nose
      bump([0, -0.9, front], [1.25, 3.4, 2.8], 0.42 * nose), // its bridge
      bump([noseWidth * 0.62, -3.5, front - 0.2], [1, 1.1, 2.2], 0.7), // its wings
      bump([eyeX, eyeY, front + 1.2], [2.9, 2.3, 3], -1.5), // sockets
      bump([2.6, 3, front + 1], [3.6, 1.6, 3], brow), // brow
      bump([4.6, -2.6, -6.4], [3, 2.6, 3.6], cheek), // cheekbones
      bump([0, -9.6, -6.2], [3.2, 2.4, 3.4], chin), // chin
      bump([0, mouthY, front + 1.4], [2.9, 2, 3], 0.25 + 0.35 * lips), // mouth
      bump([0, mouthY - 1.7, front + 2], [2.4, 0.9, 3], -0.35), // below the lip
      bump([6.4, 2.2, -4.6], [2.4, 3.4, 3], -0.5), // temples
    ].flat());
    this.eyeZ = 0; // sockets are measured without the lids' spheres, which this places far inside
    const socket = this.#frontAt(eyeX, eyeY);
    this.eyeZ = socket + subject.eyeball - 0.62;
  }

  /** Below 0 inside the head, above it outside; nearly the distance to it. */
  value(x: number, y: number, z: number): number {
    const { skull, taper, eyeX, eyeY, eyeball } = this.#subject;
    const ax = Math.abs(x);
    const wide = ax / (1 + taper * Math.max(-1, Math.min(1, y / skull[1])));
    const qx = wide / skull[0], qy = y / skull[1], qz = z / skull[2];
    const scaled = Math.sqrt(qx * qx + qy * qy + qz * qz);
    const gx = qx / skull[0], gy = qy / skull[1], gz = qz / skull[2];
    let f = scaled * (scaled - 1) / Math.sqrt(gx * gx + gy * gy + gz * gz + 1e-9);
    if (z > BUMPS_END) return f;
    const bumps = this.#bumps;
    for (let i = 0; i < bumps.length; i += BUMP) {
      const v = (y - bumps[i + 1]) * bumps[i + 4];
      const high = 1 - v * v;
      if (high <= 0) continue;
      const u = (ax - bumps[i]) * bumps[i + 3], w = (z - bumps[i + 2]) * bumps[i + 5];
      const rest = high - u * u - w * w;
      if (rest > 0) f -= bumps[i + 6] * rest * rest * rest;
    }
    const lx = ax - eyeX, ly = y - eyeY, lz = z - this.eyeZ;
    const lid = Math.sqrt(lx * lx + ly * ly + lz * lz) - eyeball - LID;
    const overlap = Math.max(0, BLEND - Math.abs(f - lid));
    return Math.min(f, lid) - overlap * overlap / (4 * BLEND);
  }

  /** The least t at which a ray on head axes, from outside, meets the surface between two others; or Infinity. */
  enter(ray: Ray, from: number, to: number): number {
    const { ox, oy, oz, dx, dy, dz } = ray;
    const speed = Math.sqrt(dx * dx + dy * dy + dz * dz);
    let t = from, before = from, fBefore = 0;
    for (let step = 0; step < MOST_STEPS && t < to; step++) {
      const f = this.value(ox + t * dx, oy + t * dy, oz + t * dz);
      if (f < NEAR) return f > -NEAR ? t : this.#between(ray, before, fBefore, t, f);
      before = t;
      fBefore = f;
      t += Math.min(LONGEST_STEP, CAUTION * f) / speed;
    }
    return Infinity;
  }

  /** Where f crosses 0 between t0, where it is f0 > 0, and t1, where it is f1 < 0: by repeated chords. */
  #between(ray: Ray, t0: number, f0: number, t1: number, f1: number): number {
    let t = t1;
    for (let i = 0; i < REFINEMENTS; i++) {
      t = t0 + (t1 - t0) * f0 / (f0 - f1);
      const f = this.value(ray.ox + t * ray.dx, ray.oy + t * ray.dy, ray.oz + t * ray.dz);
      if (f > 0) [t0, f0] = [t, f];
      else [t1, f1] = [t, f];
    }
    return t;
  }

  /** Writes the unit normal at a point of the surface: four values on a tetrahedron give the gradient. */
  normal(x: number, y: number, z: number, out: Float64Array): void {
    const e = 0.03;
    const a = this.value(x + e, y - e, z - e), b = this.value(x - e, y - e, z + e);
    const c = this.value(x - e, y + e, z - e), d = this.value(x + e, y + e, z + e);
    const nx = a - b - c + d, ny = -a - b + c + d, nz = -a + b - c + d;
    const length = Math.sqrt(nx * nx + ny * ny + nz * nz);
    out[0] = nx / length;
    out[1] = ny / length;
    out[2] = nz / length;
  }

  /** Where the face is met from the front at (x, y). */
  #frontAt(x: number, y: number): number {
    return -40 + this.enter({ ox: x, oy: y, oz: -40, dx: 0, dy: 0, dz: 1 }, 0, 80);
  }
}

function bump(
  [x, y, z]: readonly number[],
  [rx, ry, rz]: readonly number[],
  height: number,
): number[] {
  return [x, y, z, 1 / rx, 1 / ry, 1 / rz, height];
}
