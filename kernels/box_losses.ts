/**
 * Losses of boxes: absolute differences, and generalised intersection over union (arXiv:1902.09630); forward and backward.
 *
 * Math    L1    l = |pred - target| for every number; dl/dpred is its sign, 0 at 0.
 *         GIoU  With I the area in which a box and its target overlap, U the area they cover together and E the area of
 *               the smallest box around both,
 *                 l = 1 - (I / U - (E - U) / E) = 2 - I / U - U / E,
 *               U and E being at least eps. Where boxes do not overlap I is 0 and its gradient too, but U / E still draws
 *               them together. With dI, dU, dE the derivatives of l by the areas,
 *                 dU = I / U^2 - 1 / E,  dE = U / E^2,  dI = -1 / U - dU  (as U = A + B - I),
 *               each side of the box gets its share from the area A of the box, from I where it bounds the overlap, and
 *               from E where it bounds the box around both. A side that equals the target's is half of each.
 * Shapes  L1: pred, target, dPred of any equal shape, a row is a number. GIoU: [N, 4] as x1, y1, x2, y2, a row is a box.
 * Work    As row_loss.ts says.
 * Memory  As row_loss.ts says: 8 bytes a number, 32 a box.
 * @module
 */
import type { Kernel, Values } from "./kernel.ts";
import { defineRowLoss, type RowLoss, rowLossReference, type RowLossShape } from "./row_loss.ts";
import { wgsl } from "./wgsl.ts";

const L1: RowLoss<RowLossShape> = defineRowLoss({
  name: "l1_loss",
  params: {},
  bindings: { pred: "read f32", goal: "read f32" },
  type: "f32",
  value: "fn loss_of(r: u32) -> f32 { return abs(pred[r] - goal[r]); }",
  gradient: "fn gradient_of(r: u32) -> f32 { return sign(pred[r] - goal[r]); }",
  values: () => ({}),
  sizes: ({ rows }) => ({ pred: rows, goal: rows, dPred: rows }),
  flops: 4,
  reference: l1LossReference,
});

/** Sizes and options of a GIoU loss. */
export interface GiouLossShape extends RowLossShape {
  /** The least area that is divided by. */
  readonly eps: number;
}

/** Areas of a box `p` and its target `g`. */
const AREAS = wgsl`
struct Areas {
  overlap: vec2f,  // width and height; below 0 where they do not overlap
  around: vec2f,   // of the box around both
  both: f32,       // U before it is bounded below
  whole: f32,      // E before it is bounded below
  joint: f32,      // I
}
fn areas_of(p: vec4f, g: vec4f) -> Areas {
  let overlap = min(p.zw, g.zw) - max(p.xy, g.xy);
  let around = max(p.zw, g.zw) - min(p.xy, g.xy);
  let inner = max(overlap, vec2f(0.0));
  let outer = max(around, vec2f(0.0));
  let joint = inner.x * inner.y;
  let both = (p.z - p.x) * (p.w - p.y) + (g.z - g.x) * (g.w - g.y) - joint;
  return Areas(overlap, around, both, outer.x * outer.y, joint);
}`;

const GIOU: RowLoss<GiouLossShape> = defineRowLoss({
  name: "giou_loss",
  params: { eps: "f32" },
  bindings: { pred: "read vec4<f32>", goal: "read vec4<f32>" },
  type: "vec4f",
  value: wgsl`
${AREAS}
fn loss_of(r: u32) -> f32 {
  let a = areas_of(pred[r], goal[r]);
  let both = max(a.both, params.eps);
  let whole = max(a.whole, params.eps);
  return 1.0 - a.joint / both + (whole - both) / whole; // 1 and the rest stay apart: a good box loses little
}`,
  gradient: wgsl`
${AREAS}
// How much of a change of a reaches max(a, b): all, nothing, or half where they are equal.
fn share(a: vec2f, b: vec2f) -> vec2f {
  return select(select(vec2f(0.0), vec2f(0.5), a == b), vec2f(1.0), a > b);
}
fn gradient_of(r: u32) -> vec4f {
  let p = pred[r];
  let g = goal[r];
  let a = areas_of(p, g);
  let both = max(a.both, params.eps);
  let whole = max(a.whole, params.eps);
  let d_both = share(vec2f(a.both), vec2f(params.eps)).x * (a.joint / (both * both) - 1.0 / whole);
  let d_whole = share(vec2f(a.whole), vec2f(params.eps)).x * both / (whole * whole);
  let d_joint = -1.0 / both - d_both;
  let inner = max(a.overlap, vec2f(0.0));
  let outer = max(a.around, vec2f(0.0));
  // by width and height of the overlap, of the box around both, and of the box itself
  let d_inner = select(vec2f(0.0), d_joint * inner.yx, a.overlap >= vec2f(0.0));
  let d_outer = select(vec2f(0.0), d_whole * outer.yx, a.around >= vec2f(0.0));
  let d_own = d_both * vec2f(p.w - p.y, p.z - p.x);
  let low = d_inner * share(p.xy, g.xy) + d_outer * share(g.xy, p.xy) + d_own;
  let high = d_inner * share(g.zw, p.zw) + d_outer * share(p.zw, g.zw) + d_own;
  return vec4f(-low, high);
}`,
  values: ({ eps }) => ({ eps }),
  sizes: ({ rows }) => ({ pred: 4 * rows, goal: 4 * rows, dPred: 4 * rows }),
  flops: 30,
  reference: giouLossReference,
});

/** The L1 loss. Bindings: pred, goal, weight, divisor (where there are any), loss. */
export function l1Loss(shape: RowLossShape): Kernel {
  return L1.forward(shape);
}

/** Its gradient. Bindings: pred, goal, weight, divisor (where there are any), dOut, dPred. */
export function l1LossBackward(shape: RowLossShape): Kernel {
  return L1.backward(shape);
}

/** The GIoU loss. Bindings: pred, goal, weight, divisor (where there are any), loss. */
export function giouLoss(shape: GiouLossShape): Kernel {
  return GIOU.forward(shape);
}

/** Its gradient. Bindings: pred, goal, weight, divisor (where there are any), dOut, dPred. */
export function giouLossBackward(shape: GiouLossShape): Kernel {
  return GIOU.backward(shape);
}

/** The plain loop of the L1 loss and its gradient. */
export function l1LossReference(
  shape: RowLossShape,
  { pred, goal, ...given }: Values,
): { loss: number; dPred: Float64Array } {
  const off = (r: number) => pred[r] - goal[r];
  const { loss, scales } = rowLossReference(shape, (r) => Math.abs(off(r)), given);
  return { loss, dPred: scales.map((scale, r) => scale === 0 ? 0 : scale * Math.sign(off(r))) };
}

/** The plain loop of the GIoU loss and its gradient, side by side of each box. */
export function giouLossReference(
  shape: GiouLossShape,
  { pred, goal, ...given }: Values,
): { loss: number; dPred: Float64Array } {
  const corners = (of: ArrayLike<number>, r: number) => [0, 1, 2, 3].map((k) => of[4 * r + k]);
  const sides = (low: number[], high: number[]) => [high[0] - low[0], high[1] - low[1]];
  const area = ([width, height]: number[]) => width * height;
  const positive = (size: number[]) => size.map((s) => Math.max(s, 0));
  const areas = (r: number) => {
    const p = corners(pred, r), g = corners(goal, r);
    const overlap = sides(
      [Math.max(p[0], g[0]), Math.max(p[1], g[1])],
      [Math.min(p[2], g[2]), Math.min(p[3], g[3])],
    );
    const around = sides(
      [Math.min(p[0], g[0]), Math.min(p[1], g[1])],
      [Math.max(p[2], g[2]), Math.max(p[3], g[3])],
    );
    const own = sides(p, p.slice(2)), joint = area(positive(overlap));
    const both = area(own) + area(sides(g, g.slice(2))) - joint;
    return { p, g, overlap, around, own, joint, both, whole: area(positive(around)) };
  };
  const { loss, scales } = rowLossReference(shape, (r) => {
    const { joint, both, whole } = areas(r);
    const u = Math.max(both, shape.eps), e = Math.max(whole, shape.eps);
    return 1 - (joint / u - (e - u) / e);
  }, given);
  /** The share of max(a, b) that a has. */
  const share = (a: number, b: number) => a === b ? 0.5 : a > b ? 1 : 0;
  const dPred = new Float64Array(4 * shape.rows);
  scales.forEach((scale, r) => {
    if (scale === 0) return;
    const { p, g, overlap, around, own, joint, both, whole } = areas(r);
    const u = Math.max(both, shape.eps), e = Math.max(whole, shape.eps);
    const byBoth = share(both, shape.eps) * (joint / u ** 2 - 1 / e);
    const byWhole = share(whole, shape.eps) * u / e ** 2;
    const byJoint = -1 / u - byBoth;
    for (let side = 0; side < 4; side++) {
      const axis = side % 2, other = 1 - axis, high = side > 1, sign = high ? 1 : -1;
      const inner = high ? share(g[side], p[side]) : share(p[side], g[side]);
      const outer = 1 - inner; // whichever side does not bound the overlap bounds the box around both
      let d = byBoth * own[other];
      if (overlap[axis] >= 0) d += byJoint * inner * Math.max(overlap[other], 0);
      if (around[axis] >= 0) d += byWhole * outer * Math.max(around[other], 0);
      dPred[4 * r + side] = scale * sign * d;
    }
  });
  return { loss, dPred };
}
