/**
 * Kinds 17, 18 and 19 of MCGaze: backbone and pyramid, the whole model, and a training step, all with weights that follow
 * from their names.
 * @module
 */
import { noGrad } from "../../engine/autograd.ts";
import type { Device } from "../../engine/device.ts";
import { DataError } from "../../engine/errors.ts";
import { add, concat, reshape, sigmoid, square, sum } from "../../engine/ops/mod.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { roiLevels } from "../../kernels/roi_align.ts";
import { FeaturePyramid } from "../../models/fpn.ts";
import { GAZE_CLUES, gazeStageLosses } from "../../models/gaze_losses.ts";
import { McGaze } from "../../models/mcgaze.ts";
import { ResNet, RESNET50, RESNET_STRIDES, resNetChannels } from "../../models/resnet.ts";
import { Module } from "../../nn/module.ts";
import type { GoldenCase, Results } from "../case.ts";
import { deterministicFill } from "../fill.ts";
import { meanAndDeviation, stateShapes } from "./full_size.ts";
import { clueTargets, positiveAccuracy } from "./gaze_losses.ts";

/** The case's model without its stages. */
class Pyramid extends Module {
  readonly backbone: ResNet = this.child("backbone", new ResNet());
  readonly neck: FeaturePyramid;

  constructor(channels: number) {
    super();
    this.neck = this.child("neck", new FeaturePyramid(resNetChannels(RESNET50), channels));
  }
}

/** Runs a case of kind 17. Maps are stored with their channels first. */
export async function pyramidCase(golden: GoldenCase, device: Device): Promise<Results> {
  const model = await filled(golden, new Pyramid(golden.config.number("out_channels")), device);
  try {
    const [shape] = shapesIn(golden.config.text("input"));
    const reads = await device.step(() =>
      noGrad(() => {
        const maps = model.backbone.forward(channelsLast(device, "input.image", shape));
        const levels = model.neck.forward(maps);
        const named = [
          ...maps.map((map, i) => [`res${i + 2}`, map] as const),
          ...levels.map((level, i) => [`fpn${i}`, level] as const),
        ];
        return named.map(([name, map]) => ({ name, shape: map.shape, data: map.data() }));
      })
    );
    const results: Results = new Map();
    for (const { name, shape, data } of reads) {
      const values = channelsFirst(await data, shape);
      results.set(`output.${name}.stats`, meanAndDeviation(values));
      results.set(`output.${name}.samples`, samples(golden, name, values));
      if (golden.has(`output.${name}`)) results.set(`output.${name}`, values);
    }
    return results;
  } finally {
    model.dispose();
  }
}

/** Runs a case of kind 18: every stage of the whole model, in evaluation. */
export async function wholeModelCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const frames = config.number("T"), count = frames * config.number("B", 1);
  const [height, width] = config.numbers("image");
  const model = new McGaze({ stages: config.number("num_stages", 4), clipLength: frames });
  await filled(golden, model.eval(), device);
  try {
    const reads = await device.step(() =>
      noGrad(() => {
        const shape = [count, 3, height, width];
        const images = device.tensor(deterministicFill("input.image", shape), shape);
        return model.forward(images).map(({ rois, scores, boxes, gazes, features }) => ({
          rois: rois.data(),
          scores: scores.data(),
          chances: sigmoid(scores).data(),
          boxes: boxes.data(),
          features: features.data(),
          gazes: Object.entries(gazes).map(([name, gaze]) => [name, gaze.data()] as const),
        }));
      })
    );
    const results: Results = new Map();
    for (const [i, stage] of reads.entries()) {
      const put = (name: string, values: ArrayLike<number>): void => {
        results.set(`output.stage${i}.${name}`, values);
      };
      const rois = await stage.rois, features = await stage.features;
      put("rois", numbered(rois, GAZE_CLUES.length));
      put("roi_level", levelsOf(rois, model.config.finestScale));
      put("cls_score", await stage.scores);
      put("boxes", await stage.boxes);
      put("object_feats.stats", meanAndDeviation(features));
      put("object_feats.samples", samples(golden, "object_feats", features));
      for (const [name, gaze] of stage.gazes) {
        put(`gaze_${name === "final" ? "fused" : name}`, await gaze);
      }
      if (i + 1 < reads.length) continue;
      results.set("output.final.gaze", results.get(`output.stage${i}.gaze_fused`)!);
      results.set("output.final.boxes_scores", scored(await stage.boxes, await stage.chances));
    }
    return results;
  } finally {
    model.dispose();
  }
}

/** Runs a case of kind 19: all losses of a training step, and its gradients. */
export async function trainingStepCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config, data } = golden;
  const frames = config.number("T"), count = frames * config.number("B");
  const [height, width] = config.numbers("image");
  const normNames = textsIn(data.grad_norm_names), termNames = textsIn(data.term_names);
  const model = new McGaze({
    clipLength: frames,
    backbone: { frozenStages: config.number("frozen_stages") },
  });
  await filled(golden, model.train(), device);
  try {
    const gradientNames = golden.namesUnder("grad.");
    const reads = await device.step(() => {
      const shape = [config.number("B"), frames, 3, height, width];
      const images = device.tensor(deterministicFill("input.image_train", shape), shape);
      const stages = model.forward(reshape(images, [count, 3, height, width]));
      const targets = clueTargets(golden, device);
      const terms = stages.flatMap((stage, i) =>
        Object.entries(gazeStageLosses(stage, targets, { image: [height, width], frames }))
          .map(([name, value]) => [`stage${i}_${name}`, value] as const)
      );
      const total = terms.map(([, value]) => value).reduce((a, b) => add(a, b));
      total.backward();
      const learned = model.namedParameters().filter(([, { grad }]) => grad !== null);
      const squares = learned.map(([, { grad }]) => reshape(sum(square(grad!)), [1]));
      const of = new Map(learned);
      return {
        total: total.data(),
        terms: terms.map(([name, value]) => [name, value.item()] as const),
        names: learned.map(([name]) => name),
        squares: concat(squares, 0).data(),
        gradients: gradientNames.map((name) => [name, gradientOf(of, name).data()] as const),
      };
    });
    const counts = golden.ints("input.gt_count");
    const terms = new Map<string, number>();
    for (const [name, value] of reads.terms) terms.set(name, await value);
    for (let i = 0; i < model.config.stages; i++) {
      for (const clue of GAZE_CLUES) {
        terms.set(`stage${i}_${clue}_pos_acc`, positiveAccuracy(counts, clue));
      }
    }
    const squares = await reads.squares;
    const norms = new Map(reads.names.map((name, i) => [name, Math.sqrt(squares[i])]));
    const pickIn = (map: ReadonlyMap<string, number>, name: string): number => {
      const value = map.get(name);
      if (value === undefined) throw new DataError(`${golden.name}: the model has no ${name}`);
      return value;
    };
    const results: Results = new Map<string, ArrayLike<number>>([
      ["output.total_loss", await reads.total],
      ["output.terms", termNames.map((name) => pickIn(terms, name))],
      ["output.grad_norms", normNames.map((name) => pickIn(norms, name))],
      ["output.total_grad_norm", [Math.sqrt(Array.from(squares).reduce((a, b) => a + b, 0))]],
    ]);
    for (const [name, values] of reads.gradients) results.set(`grad.${name}`, await values);
    return results;
  } finally {
    model.dispose();
  }
}

/**
 * Gives a model the weights that follow from the names of its parameters, and places it.
 * @throws {DataError} its names and shapes are not those of the case
 */
async function filled<M extends Module>(golden: GoldenCase, model: M, device: Device): Promise<M> {
  const shapes = model.stateShapes();
  if (golden.data.state_dict !== undefined) {
    const wanted = stateShapes(golden);
    for (const [name, shape] of [...wanted, ...shapes]) {
      if (shapes.get(name)?.join() !== shape.join() || !wanted.has(name)) {
        throw new DataError(
          `${golden.name}: ${name} is [${shapes.get(name)}] in our model, ` +
            `[${wanted.get(name)}] in the authors'`,
        );
      }
    }
  }
  await model.loadStateFrom({
    shapes,
    read: (name) => Promise.resolve(deterministicFill(name, shapes.get(name)!)),
  });
  return await model.to(device);
}

/** The shapes that a setting gives in words. */
function shapesIn(words: string): number[][] {
  const found = [...words.matchAll(/\[(\d+(?:, *\d+)*)\]/g)];
  if (found.length === 0) throw new DataError(`there is no shape in "${words}"`);
  return found.map(([, list]) => list.split(",").map(Number));
}

/** Images of a shape [B, C, H, W], filled under a name, as [B, H, W, C]. */
function channelsLast(device: Device, name: string, shape: readonly number[]): Tensor {
  const [batch, channels, height, width] = shape;
  const values = deterministicFill(name, shape), size = height * width;
  const moved = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const image = Math.floor(i / (channels * size)), channel = Math.floor(i / size) % channels;
    moved[(image * size + i % size) * channels + channel] = values[i];
  }
  return device.tensor(moved, [batch, height, width, channels]);
}

/** Values of a map [B, H, W, C] as [B, C, H, W]. */
function channelsFirst(values: ArrayLike<number>, shape: readonly number[]): Float32Array {
  const [batch, height, width, channels] = shape, size = height * width;
  return Float32Array.from({ length: batch * channels * size }, (_, i) => {
    const image = Math.floor(i / (channels * size)), channel = Math.floor(i / size) % channels;
    return values[(image * size + i % size) * channels + channel];
  });
}

/** The values at the places that a case stores for a tensor. */
function samples(golden: GoldenCase, name: string, values: ArrayLike<number>): number[] {
  return Array.from(golden.ints(`sample_index.${name}`), (at) => values[at]);
}

/** Boxes [N, Q, 4] with the number of the image before each. */
function numbered(boxes: ArrayLike<number>, queries: number): number[] {
  return Array.from({ length: boxes.length / 4 }, (_, r) => [
    Math.floor(r / queries),
    ...Array.from({ length: 4 }, (_, k) => boxes[4 * r + k]),
  ]).flat();
}

/** Boxes [N, Q, 4] with the probability [N, Q, 1] behind each. */
function scored(boxes: ArrayLike<number>, chances: ArrayLike<number>): number[] {
  return Array.from(chances, (chance, r) => [
    ...Array.from({ length: 4 }, (_, k) => boxes[4 * r + k]),
    chance,
  ]).flat();
}

/** The pyramid level that each box is read from. */
function levelsOf(boxes: ArrayLike<number>, finestScale: number): ArrayLike<number> {
  const levels = RESNET_STRIDES.map((stride) => ({ height: 1, width: 1, stride }));
  return roiLevels(Float32Array.from(boxes), { levels, finestScale });
}

function gradientOf(learned: ReadonlyMap<string, { readonly grad: Tensor | null }>, name: string) {
  const gradient = learned.get(name)?.grad ?? null;
  if (gradient === null) throw new DataError(`${name} has no gradient`);
  return gradient;
}

function textsIn(value: unknown): string[] {
  if (!Array.isArray(value)) throw new DataError("a list of names is missing in the case's data");
  return value.map(String);
}
