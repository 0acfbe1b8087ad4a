/**
 * What a ray from the camera meets first in a scene, and what it looks like there.
 *
 * Each thing is met in its own axes: the head (surface, eyes, hair, ears, glasses) in head axes, neck and shoulders in
 * the body's, a cover in its own. Ellipsoids and spheres are one quadratic each; the face's surface is walked to.
 * @module
 */
import { rotate, unrotate, type Vec3 } from "../vectors.ts";
import { type Colour, smoothStep } from "./draws.ts";
import { type Ellipsoid, enterEllipsoid, makeRay, type Ray } from "./ellipsoid.ts";
import type { Eyes } from "./eyes.ts";
import { enterGlasses } from "./glasses.ts";
import { type Paint, paintClothes, paintEye, paintHair, paintRim, paintSkin } from "./paint.ts";
import type { Scene } from "./scene.ts";

/** What a ray may meet. */
export type Part =
  | "backdrop"
  | "skin"
  | "sclera"
  | "iris"
  | "pupil"
  | "hair"
  | "ear"
  | "glasses"
  | "neck"
  | "clothes"
  | "cover";

/** The parts that a head's box is drawn around. */
export const HEAD_PARTS: ReadonlySet<Part> = new Set<Part>([
  "skin",
  "sclera",
  "iris",
  "pupil",
  "hair",
  "ear",
]);

/** Radius of a sphere about the head's origin that holds all of it. */
const HEAD_REACH = 21;
/** Casts rays into one scene. Not for two at a time: it keeps its scratch values. */
export class Caster {
  readonly #scene: Scene;
  readonly #eyes: Eyes;
  readonly #bound: Ellipsoid;
  readonly #torso: readonly [neck: Ellipsoid, shoulders: Ellipsoid];
  readonly #head: Frame;
  readonly #body: Frame;
  readonly #cover: Frame | undefined;
  readonly #normal = new Float64Array(3);
  readonly #paint: Paint = { red: 0, green: 0, blue: 0, gloss: 0 };

  /** A caster for a scene. */
  constructor(scene: Scene) {
    const { subject: { skull: [x, y, z] } } = scene.person;
    this.#scene = scene;
    this.#eyes = scene.eyes;
    this.#bound = { centre: [0, 0, -0.7], axes: [x + 1, y + 0.8, z + 2.2] };
    const root = rotate(scene.head, [0, -8.5, 2.6]);
    const nape: Vec3 = [
      root[0] + scene.headAt[0],
      root[1] + scene.headAt[1],
      root[2] + scene.headAt[2],
    ];
    this.#torso = [
      { centre: [0, -4, 0.4], axes: [0.8 * x, 12, 0.78 * x] },
      { centre: [0, -19.5, 1.5], axes: [20.5, 11.5, 9.5] },
    ];
    const { toLight } = scene.around;
    this.#head = makeFrame(scene.headAt, scene.head, toLight);
    this.#body = makeFrame(nape, scene.body, toLight);
    this.#cover = scene.cover && makeFrame(scene.cover.at, scene.cover.axes, toLight);
  }

  /** What is seen at (x, y), in frames; where that is not the backdrop, its radiance goes to `out`. */
  cast(x: number, y: number, out: Float64Array): Part {
    const { camera, cover } = this.#scene;
    const dx = (camera.cx - x) / camera.f, dy = (camera.cy - y) / camera.f;
    if (cover !== undefined && this.#cover !== undefined) {
      aim(this.#cover, dx, dy);
      const part = nearest(this.#cover.ray, cover.parts);
      if (part !== undefined) return this.#showEllipsoid(this.#cover, part, "cover", out);
    }
    aim(this.#head, dx, dy);
    const part = this.#castHead(out);
    if (part !== "backdrop") return part;
    aim(this.#body, dx, dy);
    const body = nearest(this.#body.ray, this.#torso);
    if (body === undefined) return "backdrop";
    const isNeck = body.ellipsoid === this.#torso[0];
    return this.#showEllipsoid(this.#body, body, isNeck ? "neck" : "clothes", out);
  }

  #castHead(out: Float64Array): Part {
    const frame = this.#head, { ray } = frame;
    const { surface, hair, ears } = this.#scene.person;
    if (!passesOrigin(ray, HEAD_REACH)) return "backdrop";
    let t = Infinity, part: Part = "backdrop";
    let met: Ellipsoid | undefined;
    for (let i = 0; i < hair.shells.length; i++) {
      const at = enterEllipsoid(ray, hair.shells[i]);
      if (
        at < t && hair.covers(i, ray.ox + at * ray.dx, ray.oy + at * ray.dy, ray.oz + at * ray.dz)
      ) {
        t = at;
        part = "hair";
        met = hair.shells[i];
      }
    }
    for (let i = 0; i < ears.length; i++) {
      const at = enterEllipsoid(ray, ears[i]);
      if (at < t) {
        t = at;
        part = "ear";
        met = ears[i];
      }
    }
    const start = enterEllipsoid(ray, this.#bound);
    if (start < t) {
      const at = surface.enter(ray, start, Math.min(t, start + HEAD_REACH));
      if (at < t) {
        t = at;
        part = "skin";
      }
    }
    if (this.#scene.person.subject.glasses !== undefined) {
      const at = enterGlasses(ray, this.#eyes);
      if (at < t) {
        t = at;
        part = "glasses";
      }
    }
    if (part === "backdrop") return part;
    const x = ray.ox + t * ray.dx, y = ray.oy + t * ray.dy, z = ray.oz + t * ray.dz;
    if (part === "skin") return this.#showFace(x, y, z, out);
    if (part === "glasses") {
      paintRim(this.#scene.person.subject, this.#paint);
      this.#shade(frame, 0, 0, -1, out);
      return part;
    }
    return this.#showEllipsoid(frame, { ellipsoid: met!, t }, part, out);
  }

  /** A point of the face: skin, or what is seen through the lids' opening. */
  #showFace(x: number, y: number, z: number, out: Float64Array): Part {
    const { person } = this.#scene;
    const side = x < 0 ? -1 : 1;
    if (z < 0 && this.#eyes.inOpening(side, x, y, z)) return this.#showEye(side, out);
    const normal = this.#normal;
    person.surface.normal(x, y, z, normal);
    paintSkin(person.subject, this.#eyes, x, y, z, this.#paint);
    this.#shade(this.#head, normal[0], normal[1], normal[2], out);
    return "skin";
  }

  #showEye(side: number, out: Float64Array): Part {
    const { ray } = this.#head;
    const eyes = this.#eyes, centre = eyes.centreOn(side), { radius } = eyes;
    const t = enterEllipsoid(ray, { centre, axes: [radius, radius, radius] });
    if (t === Infinity) { // between ball and lids: the corners of the eye
      const { skin } = this.#scene.person.subject;
      setPaint(this.#paint, [skin[0] * 0.45, skin[1] * 0.25, skin[2] * 0.25]);
      this.#shade(this.#head, 0, 0, -1, out);
      return "skin";
    }
    const x = ray.ox + t * ray.dx, y = ray.oy + t * ray.dy, z = ray.oz + t * ray.dz;
    const nx = (x - centre[0]) / radius,
      ny = (y - centre[1]) / radius,
      nz = (z - centre[2]) / radius;
    const part = paintEye(this.#scene.person.subject, eyes, side, nx, ny, nz, this.#paint);
    // The cornea bulges: its normal is that of a smaller sphere further out.
    const bulge = part === "sclera" ? 0 : 0.45, { gaze } = eyes;
    const bx = nx - bulge * gaze[0], by = ny - bulge * gaze[1], bz = nz - bulge * gaze[2];
    const length = Math.sqrt(bx * bx + by * by + bz * bz);
    this.#shade(this.#head, bx / length, by / length, bz / length, out);
    return part;
  }

  #showEllipsoid(frame: Frame, { ellipsoid, t }: Meeting, part: Part, out: Float64Array): Part {
    const { ray } = frame, { centre, axes } = ellipsoid;
    const x = ray.ox + t * ray.dx, y = ray.oy + t * ray.dy, z = ray.oz + t * ray.dz;
    const nx = (x - centre[0]) / (axes[0] * axes[0]);
    const ny = (y - centre[1]) / (axes[1] * axes[1]);
    const nz = (z - centre[2]) / (axes[2] * axes[2]);
    const length = Math.sqrt(nx * nx + ny * ny + nz * nz);
    const { subject, hair } = this.#scene.person;
    const paint = this.#paint;
    if (part === "hair") paintHair(subject, hair.strands(x, y, z), paint);
    else if (part === "clothes") paintClothes(subject, x, y, z, paint);
    else if (part === "cover") setPaint(paint, this.#scene.cover!.colour);
    else if (part === "neck") setPaint(paint, subject.skin, 0.7);
    else {setPaint(
        paint,
        subject.skin,
        earShade((y - centre[1]) / axes[1], (z - centre[2]) / axes[2]),
      );}
    this.#shade(frame, nx / length, ny / length, nz / length, out);
    return part;
  }

  /** Radiance of the painted point under the scene's lights; the normal is in the frame's axes. */
  #shade(frame: Frame, nx: number, ny: number, nz: number, out: Float64Array): void {
    const { light, sky, ground, fill } = this.#scene.around;
    const { red, green, blue, gloss } = this.#paint;
    const { ray, up } = frame;
    const lx = frame.light[0], ly = frame.light[1], lz = frame.light[2];
    const facing = nx * lx + ny * ly + nz * lz;
    const lit = Math.max(0, (facing + 0.12) / 1.12);
    const upward = 0.5 + 0.5 * (nx * up[0] + ny * up[1] + nz * up[2]);
    const length = Math.sqrt(ray.dx * ray.dx + ray.dy * ray.dy + ray.dz * ray.dz);
    const towards = -(nx * ray.dx + ny * ray.dy + nz * ray.dz) / length;
    const front = fill * Math.max(0, towards);
    let shine = 0;
    if (gloss > 0 && facing > 0) { // Blinn-Phong, to the 32nd power
      const hx = lx - ray.dx / length, hy = ly - ray.dy / length, hz = lz - ray.dz / length;
      const half = (nx * hx + ny * hy + nz * hz) / Math.sqrt(hx * hx + hy * hy + hz * hz);
      const h2 = half * half, h4 = h2 * h2, h8 = h4 * h4, h16 = h8 * h8;
      shine = gloss * h16 * h16;
    }
    for (let c = 0; c < 3; c++) {
      const around = light[c] * lit + ground[c] + (sky[c] - ground[c]) * upward + front;
      out[c] = (c === 0 ? red : c === 1 ? green : blue) * around + light[c] * shine;
    }
  }
}

/** Axes that rays are met in, with the lights turned into them. */
interface Frame {
  readonly axes: readonly [Vec3, Vec3, Vec3];
  readonly ray: Ray;
  readonly light: Vec3;
  readonly up: Vec3;
}

interface Meeting {
  readonly ellipsoid: Ellipsoid;
  readonly t: number;
}

/** Axes at a place; their ray starts at the camera. */
function makeFrame(at: Vec3, axes: readonly [Vec3, Vec3, Vec3], toLight: Vec3): Frame {
  const ray = makeRay();
  [ray.ox, ray.oy, ray.oz] = unrotate(axes, [-at[0], -at[1], -at[2]]);
  return { axes, ray, light: unrotate(axes, toLight), up: unrotate(axes, [0, 1, 0]) };
}

/** Points the frame's ray along (dx, dy, 1) of the camera. */
function aim({ axes, ray }: Frame, dx: number, dy: number): void {
  const x = axes[0], y = axes[1], z = axes[2];
  ray.dx = x[0] * dx + x[1] * dy + x[2];
  ray.dy = y[0] * dx + y[1] * dy + y[2];
  ray.dz = z[0] * dx + z[1] * dy + z[2];
}

/** Whether a ray comes within `reach` of its frame's origin. */
function passesOrigin({ ox, oy, oz, dx, dy, dz }: Ray, reach: number): boolean {
  const along = ox * dx + oy * dy + oz * dz;
  return ox * ox + oy * oy + oz * oz - along * along / (dx * dx + dy * dy + dz * dz) <
    reach * reach;
}

function nearest(ray: Ray, ellipsoids: readonly Ellipsoid[]): Meeting | undefined {
  let found: Meeting | undefined;
  for (const ellipsoid of ellipsoids) {
    const t = enterEllipsoid(ray, ellipsoid);
    if (t < (found?.t ?? Infinity)) found = { ellipsoid, t };
  }
  return found;
}

/** An ear is darker within its rim; coordinates reach from -1 to 1. */
function earShade(y: number, z: number): number {
  return 0.85 - 0.4 * smoothStep(0.6, 0.2, y * y + (z - 0.15) * (z - 0.15));
}

function setPaint(paint: Paint, [red, green, blue]: Colour, amount = 1): void {
  paint.red = red * amount;
  paint.green = green * amount;
  paint.blue = blue * amount;
  paint.gloss = 0;
}
