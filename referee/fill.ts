/**
 * The deterministic fill of full-size golden models: 265 million weights from their names alone, so that no file has to
 * hold them.
 *
 *     seed = FNV-1a(name)                 x_i = mix(seed + i * 0x9E3779B9)            (unsigned 32-bit integers)
 *     u_i = x_i / 2^32,  s_i = 2 u_i - 1  value_i = round to f32 of a rule in u or s  (float64, rounded once)
 *
 * The integer part is exact everywhere and the rest is correctly rounded float64, so every machine gets the same bits.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";

/** Added to the hash for each element: 2^32 divided by the golden ratio. */
const STRIDE = 0x9e3779b9;

/** The initial boxes of MCGaze's three queries (face, eyes, head) as cx, cy, w, h. */
const PROPOSAL_BOXES = [0.5, 0.45, 0.35, 0.4, 0.5, 0.38, 0.45, 0.15, 0.48, 0.5, 0.8, 0.85];

/** The 32-bit FNV-1a hash of a name's UTF-8 bytes. */
export function fillSeed(name: string): number {
  let h = 2166136261;
  for (const byte of new TextEncoder().encode(name)) h = Math.imul(h ^ byte, 16777619);
  return h >>> 0;
}

/** Scrambles a 32-bit integer so that neighbours share no pattern (a bijection, by Wellons' search). */
export function fillMix(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x7feb352d);
  x ^= x >>> 15;
  x = Math.imul(x, 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** A value as an affine map of s = 2 u - 1 (`scale * s * gain`) or of u (`offset + scale * u`). */
type Rule =
  | { readonly of: "s"; readonly scale: number; readonly gain: number }
  | { readonly of: "u" | "1+s"; readonly offset: number; readonly scale: number }
  | { readonly of: "boxes" };

const signed = (scale: number, gain = 1): Rule => ({ of: "s", scale, gain });

/** The rule for a parameter: the first that applies, in the order of the golden folder's README. */
function ruleOf(name: string, shape: readonly number[]): Rule {
  const last = name.slice(name.lastIndexOf(".") + 1);
  if (name.startsWith("input.")) return signed(Math.sqrt(3));
  if (name.endsWith("running_var")) return { of: "u", offset: 1, scale: 0.5 };
  if (name.endsWith("running_mean")) return signed(0.1);
  if (shape.length === 0) return { of: "u", offset: 0.05, scale: 0.05 };
  if (last === "pos_embed" || last === "cls_token") return signed(0.5);
  if (name.endsWith("init_proposal_bboxes.weight")) return { of: "boxes" };
  if (name.endsWith("init_proposal_features.weight")) return signed(Math.sqrt(3));
  if (last === "bias" || last === "in_proj_bias") return signed(0.05);
  if (shape.length === 1) {
    return last === "weight" ? { of: "1+s", offset: 1, scale: 0.1 } : signed(0.05);
  }
  const product = shape.slice(1).reduce((a, b) => a * b, 1);
  const fanIn = shape.length === 3 && name.includes("experts.") ? shape[2] : product;
  const backboneConv = shape.length === 4 && name.startsWith("backbone.");
  const gain = backboneConv ? 1.15 : name.endsWith("_fc_reg.weight") ? 0.2 : 1;
  return signed(Math.sqrt(3 / fanIn), gain);
}

/**
 * The values of a parameter or input of a full-size golden model.
 * @param name its name in the state dict, or `input.NAME`; decides seed and rule
 * @param shape its shape; takes part in the rule and gives the count
 * @throws {ShapeError} when `init_proposal_bboxes.weight` is not [3, 4]: its base values are a table
 */
export function deterministicFill(name: string, shape: readonly number[]): Float32Array {
  const count = shape.reduce((a, b) => a * b, 1);
  const values = new Float32Array(count);
  const rule = ruleOf(name, shape);
  const seed = fillSeed(name);
  if (rule.of === "boxes" && count !== PROPOSAL_BOXES.length) {
    throw new ShapeError(`${name} has shape [${shape}], its fill is defined for [3, 4]`);
  }
  // One loop a rule: inside, everything is a number, which keeps 265 million values to a few seconds.
  let x = seed | 0;
  if (rule.of === "s") {
    const { scale, gain } = rule;
    for (let i = 0; i < count; i++, x = (x + STRIDE) | 0) {
      values[i] = (2 * (fillMix(x) / 4294967296) - 1) * scale * gain;
    }
  } else if (rule.of === "boxes") {
    for (let i = 0; i < count; i++, x = (x + STRIDE) | 0) {
      values[i] = PROPOSAL_BOXES[i] + 0.02 * (2 * (fillMix(x) / 4294967296) - 1);
    }
  } else {
    const { offset, scale } = rule;
    const [a, b] = rule.of === "u" ? [1, 0] : [2, 1];
    for (let i = 0; i < count; i++, x = (x + STRIDE) | 0) {
      values[i] = offset + scale * (a * (fillMix(x) / 4294967296) - b);
    }
  }
  return values;
}
