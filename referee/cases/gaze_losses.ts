/**
 * Kind 15 of MCGaze: its losses one by one, and all those of one stage.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { DataError } from "../../engine/errors.ts";
import {
  angleLoss,
  concat,
  focalLoss,
  giouLoss,
  l1Loss,
  mean,
  reshape,
  sum,
  temporalLoss,
} from "../../engine/ops/mod.ts";
import type { Tensor } from "../../engine/tensor.ts";
import {
  type ClueTargets,
  GAZE_CLUES,
  type GazeClue,
  gazeStageLosses,
} from "../../models/gaze_losses.ts";
import { type GoldenCase, NotUnderstoodError, type Results } from "../case.ts";
import { type Named, pick, runDifferentiated, uploadAll } from "../results.ts";

/** Runs a case of kind 15 of MCGaze: its name says what. */
export function gazeLossCase(golden: GoldenCase, device: Device): Promise<Results> {
  if (golden.name.includes("stage")) return stageCase(golden, device);
  return runDifferentiated(golden, device, () => {
    const leaves = uploadAll(golden, device, "input.");
    const loss = singleLoss(golden, leaves);
    return { outputs: { loss }, loss, leaves };
  });
}

function singleLoss({ name, config }: GoldenCase, inputs: Named): Tensor {
  const lossWeight = config.number("loss_weight", 1);
  const pred = pick(inputs, "input.pred");
  if (name.includes("temp")) {
    return temporalLoss(reshape(pred, [config.number("B"), config.number("T"), 3]), { lossWeight });
  }
  if (name.includes("arccos")) { // the authors' weight and avg_factor have no effect
    const clamp = config.number("cosine_eps", 1e-6);
    return angleLoss(pred, pick(inputs, "input.target"), { clamp, lossWeight });
  }
  const weight = inputs["input.weight"] as Tensor | undefined;
  const options = {
    lossWeight,
    ...(weight && { weight }),
    ...(config.has("avg_factor") && { avgFactor: config.number("avg_factor") }),
  };
  if (name.includes("focal")) {
    const alpha = config.number("alpha", 0.25), gamma = config.number("gamma", 2);
    return focalLoss(pred, pick(inputs, "input.label"), { ...options, alpha, gamma });
  }
  if (name.includes("giou")) {
    const rows = weight && { weight: mean(weight, 1) };
    const eps = config.number("eps", 1e-6);
    return giouLoss(pred, pick(inputs, "input.target"), { ...options, ...rows, eps });
  }
  if (name.includes("l1")) return l1Loss(pred, pick(inputs, "input.target"), options);
  throw new NotUnderstoodError(`a loss that is none of arccos, focal, giou, l1 and temp`);
}

/** All losses of a stage. Frames with one annotation have that of the head, in row 0. */
async function stageCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const counts = golden.ints("input.gt_count");
  const [height, width] = config.numbers("image"), weights = config.object("weights");
  const results = await runDifferentiated(golden, device, () => {
    const names = ["cls_score", "boxes", "gaze", ...GAZE_CLUES].map((name) => `input.${name}`);
    const leaves = Object.fromEntries(names.map((name) => [name, golden.upload(device, name)]));
    const outputs = gazeStageLosses(
      {
        scores: leaves["input.cls_score"],
        boxes: leaves["input.boxes"],
        gazes: {
          final: leaves["input.gaze"],
          face: leaves["input.face"],
          eyes: leaves["input.eyes"],
          head: leaves["input.head"],
        },
      },
      clueTargets(golden, device),
      {
        image: [height, width],
        frames: config.number("T"),
        weights: {
          cls: weights.number("cls"),
          bbox: weights.number("bbox"),
          iou: weights.number("iou"),
          gaze: weights.number("gaze"),
          temp: weights.number("temp"),
        },
      },
    );
    const terms = Object.values(outputs).map((term) => reshape(term, [1]));
    return { outputs, loss: sum(concat(terms, 0)), leaves };
  });
  for (const clue of GAZE_CLUES) {
    const accuracy = positiveAccuracy(counts, clue);
    results.set(`output.${clue}_pos_acc`, [accuracy]);
    // theirs is a mean over nothing, ours is 0 then
    if (accuracy === 0) results.set(`output.${clue}_gaze_loss_gaze`, [NaN]);
  }
  return results;
}

/**
 * The authors' `pos_acc`: the share, in percent, of a clue's annotated frames whose highest class is the right one. There is
 * only one class. 0 where no frame has the clue.
 */
export function positiveAccuracy(counts: Int32Array, clue: GazeClue): number {
  return counts.some((count) => has(count, clue)) ? 100 : 0;
}

const has = (count: number, clue: GazeClue) => count === GAZE_CLUES.length || clue === "head";

/** What a case says is true of its frames: all three clues, or the head alone, which then stands in row 0. */
export function clueTargets(golden: GoldenCase, device: Device): Record<GazeClue, ClueTargets> {
  const counts = golden.ints("input.gt_count");
  const boxes = golden.floats("input.gt_boxes"), gazes = golden.floats("input.gt_gazes");
  for (const count of counts) {
    if (count !== 1 && count !== GAZE_CLUES.length) {
      throw new DataError(`${golden.name}: a frame has ${count} annotations, needs 1 or 3`);
    }
  }
  const targets = GAZE_CLUES.map((clue, query) => {
    // the values of a clue in every frame, of which each has rows of `n` for three queries
    const rows = (values: Float32Array, n: number) =>
      Float32Array.from({ length: counts.length * n }, (_, i) => {
        const frame = Math.floor(i / n), row = counts[frame] === 1 ? 0 : query;
        return values[(frame * GAZE_CLUES.length + row) * n + i % n];
      });
    const present = Float32Array.from(counts, (count) => has(count, clue) ? 1 : 0);
    return [clue, {
      present: device.tensor(present),
      boxes: device.tensor(rows(boxes, 4), [counts.length, 4]),
      gazes: device.tensor(rows(gazes, 3), [counts.length, 3]),
    }];
  });
  return Object.fromEntries(targets);
}
