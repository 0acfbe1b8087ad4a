/**
 * Colours of skin, eyes, hair, rims and clothes where a ray meets them, before any light. Head axes, centimetres.
 * @module
 */
import { type Colour, smoothStep } from "./draws.ts";
import type { Eyes } from "./eyes.ts";
import { noise3 } from "./noise.ts";
import type { Subject } from "./subject.ts";

/** A colour that is changed in place, and how much it shines. */
export interface Paint {
  red: number;
  green: number;
  blue: number;
  gloss: number;
}

/** Skin with lips, eyebrows, lashes, nostrils and beard at (x, y, z). */
export function paintSkin(
  subject: Subject,
  eyes: Eyes,
  x: number,
  y: number,
  z: number,
  paint: Paint,
): void {
  const mottled = 0.9 + 0.2 * noise3(0.9 * x, 0.9 * y, 0.9 * z, 3);
  set(paint, subject.skin, mottled);
  paint.gloss = 0.07;
  if (z > -1) return;
  const ax = Math.abs(x);
  const cheek = patch(ax - 4.3, y + 3, 2.6) + patch(x, y + 3.6, 1.6);
  paint.green *= 1 - 0.16 * cheek;
  paint.blue *= 1 - 0.16 * cheek;
  if (subject.beard > 0) paintBeard(subject, x, y, z, paint);
  paintMouth(subject, x, y, paint);
  paintNostrils(subject, ax, y, z, paint);
  paintBrow(subject, ax, y, z, paint);
  paintLids(subject, eyes, x, y, z, paint);
}

function paintBeard(subject: Subject, x: number, y: number, z: number, paint: Paint): void {
  const ax = Math.abs(x);
  const jaw = smoothStep(-3.2, -5.2, y + 0.12 * (6 - ax)) * (1 - smoothStep(-1.5, 0.5, z));
  const upperLip = smoothStep(-4.1, -4.6, y) * (1 - smoothStep(2.2, 3.4, ax));
  const grain = 0.75 + 0.5 * noise3(1.7 * x, 1.7 * y, 1.7 * z, 17);
  blend(paint, subject.hairColour, subject.beard * grain * Math.max(jaw, upperLip) * 0.8);
}

/** Two lips that meet in a dark line, bent by the smile. */
function paintMouth(subject: Subject, x: number, y: number, paint: Paint): void {
  const share = x / subject.mouthWidth, q = share * share;
  if (q >= 1.15) return;
  const v = y - subject.mouthY - subject.smile * (q - 0.4);
  const bow = Math.max(0, 1 - q);
  const upper = subject.lips * 0.62 * bow * (1 - 0.3 * Math.max(0, 1 - 14 * q));
  const lower = -subject.lips * 0.78 * bow;
  const inside = smoothStep(upper + 0.12, upper - 0.12, v) *
    smoothStep(lower - 0.12, lower + 0.12, v);
  blend(paint, subject.lipColour, 0.85 * inside * smoothStep(0, 0.08, bow));
  darken(paint, 0.72 * smoothStep(0.2, 0.02, Math.abs(v)) * smoothStep(1.15, 0.95, q));
}

function paintNostrils(subject: Subject, ax: number, y: number, z: number, paint: Paint): void {
  if (z > -subject.skull[2] + 0.4) return;
  const u = (ax - subject.noseWidth * 0.42) / 0.42, v = (y + 4.35) / 0.3;
  darken(paint, 0.7 * Math.max(0, 1 - u * u - v * v));
}

function paintBrow(subject: Subject, ax: number, y: number, z: number, paint: Paint): void {
  const u = ax - subject.eyeX;
  if (u < -2.3 || u > 2.6 || z > -3) return;
  const middle = subject.eyeY + subject.browY - 0.09 * (u - 0.5) * (u - 0.5) + 0.06 * u;
  const width = subject.browWidth * (1 - 0.16 * Math.max(0, u));
  const ends = smoothStep(-2.3, -1.7, u) * smoothStep(2.6, 1.8, u);
  blend(
    paint,
    subject.hairColour,
    0.85 * ends * smoothStep(width + 0.16, width - 0.12, Math.abs(y - middle)),
  );
}

/** The rims of the lids with their lashes, and the crease above. */
function paintLids(
  subject: Subject,
  eyes: Eyes,
  x: number,
  y: number,
  z: number,
  paint: Paint,
): void {
  const side = x < 0 ? -1 : 1;
  const u = eyes.u(side, x, z), over = Math.abs(u) - eyes.width;
  if (over > 0.7 || eyes.depth(side, x, z) < 0) return;
  const v = y - eyes.centre[1];
  if (v > 2.2 || v < -1.8) return;
  const shade = smoothStep(0.7, -0.3, over);
  darken(paint, 0.22 * shade * smoothStep(2.2, 1, v) * smoothStep(-1.8, -0.8, v));
  const edge = smoothStep(0.25, -0.05, over);
  const above = v - eyes.upper(u), below = eyes.lower(u) - v;
  if (above > -0.05) {
    blend(paint, LASH, 0.9 * edge * smoothStep(0.24, 0.08, above));
    darken(paint, 0.3 * edge * smoothStep(0.18, 0.02, Math.abs(v - crease(subject, eyes, u))));
  }
  if (below > -0.05) darken(paint, 0.35 * edge * smoothStep(0.2, 0.04, below));
}

const LASH: Colour = [0.012, 0.01, 0.01];

/** Height of the fold above the upper lid. */
function crease(subject: Subject, eyes: Eyes, u: number): number {
  const share = u / eyes.width;
  return subject.openingUp * (1 - 0.8 * share * share) + 0.42 + eyes.slant * u;
}

/** White, iris or pupil where the eyeball's surface has the unit normal (nx, ny, nz); returns which. */
export function paintEye(
  subject: Subject,
  eyes: Eyes,
  side: number,
  nx: number,
  ny: number,
  nz: number,
  paint: Paint,
): "sclera" | "iris" | "pupil" {
  const { radius, gaze } = eyes;
  const along = nx * gaze[0] + ny * gaze[1] + nz * gaze[2];
  const off = along > 0 ? radius * Math.sqrt(Math.max(0, 1 - along * along)) : radius;
  const part = off < subject.pupil ? "pupil" : off < subject.iris ? "iris" : "sclera";
  if (part === "pupil") set(paint, [0.004, 0.004, 0.005], 1);
  else if (part === "iris") {
    const inner = smoothStep(subject.pupil, subject.iris, off);
    set(
      paint,
      subject.irisColour,
      (1.15 - 0.3 * inner) * (1 - 0.75 * smoothStep(0.82, 1, off / subject.iris)),
    );
  } else set(paint, [0.72, 0.69, 0.66], 1);
  const u = eyes.u(side, side * eyes.centre[0] + radius * nx, eyes.centre[2] + radius * nz);
  const v = radius * ny;
  const underLid = smoothStep(0.45, -0.05, eyes.upper(u) - v);
  darken(paint, 0.55 * underLid + 0.25 * smoothStep(0.6, 1, Math.abs(u) / eyes.width));
  paint.gloss = part === "sclera" ? 0.12 : 0.55;
  return part;
}

/** Hair with strands lighter and darker by `strands`. */
export function paintHair(subject: Subject, strands: number, paint: Paint): void {
  set(paint, subject.hairColour, strands);
  paint.gloss = 0.05;
}

/** The rims of glasses. */
export function paintRim(subject: Subject, paint: Paint): void {
  set(paint, subject.glasses ?? [0, 0, 0], 1);
  paint.gloss = 0.1;
}

/** Cloth with folds. */
export function paintClothes(
  subject: Subject,
  x: number,
  y: number,
  z: number,
  paint: Paint,
): void {
  set(paint, subject.clothes, 0.75 + 0.5 * noise3(0.25 * x, 0.12 * y, 0.25 * z, 23));
  paint.gloss = 0;
}

/** 1 in the middle of a round patch, 0 outside. */
function patch(dx: number, dy: number, reach: number): number {
  const rest = 1 - (dx * dx + dy * dy) / (reach * reach);
  return rest > 0 ? rest * rest : 0;
}

function set(paint: Paint, [red, green, blue]: Colour, amount: number): void {
  paint.red = red * amount;
  paint.green = green * amount;
  paint.blue = blue * amount;
}

function blend(paint: Paint, [red, green, blue]: Colour, amount: number): void {
  paint.red += (red - paint.red) * amount;
  paint.green += (green - paint.green) * amount;
  paint.blue += (blue - paint.blue) * amount;
}

function darken(paint: Paint, amount: number): void {
  const left = 1 - amount;
  paint.red *= left;
  paint.green *= left;
  paint.blue *= left;
}
