/**
 * Who is in the picture: shape of the head, skin, hair, eyes, glasses. A subject is a function of its number alone.
 *
 * Head axes: origin midway between the ears, x to the head's right (left of the picture when it faces the camera), y up,
 * z to the back of the head; the face looks along -z. Centimetres.
 * @module
 */
import { Rng } from "../../random.ts";
import { between, chance, type Colour, fromPalette, pick, vary } from "./draws.ts";

/** How the hair is worn. */
export type HairStyle = "short" | "long" | "fringe" | "receding" | "none";

/** What stays the same in all clips of a person. */
export interface Subject {
  /** Half-axes of the skull. */
  readonly skull: readonly [x: number, y: number, z: number];
  /** How much narrower the head is at the chin, as a share of its width. */
  readonly taper: number;
  /** How far the nose, brow, cheekbones and chin stand out. */
  readonly nose: number;
  readonly brow: number;
  readonly cheek: number;
  readonly chin: number;
  /** Half the width of the nose. */
  readonly noseWidth: number;
  /** From the middle of the face to the middle of an eyeball, and its height. */
  readonly eyeX: number;
  readonly eyeY: number;
  /** Radius of the eyeball, of the iris' rim on it, and of the pupil. */
  readonly eyeball: number;
  readonly iris: number;
  readonly pupil: number;
  /** Half the width of the lids' opening; how far it opens up and down. */
  readonly openingWidth: number;
  readonly openingUp: number;
  readonly openingDown: number;
  /** How much higher the outer corner of an eye is than the inner one, per centimetre. */
  readonly slant: number;
  /** Height of the mouth, half its width, fullness of the lips, and by how much its corners rise. */
  readonly mouthY: number;
  readonly mouthWidth: number;
  readonly lips: number;
  readonly smile: number;
  /** Height and thickness of the eyebrows over the eyes. */
  readonly browY: number;
  readonly browWidth: number;
  readonly skin: Colour;
  readonly lipColour: Colour;
  readonly irisColour: Colour;
  readonly hairColour: Colour;
  readonly hair: HairStyle;
  /** Thickness of the hair. */
  readonly hairDepth: number;
  /** Strength of stubble or beard, 0 for none. */
  readonly beard: number;
  /** Colour of the rims, where glasses are worn. */
  readonly glasses: Colour | undefined;
  readonly clothes: Colour;
}

const SKIN: readonly Colour[] = [
  [0.82, 0.56, 0.44],
  [0.72, 0.44, 0.31],
  [0.55, 0.31, 0.19],
  [0.36, 0.19, 0.11],
  [0.19, 0.095, 0.055],
];
const IRIS: readonly Colour[] = [
  [0.06, 0.03, 0.015],
  [0.13, 0.06, 0.025],
  [0.16, 0.11, 0.04],
  [0.1, 0.15, 0.07],
  [0.1, 0.19, 0.24],
  [0.11, 0.2, 0.38],
  [0.2, 0.24, 0.28],
];
const HAIR: readonly Colour[] = [
  [0.012, 0.01, 0.01],
  [0.03, 0.018, 0.012],
  [0.09, 0.045, 0.022],
  [0.22, 0.07, 0.025],
  [0.42, 0.27, 0.11],
  [0.4, 0.38, 0.36],
];
const CLOTHES: readonly Colour[] = [
  [0.03, 0.04, 0.08],
  [0.5, 0.08, 0.06],
  [0.1, 0.25, 0.12],
  [0.6, 0.58, 0.55],
  [0.09, 0.18, 0.42],
  [0.55, 0.42, 0.12],
  [0.3, 0.1, 0.3],
];
const RIMS: readonly Colour[] = [[0.01, 0.01, 0.012], [0.12, 0.05, 0.02], [0.3, 0.3, 0.32]];
const STYLES: readonly HairStyle[] = [
  "short",
  "short",
  "long",
  "long",
  "fringe",
  "receding",
  "none",
];

/** Subject `number`, always the same one. */
export function drawSubject(number: number): Subject {
  const rng = new Rng(0, "gaze/subject").cell(number);
  const width = between(rng, [0.93, 1.07]), height = between(rng, [0.94, 1.06]);
  const skin = vary(rng, fromPalette(rng, SKIN), 0.08);
  const hair = pick(rng, STYLES);
  const shorn = hair === "short" || hair === "receding" || hair === "none";
  return {
    skull: [7.2 * width, 11.2 * height, 9.2 * between(rng, [0.96, 1.05])],
    taper: between(rng, [0.12, 0.24]),
    nose: between(rng, [2.6, 3.8]),
    brow: between(rng, [0.1, 0.6]),
    cheek: between(rng, [0.2, 0.8]),
    chin: between(rng, [0.6, 1.5]),
    noseWidth: between(rng, [1.4, 2.1]),
    eyeX: between(rng, [3.05, 3.5]) * width,
    eyeY: between(rng, [0, 0.6]),
    eyeball: between(rng, [1.55, 1.7]),
    iris: between(rng, [0.8, 0.92]),
    pupil: between(rng, [0.28, 0.48]),
    openingWidth: between(rng, [1.45, 1.58]),
    openingUp: between(rng, [0.64, 0.86]),
    openingDown: between(rng, [0.54, 0.68]),
    slant: between(rng, [-0.03, 0.12]),
    mouthY: between(rng, [-5.9, -5.2]),
    mouthWidth: between(rng, [2, 2.8]),
    lips: between(rng, [0.5, 1.15]),
    smile: between(rng, [-0.15, 0.5]),
    browY: between(rng, [2, 2.5]),
    browWidth: between(rng, [0.25, 0.5]),
    skin,
    lipColour: [skin[0] * 0.85, skin[1] * between(rng, [0.45, 0.7]), skin[2] * 0.6],
    irisColour: vary(rng, fromPalette(rng, IRIS), 0.2),
    hairColour: vary(rng, fromPalette(rng, HAIR), 0.2),
    hair,
    hairDepth: between(rng, hair === "receding" ? [0.3, 0.6] : [0.6, 1.6]),
    beard: shorn && chance(rng, 0.45) ? between(rng, [0.2, 0.9]) : 0,
    glasses: chance(rng, 0.2) ? pick(rng, RIMS) : undefined,
    clothes: vary(rng, fromPalette(rng, CLOTHES), 0.3),
  };
}
