/**
 * The catalogue's calls of boxes and of losses over rows.
 * @module
 */
import {
  type BoxDecodeShape,
  convertBoxes,
  convertBoxesReference,
  decodeBoxes,
  decodeBoxesBackward,
  decodeBoxesReference,
} from "../boxes.ts";
import {
  type BoxLossInputs,
  giouLoss,
  giouLossBackward,
  giouLossReference,
  type GiouLossShape,
  l1Loss,
  l1LossBackward,
  l1LossReference,
} from "../box_losses.ts";
import {
  focalLoss,
  focalLossBackward,
  focalLossReference,
  type FocalLossShape,
} from "../focal_loss.ts";
import {
  angleLoss,
  angleLossBackward,
  angleLossReference,
  type AngleLossShape,
  changeLoss,
  changeLossBackward,
  changeLossReference,
  type ChangeLossShape,
} from "../gaze_losses.ts";
import type { RowLossShape } from "../row_loss.ts";
import { type CatalogueEntry, coarse, each, entry, pairs } from "./entry.ts";
import type { Values } from "../kernel.ts";

const MANY = 2 ** 23 - 1;
const DECODES: BoxDecodeShape[] = [
  { count: 259, stds: [0.5, 0.4, 1, 2], maxRatio: 1.2 },
  { count: 300, stds: [1, 2, 0.5, 0.25], maxRatio: 4, clip: { height: 2, width: 1 } },
];

/** Central differences of a float64 function of one of its inputs, times the gradient of its outputs. */
function differences(
  inputs: Readonly<Record<string, ArrayLike<number>>>,
  name: string,
  dOut: ArrayLike<number>,
  f: (inputs: Values) => ArrayLike<number>,
): Float64Array {
  const values = Float64Array.from(inputs[name]), step = 1e-6;
  return values.map((value, i) => {
    const at = (x: number) => {
      const moved = values.slice();
      moved[i] = x;
      return f({ ...inputs, [name]: moved });
    };
    const above = at(value + step), below = at(value - step);
    let sum = 0;
    for (let k = 0; k < dOut.length; k++) sum += dOut[k] * (above[k] - below[k]);
    return sum / (2 * step);
  });
}

const boxes = [
  entry("boxes", decodeBoxes, {
    small: each(DECODES),
    huge: [[{ ...DECODES[0], count: MANY }]],
    reference: ({ boxes, deltas }, [shape]) => decodeBoxesReference(shape, boxes, deltas),
  }),
  entry("boxes", decodeBoxesBackward, {
    small: each(DECODES),
    huge: [[{ ...DECODES[0], count: MANY }]],
    reference: (inputs, [shape]) => {
      const decoded = (v: Values) => decodeBoxesReference(shape, v.boxes, v.deltas).y;
      const { dOut } = inputs;
      return {
        dBoxes: differences(inputs, "boxes", dOut, decoded),
        dDeltas: differences(inputs, "deltas", dOut, decoded),
      };
    },
  }),
  entry("boxes", convertBoxes, {
    small: pairs(["xyxy", "cxcywh"] as const, [false, true]).map(([to, transposed]) =>
      [259, to, transposed] as const
    ),
    huge: [[MANY, "xyxy", false]],
    reference: (inputs, [, to, transposed]) => {
      if (!transposed) return convertBoxesReference(inputs.boxes, to);
      const zeros = { boxes: new Float64Array(inputs.boxes.length) };
      const convert = (v: Values) => convertBoxesReference(v.boxes, to).y;
      return { y: differences(zeros, "boxes", inputs.boxes, convert) };
    },
  }),
];

/** One plain sum, and one with weights and a divisor on the GPU. */
const sums = (rows: number, per: number): RowLossShape[] => [
  { rows, per: 0, divisor: 3, factor: 2 },
  { rows, per, divisor: "tensor", factor: 0.5 },
];
const bigSum: RowLossShape = { rows: 2 ** 23 - 1, per: 1, divisor: 1, factor: 1 };
/** A divisor is a count, and some weights are 0. */
const counted = (value: number, name: string) => {
  if (name === "divisor") return 2 + Math.abs(value);
  return name === "weight" ? Math.max(0, value) : value;
};

const FOCAL: FocalLossShape[] = [
  ...pairs(sums(262, 1), ["labels", "flags"] as const)
    .map(([sum, targets]) => ({ ...sum, classes: 1, alpha: 0.25, gamma: 2, targets })),
  ...[...sums(261, 3), ...sums(270, 1)]
    .map((sum) => ({ ...sum, classes: 3, alpha: 0.6, gamma: 1.5, targets: "labels" as const })),
];
const bigFocal: FocalLossShape = { ...bigSum, classes: 1, alpha: 0.5, gamma: 2, targets: "flags" };
/** Logits of either sign and up to 12, labels from 0 to the number of classes, and flags below and above 1/2. */
const logits = (
  value: number,
  name: string,
  _i: number,
  [{ classes, targets }]: readonly [FocalLossShape],
) => {
  if (name === "targets") return targets === "labels" ? value % (classes + 1) : value;
  return name === "pred" ? 8 * value : counted(value, name);
};
type FocalInputs = Parameters<typeof focalLossReference>[1];

const focal = [
  entry("focal_loss", focalLoss, {
    small: each(FOCAL),
    huge: [[bigFocal]],
    input: logits,
    reference: (inputs, [shape]) => ({
      loss: [focalLossReference(shape, inputs as FocalInputs).loss],
    }),
  }),
  entry("focal_loss", focalLossBackward, {
    small: each(FOCAL),
    huge: [[bigFocal]],
    input: logits,
    reference: ({ dOut, ...inputs }, [shape]) => {
      const { dPred } = focalLossReference(shape, inputs as FocalInputs);
      return { dPred: dPred.map((d) => dOut[0] * d) };
    },
  }),
];

const L1 = [...sums(264, 4), ...sums(259, 1)];
const GIOU: GiouLossShape[] = pairs(sums(262, 1), [1e-6, 3])
  .map(([sum, eps]) => ({ ...sum, eps }));
const bigGiou = { ...bigSum, eps: 1e-6 };
/** Few values, so that some are equal. */
const even = (value: number, name: string) =>
  name === "pred" || name === "goal" ? coarse(value) : counted(value, name);
/** Corners of boxes of about 2 x 2, some of which are turned over. */
const corners = (value: number, name: string, i: number) => {
  if (name !== "pred" && name !== "goal") return counted(value, name);
  return i % 4 < 2 ? value : value + 2;
};
type BoxCall = BoxLossInputs & Record<"pred" | "goal", ArrayLike<number>>;

const overBoxes = [
  entry("box_losses", l1Loss, {
    small: each(L1),
    huge: [[bigSum]],
    input: even,
    reference: (inputs, [shape]) => ({
      loss: [l1LossReference(shape, inputs as unknown as BoxCall).loss],
    }),
  }),
  entry("box_losses", l1LossBackward, {
    small: each(L1),
    huge: [[bigSum]],
    input: even,
    reference: ({ dOut, ...inputs }, [shape]) => {
      const { dPred } = l1LossReference(shape, inputs as unknown as BoxCall);
      return { dPred: dPred.map((d) => dOut[0] * d) };
    },
  }),
  entry("box_losses", giouLoss, {
    small: each(GIOU),
    huge: [[bigGiou]],
    input: corners,
    reference: (inputs, [shape]) => ({
      loss: [giouLossReference(shape, inputs as unknown as BoxCall).loss],
    }),
  }),
  entry("box_losses", giouLossBackward, {
    small: each(GIOU),
    huge: [[bigGiou]],
    input: corners,
    reference: ({ dOut, ...inputs }, [shape]) => ({
      dPred: differences(inputs, "pred", dOut, (v) => [
        giouLossReference(shape, v as unknown as BoxCall).loss,
      ]),
    }),
  }),
];

const ANGLES: AngleLossShape[] = pairs(sums(262, 1), [1e-6, 0.3])
  .map(([sum, clamp]) => ({ ...sum, clamp }));
const bigAngle = { ...bigSum, clamp: 1e-6 };
const CHANGES: ChangeLossShape[] = [
  { rows: 268, frames: 2, divisor: 3, factor: 2 },
  { rows: 267, frames: 3, divisor: "tensor", factor: 0.5 },
  { rows: 273, frames: 7, divisor: 5, factor: 1 },
];
const bigChange: ChangeLossShape = { rows: 2 ** 23, frames: 8, divisor: 1, factor: 1 };
type Directions = Parameters<typeof angleLossReference>[1];
type Track = Parameters<typeof changeLossReference>[1];

const gaze = [
  entry("gaze_losses", angleLoss, {
    small: each(ANGLES),
    huge: [[bigAngle]],
    input: counted,
    reference: (inputs, [shape]) => ({
      loss: [angleLossReference(shape, inputs as unknown as Directions).loss],
    }),
  }),
  entry("gaze_losses", angleLossBackward, {
    small: each(ANGLES),
    huge: [[bigAngle]],
    input: counted,
    reference: ({ dOut, ...inputs }, [shape]) => {
      const { dPred } = angleLossReference(shape, inputs as unknown as Directions);
      return { dPred: dPred.map((d) => dOut[0] * d) };
    },
  }),
  entry("gaze_losses", changeLoss, {
    small: each(CHANGES),
    huge: [[bigChange]],
    input: counted,
    reference: (inputs, [shape]) => ({
      loss: [changeLossReference(shape, inputs as unknown as Track).loss],
    }),
  }),
  entry("gaze_losses", changeLossBackward, {
    small: each(CHANGES),
    huge: [[bigChange]],
    // few values, so that some differences are 0
    input: even,
    reference: ({ dOut, ...inputs }, [shape]) => {
      const { dPred } = changeLossReference(shape, inputs as unknown as Track);
      return { dPred: dPred.map((d) => dOut[0] * d) };
    },
  }),
];

/** Boxes, and losses over rows. */
export const LOSSES: readonly CatalogueEntry[] = [...boxes, ...focal, ...overBoxes, ...gaze];
