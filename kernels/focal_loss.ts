/**
 * Sigmoid focal loss (arXiv:1708.02002, eq. 5), forward and backward: cross-entropy that counts easy cases less.
 *
 * Math    For a logit x with p = sigmoid(x), and a target that is 1 or 0:
 *           l = -a (1 - p)^g log p           dl/dx = a (1 - p)^g (g p log p - (1 - p))              target 1
 *           l = -(1 - a) p^g log(1 - p)      dl/dx = (1 - a) p^g (p - g (1 - p) log(1 - p))         target 0
 *         -log p = softplus(-x) and -log(1 - p) = softplus(x) = max(x, 0) + log(1 + e^-|x|), which neither overflows nor
 *         loses the digits of small losses: log(1 + e) = 2 artanh(e / (2 + e)) is summed as a series, as WGSL's log is only
 *         good to 2^-21 near 1.
 * Shapes  pred [N, C] logits, dPred likewise. Targets either as labels [N] (u32 or i32), where c < C says that class c is 1
 *         and the others 0, and C that all are 0 (background), or as flags [N, C] (f32): 1 above 1/2, else 0. A row of the
 *         sum is one logit. Weights: [N], [N, C] or none.
 * Work    As row_loss.ts says.
 * Memory  As row_loss.ts says: 8 bytes a logit.
 * @module
 */
import type { Kernel, Values } from "./kernel.ts";
import { defineRowLoss, type RowLoss, rowLossReference, type RowLossShape } from "./row_loss.ts";
import { sigmoidFunction } from "./activations.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes and options of a focal loss. */
export interface FocalLossShape extends RowLossShape {
  /** C: columns of the logits; rows are logits, N C of them. */
  readonly classes: number;
  /** a above: the share of the targets that are 1. */
  readonly alpha: number;
  /** g above, 0 or more. */
  readonly gamma: number;
  /** How the targets are given. */
  readonly targets: "labels" | "flags";
}

const FUNCTIONS = wgsl`
${sigmoidFunction("f32")}
// log(1 + e^x)
fn softplus(x: f32) -> f32 {
  let e = exp(-min(abs(x), 87.0));
  let s = e / (2.0 + e); // at most 1/3: the next term of the series is below 2e-7
  let u = s * s;
  let series = 1.0 + u * (1.0 / 3.0 + u * (0.2 + u * (1.0 / 7.0 + u * (1.0 / 9.0 + u * (1.0 / 11.0)))));
  return max(x, 0.0) + 2.0 * s * series;
}
// v^gamma; exactly for the usual 2
fn power(v: f32) -> f32 {
  return select(pow(v, params.gamma), v * v, params.gamma == 2.0);
}`;

function lossOf(targets: "labels" | "flags"): RowLoss<FocalLossShape> {
  const shared = wgsl`
${FUNCTIONS}
fn is_target(r: u32) -> bool {
  #if ${targets === "labels"}
  return r % params.classes == targets[r / params.classes];
  #else
  return targets[r] > 0.5;
  #endif
}`;
  return defineRowLoss({
    name: targets === "labels" ? "focal_loss" : "focal_loss.flags",
    params: { classes: "u32", alpha: "f32", gamma: "f32" },
    bindings: { pred: "read f32", targets: targets === "labels" ? "read u32" : "read f32" },
    type: "f32",
    value: wgsl`
${shared}
fn loss_of(r: u32) -> f32 {
  let x = pred[r];
  if (is_target(r)) { return params.alpha * power(sigmoid(-x)) * softplus(-x); }
  return (1.0 - params.alpha) * power(sigmoid(x)) * softplus(x);
}`,
    gradient: wgsl`
${shared}
fn gradient_of(r: u32) -> f32 {
  let x = pred[r];
  let p = sigmoid(x);
  let other = sigmoid(-x); // 1 - p would lose its digits
  if (is_target(r)) {
    return -params.alpha * power(other) * (params.gamma * p * softplus(-x) + other);
  }
  return (1.0 - params.alpha) * power(p) * (params.gamma * other * softplus(x) + p);
}`,
    values: ({ classes, alpha, gamma }) => ({ classes, alpha, gamma }),
    sizes: ({ rows, classes }) => ({
      pred: rows,
      targets: targets === "labels" ? rows / classes : rows,
      dPred: rows,
    }),
    flops: 30,
    reference: focalLossReference,
  });
}

const LOSSES = { labels: lossOf("labels"), flags: lossOf("flags") };

/** The loss. Bindings: pred, targets, weight, divisor (where there are any), loss. */
export function focalLoss(shape: FocalLossShape): Kernel {
  return LOSSES[shape.targets].forward(shape);
}

/** Its gradient. Bindings: pred, targets, weight, divisor (where there are any), dOut, dPred. */
export function focalLossBackward(shape: FocalLossShape): Kernel {
  return LOSSES[shape.targets].backward(shape);
}

/** The plain loop of both. */
export function focalLossReference(
  shape: FocalLossShape,
  { pred, targets, ...given }: Values,
): { loss: number; dPred: Float64Array } {
  const { classes, alpha, gamma } = shape;
  const one = (r: number) =>
    shape.targets === "flags" ? targets[r] > 0.5 : r % classes === targets[Math.floor(r / classes)];
  const p = (r: number) => 1 / (1 + Math.exp(-pred[r]));
  const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const { loss, scales } = rowLossReference(
    shape,
    (r) =>
      one(r)
        ? alpha * (1 - p(r)) ** gamma * softplus(-pred[r])
        : (1 - alpha) * p(r) ** gamma * softplus(pred[r]),
    given,
  );
  const dPred = scales.map((scale, r) =>
    scale *
    (one(r)
      ? alpha * (1 - p(r)) ** gamma * (-gamma * p(r) * softplus(-pred[r]) - (1 - p(r)))
      : (1 - alpha) * p(r) ** gamma * (p(r) + gamma * (1 - p(r)) * softplus(pred[r])))
  );
  return { loss, dPred };
}
