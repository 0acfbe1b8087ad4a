/**
 * Losses of gaze directions: the angle between two vectors, and unsteadiness over time; forward and backward.
 *
 * Math    Angle     With u and v the unit vectors of prediction p and target, and c = <u, v>,
 *                     l = arccos(clamp(c, -1 + d, 1 - d)),  dl/dp = -w / (|w| |p|),  w = v - c u;
 *                   w is the part of v across u, and |w| = sin l. Beyond the clamp the gradient is 0, so that it stays
 *                   finite where p and target are parallel (there the arccosine has no derivative).
 *                   In f32 c says little about a small angle: 1 - c is all rounding below 0.001. So the angle is made of
 *                   the chord, l = 2 arcsin(|u - v| / 2), or pi - 2 arcsin(|u + v| / 2) beyond a right angle, and the
 *                   clamp compares its square, 1 - c = |u - v|^2 / 2, with d.
 *         Change    With frames t = 0 ... T - 1 of a clip and components k,
 *                     l(t) = sum over k of |2 p[t] - p[t-1] - p[t+1]|, where the frame before the first is the second, and
 *                   the one behind the last is the last but one. With e the signs of these second differences,
 *                     dl/dp[t] = 2 e[t] - m e[t-1] - n e[t+1], where m is 2 if t - 1 is the first frame, else 1, and n
 *                   is 2 if t + 1 is the last, as those two count their one neighbour twice.
 * Shapes  p, target, dp [rows, 3]; of the change, rows are B clips of T >= 2 frames, one after the other.
 * Work    As row_loss.ts says. The gradient of a frame gathers the three differences that it takes part in.
 * Memory  As row_loss.ts says: 24 bytes a row.
 * arcsin  is s P(s^2) on |s| <= sqrt(1/2), with a polynomial of degree 7 fitted here in float64 to the smallest largest
 *         error (1.5e-8); WGSL's own acos may be off by 6.8e-5.
 * @module
 */
import type { Kernel, Values } from "./kernel.ts";
import { defineRowLoss, type RowLoss, rowLossReference, type RowLossShape } from "./row_loss.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes and options of an angle's loss. */
export interface AngleLossShape extends RowLossShape {
  /** d above. */
  readonly clamp: number;
}

/** Sizes and options of a loss of change, in which all frames count alike. */
export interface ChangeLossShape extends Omit<RowLossShape, "per"> {
  /** T: frames of a clip; rows are a multiple of it. */
  readonly frames: number;
}

const ARCSIN = [
  0.999999985,
  0.166670204,
  0.0748597334,
  0.0467416358,
  0.0152228472,
  0.0800102326,
  -0.0966452347,
  0.113449907,
];

const DIRECTIONS = wgsl`
fn vector_of(r: u32) -> vec3f { return vec3f(pred[3u * r], pred[3u * r + 1u], pred[3u * r + 2u]); }
fn goal_of(r: u32) -> vec3f {
  return normalize(vec3f(goal[3u * r], goal[3u * r + 1u], goal[3u * r + 2u]));
}
// A vector of no length has no direction; it counts as across every target.
fn direction_of(p: vec3f) -> vec3f {
  let squared = dot(p, p);
  return select(vec3f(0.0), p / sqrt(max(squared, 1e-30)), squared > 0.0);
}`;

const ANGLE: RowLoss<AngleLossShape> = defineRowLoss({
  name: "angle_loss",
  params: { clamp: "f32" },
  bindings: { pred: "read f32", goal: "read f32" },
  type: "vec3f",
  value: wgsl`
${DIRECTIONS}
fn arcsin(s: f32) -> f32 {
  let u = s * s;
  return s * (${ARCSIN.map(String).reduceRight((rest, c) => `${c} + u * (${rest})`)});
}
fn loss_of(r: u32) -> f32 {
  let u = direction_of(vector_of(r));
  let v = goal_of(r);
  let least = sqrt(0.5 * params.clamp); // of half a chord
  let behind = dot(u, v) < 0.0;
  let half = 0.5 * length(select(u - v, u + v, behind));
  // a vector of no length: half a chord would be 1/2, a right angle has sqrt(1/2)
  let angle = 2.0 * arcsin(clamp(select(half, ${Math.SQRT1_2}, all(u == vec3f(0.0))), least, ${Math.SQRT1_2}));
  return select(angle, ${Math.PI} - angle, behind);
}`,
  gradient: wgsl`
${DIRECTIONS}
fn gradient_of(r: u32) -> vec3f {
  let p = vector_of(r);
  let u = direction_of(p);
  let v = goal_of(r);
  let across = v - dot(u, v) * u;
  let near = 0.5 * min(dot(u - v, u - v), dot(u + v, u + v)); // 1 - |c|
  let inside = near > params.clamp && any(u != vec3f(0.0));
  return select(vec3f(0.0), -across / (length(across) * length(p)), inside);
}`,
  values: ({ clamp }) => ({ clamp }),
  sizes: ({ rows }) => ({ pred: 3 * rows, goal: 3 * rows, dPred: 3 * rows }),
  flops: 60,
  reference: angleLossReference,
});

const CHANGES = wgsl`
fn vector_of(r: u32) -> vec3f { return vec3f(pred[3u * r], pred[3u * r + 1u], pred[3u * r + 2u]); }
// The second difference at frame t of the clip whose frames begin at row "first".
fn change_of(first: u32, t: u32) -> vec3f {
  let before = select(t - 1u, 1u, t == 0u);
  let behind = select(t + 1u, params.frames - 2u, t + 1u == params.frames);
  return 2.0 * vector_of(first + t) - vector_of(first + before) - vector_of(first + behind);
}`;

const CHANGE: RowLoss<ChangeLossShape & RowLossShape> = defineRowLoss<
  ChangeLossShape & RowLossShape
>({
  name: "change_loss",
  params: { frames: "u32" },
  bindings: { pred: "read f32" },
  type: "vec3f",
  value: wgsl`
${CHANGES}
fn loss_of(r: u32) -> f32 {
  let t = r % params.frames;
  let change = abs(change_of(r - t, t));
  return change.x + change.y + change.z;
}`,
  gradient: wgsl`
${CHANGES}
fn gradient_of(r: u32) -> vec3f {
  let t = r % params.frames;
  let first = r - t;
  let last = params.frames - 1u;
  var d = 2.0 * sign(change_of(first, t));
  if (t > 0u) { d -= select(1.0, 2.0, t == 1u) * sign(change_of(first, t - 1u)); }
  if (t < last) { d -= select(1.0, 2.0, t + 1u == last) * sign(change_of(first, t + 1u)); }
  return d;
}`,
  values: ({ frames }) => ({ frames }),
  sizes: ({ rows }) => ({ pred: 3 * rows, dPred: 3 * rows }),
  flops: 15,
  reference: changeLossReference,
});

/** The angle's loss. Bindings: pred, goal, weight, divisor (where there are any), loss. */
export function angleLoss(shape: AngleLossShape): Kernel {
  return ANGLE.forward(shape);
}

/** Its gradient. Bindings: pred, goal, weight, divisor (where there are any), dOut, dPred. */
export function angleLossBackward(shape: AngleLossShape): Kernel {
  return ANGLE.backward(shape);
}

/** The loss of change. Bindings: pred, divisor (where it is a tensor), loss. */
export function changeLoss(shape: ChangeLossShape): Kernel {
  return CHANGE.forward({ ...shape, per: 0 });
}

/** Its gradient. Bindings: pred, divisor (where it is a tensor), dOut, dPred. */
export function changeLossBackward(shape: ChangeLossShape): Kernel {
  return CHANGE.backward({ ...shape, per: 0 });
}

const row = (values: ArrayLike<number>, r: number) => [0, 1, 2].map((k) => values[3 * r + k]);
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((s, x, k) => s + x * b[k], 0);

/** The plain loop of the angle's loss and its gradient. */
export function angleLossReference(
  shape: AngleLossShape,
  { pred, goal, ...given }: Values,
): { loss: number; dPred: Float64Array } {
  const bound = 1 - shape.clamp;
  const of = (r: number) => {
    const p = row(pred, r), t = row(goal, r);
    const norm = Math.sqrt(dot(p, p)), v = t.map((x) => x / Math.sqrt(dot(t, t)));
    const u = norm > 0 ? p.map((x) => x / norm) : [0, 0, 0];
    return { norm, u, v, c: dot(u, v) };
  };
  const { loss, scales } = rowLossReference(
    shape,
    (r) => Math.acos(Math.max(-bound, Math.min(bound, of(r).c))),
    given,
  );
  const dPred = new Float64Array(3 * shape.rows);
  scales.forEach((scale, r) => {
    const { norm, u, v, c } = of(r);
    if (scale === 0 || Math.abs(c) >= bound || norm === 0) return;
    v.forEach((x, k) => dPred[3 * r + k] = -scale * (x - c * u[k]) / Math.sqrt(1 - c * c) / norm);
  });
  return { loss, dPred };
}

/** The plain loop of the loss of change and its gradient. */
export function changeLossReference(
  shape: ChangeLossShape,
  { pred, ...given }: Values,
): { loss: number; dPred: Float64Array } {
  const { frames, rows } = shape;
  // (row, factor) of the three terms of a second difference
  const terms = (r: number): [number, number][] => {
    const t = r % frames, first = r - t;
    const before = t === 0 ? 1 : t - 1, behind = t === frames - 1 ? frames - 2 : t + 1;
    return [[r, 2], [first + before, -1], [first + behind, -1]];
  };
  const change = (r: number, k: number) =>
    terms(r).reduce((sum, [from, factor]) => sum + factor * pred[3 * from + k], 0);
  const { loss, scales } = rowLossReference(
    { ...shape, per: 0 },
    (r) => [0, 1, 2].reduce((sum, k) => sum + Math.abs(change(r, k)), 0),
    given,
  );
  const dPred = new Float64Array(3 * rows);
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < 3; k++) {
      const e = scales[r] * Math.sign(change(r, k));
      for (const [from, factor] of terms(r)) dPred[3 * from + k] += e * factor;
    }
  }
  return { loss, dPred };
}
