/**
 * The catalogue's calls of boxes and of losses over rows.
 * @module
 */
import { type BoxDecodeShape, convertBoxes, decodeBoxes, decodeBoxesBackward } from "../boxes.ts";
import {
  giouLoss,
  giouLossBackward,
  type GiouLossShape,
  l1Loss,
  l1LossBackward,
} from "../box_losses.ts";
import { focalLoss, focalLossBackward, type FocalLossShape } from "../focal_loss.ts";
import {
  angleLoss,
  angleLossBackward,
  type AngleLossShape,
  changeLoss,
  changeLossBackward,
  type ChangeLossShape,
} from "../gaze_losses.ts";
import type { RowLossShape } from "../row_loss.ts";
import { type CatalogueEntry, coarse, each, entry, pairs } from "./entry.ts";

const MANY = 2 ** 23 - 1;
const DECODES: BoxDecodeShape[] = [
  { count: 259, stds: [0.5, 0.4, 1, 2], maxRatio: 1.25 },
  { count: 300, stds: [1, 2, 0.5, 0.25], maxRatio: 4, clip: { height: 2, width: 1 } },
];

/** Two boxes lie on the bounds: one is the image and stays it, one grows just as much as it may. */
const decoded = (
  value: number,
  name: string,
  i: number,
  [{ stds, maxRatio, clip }]: readonly [BoxDecodeShape],
) => {
  if (i < 4 && clip !== undefined) {
    return name === "boxes" ? [0, 0, clip.width, clip.height][i] : name === "deltas" ? 0 : value;
  }
  return name === "deltas" && (i === 6 || i === 7) ? maxRatio / stds[i % 4] : value;
};

const boxes = [
  entry("boxes", decodeBoxes, {
    small: each(DECODES),
    input: decoded,
    huge: [[{ ...DECODES[0], count: MANY }]],
  }),
  entry("boxes", decodeBoxesBackward, {
    small: each(DECODES),
    input: decoded,
    huge: [[{ ...DECODES[0], count: MANY }]],
  }),
  entry("boxes", convertBoxes, {
    small: pairs(["xyxy", "cxcywh"] as const, [false, true]).map(([to, transposed]) =>
      [259, to, transposed] as const
    ),
    huge: [[MANY, "xyxy", false]],
  }),
];

/** As small as the epsilon that is added to it. */
const TINY = 2 ** -22;
/** One plain sum, and one with weights and a divisor on the GPU. */
const sums = (rows: number, per: number): RowLossShape[] => [
  { rows, per: 0, divisor: TINY, factor: 2 },
  { rows, per, divisor: "tensor", factor: 2 },
];
const bigSum: RowLossShape = { rows: 2 ** 23 - 1, per: 1, divisor: 1, factor: 1 };
/** Some weights are 0. */
const counted = (value: number, name: string) => {
  if (name === "divisor") return TINY;
  return name === "weight" ? Math.max(0, value) : value;
};

const FOCAL: FocalLossShape[] = [
  ...pairs(pairs(sums(262, 2), ["labels", "flags"] as const), [2, 1])
    .map(([[sum, targets], gamma]) => ({ ...sum, classes: 1, alpha: 0.25, gamma, targets })),
  ...[...sums(261, 3), ...sums(270, 1)]
    .map((sum) => ({ ...sum, classes: 3, alpha: 0.6, gamma: 1.5, targets: "labels" as const })),
];
const bigFocal: FocalLossShape = { ...bigSum, classes: 1, alpha: 0.5, gamma: 2, targets: "flags" };
/** Logits of either sign and up to 12, labels from 0 to the number of classes, and flags below, above and at 1/2. */
const logits = (
  value: number,
  name: string,
  _i: number,
  [{ classes, targets }]: readonly [FocalLossShape],
) => {
  if (name === "targets") return targets === "labels" ? value % (classes + 1) : coarse(value);
  return name === "pred" ? 8 * value : counted(value, name);
};

const focal = [
  entry("focal_loss", focalLoss, {
    small: each(FOCAL),
    huge: [[bigFocal]],
    input: logits,
  }),
  entry("focal_loss", focalLossBackward, {
    small: each(FOCAL),
    huge: [[bigFocal]],
    input: logits,
  }),
];

const L1 = [...sums(264, 4), ...sums(259, 1)];
const GIOU: GiouLossShape[] = pairs(sums(262, 2), [1e-6, 3])
  .map(([sum, eps]) => ({ ...sum, eps }));
const bigGiou = { ...bigSum, eps: 1e-6 };
/** Few values, so that some are equal. */
const even = (value: number, name: string) =>
  name === "pred" || name === "goal" ? coarse(value) : counted(value, name);
/** Corners of boxes of about 2 x 2, some of which are turned over; of every other box few values, so that some are equal. */
const corners = (value: number, name: string, i: number) => {
  if (name !== "pred" && name !== "goal") return counted(value, name);
  const corner = i % 8 < 4 ? coarse(value) : value;
  return i % 4 < 2 ? corner : corner + 2;
};

const overBoxes = [
  entry("box_losses", l1Loss, {
    small: each(L1),
    huge: [[bigSum]],
    input: even,
  }),
  entry("box_losses", l1LossBackward, {
    small: each(L1),
    huge: [[bigSum]],
    input: even,
  }),
  entry("box_losses", giouLoss, {
    small: each(GIOU),
    huge: [[bigGiou]],
    input: corners,
  }),
  entry("box_losses", giouLossBackward, {
    small: each(GIOU),
    huge: [[bigGiou]],
    input: corners,
  }),
];

const ANGLES: AngleLossShape[] = pairs(sums(262, 2), [1e-6, 0.3])
  .map(([sum, clamp]) => ({ ...sum, clamp }));
const bigAngle = { ...bigSum, clamp: 1e-6 };
const CHANGES: ChangeLossShape[] = [
  { rows: 268, frames: 2, divisor: 3, factor: 2 },
  { rows: 267, frames: 3, divisor: "tensor", factor: 0.5 },
  { rows: 273, frames: 7, divisor: 5, factor: 1 },
];
const bigChange: ChangeLossShape = { rows: 2 ** 23, frames: 8, divisor: 1, factor: 1 };

const gaze = [
  entry("gaze_losses", angleLoss, {
    small: each(ANGLES),
    huge: [[bigAngle]],
    input: counted,
  }),
  entry("gaze_losses", angleLossBackward, {
    small: each(ANGLES),
    huge: [[bigAngle]],
    input: counted,
  }),
  entry("gaze_losses", changeLoss, {
    small: each(CHANGES),
    huge: [[bigChange]],
    input: counted,
  }),
  entry("gaze_losses", changeLossBackward, {
    small: each(CHANGES),
    huge: [[bigChange]],
    // few values, so that some differences are 0
    input: even,
  }),
];

/** Boxes, and losses over rows. */
export const LOSSES: readonly CatalogueEntry[] = [...boxes, ...focal, ...overBoxes, ...gaze];
