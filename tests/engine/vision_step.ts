/**
 * A step in the manner of a detector, as small as it gets: what runs every kernel of maps, boxes and their losses.
 *
 *     image -> convolution with a folded norm -> max pooling -> convolution -> pyramid of two levels -> RoIAlign
 *           -> dynamic convolution -> scores, deltas and directions of each box -> the five losses -> gradients
 * @module
 */
import {
  add,
  angleLoss,
  conv2d,
  cxcywhToXyxy,
  decodeBoxes,
  focalLoss,
  foldBatchNorm,
  giouLoss,
  l1Loss,
  maxPool2d,
  reshape,
  roiAlign,
  temporalLoss,
  type Tensor,
  upsampleAdd,
  xyxyToCxcywh,
} from "../../engine/mod.ts";
import { Rng } from "../../engine/random/host_rng.ts";
import { DynamicConv } from "../../nn/dynamic_conv.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { Parameter } from "../../nn/parameter.ts";
import { testValues } from "../gradcheck.ts";

const FRAMES = 3, BOXES = 2, CHANNELS = 8, ROWS = FRAMES * BOXES;
const [HEIGHT, WIDTH] = [16, 20];
/** Pixels of the image to one of its first map. */
const STRIDE = 4;

const random = (seed: number, scale: number, offset = 0) => (_: Rng, shape: readonly number[]) =>
  testValues(shape.reduce((a, b) => a * b), seed).map((v) => scale * v + offset);
/** Centre and size of each box: some within the image, some over its edges, of either level. */
const proposals = (_: Rng, shape: readonly number[]) =>
  testValues(shape.reduce((a, b) => a * b), 6).map((v, i) => i % 4 < 2 ? 36 + 20 * v : 30 + 16 * v);

/** The detector: images [3, 16, 20, 4] to one loss. */
export class VisionStep extends Module {
  readonly #stem = this.parameter("stem", new Parameter([CHANNELS, 3, 3, 4], random(1, 0.4)));
  readonly #gamma = this.parameter("gamma", new Parameter([CHANNELS], random(2, 0.5, 1)));
  readonly #beta = this.parameter("beta", new Parameter([CHANNELS], random(3, 0.5)));
  readonly #deep = this.parameter(
    "deep",
    new Parameter([CHANNELS, 3, 3, CHANNELS], random(4, 0.3)),
  );
  readonly #queries = this.parameter("queries", new Parameter([ROWS, CHANNELS], random(5, 1)));
  readonly #proposals = this.parameter("proposals", new Parameter([FRAMES, BOXES, 4], proposals));
  readonly #dynamic = this.child(
    "dynamic",
    new DynamicConv({ inChannels: CHANNELS, featChannels: 4, positions: 9 }),
  );
  readonly #scores = this.child("scores", new Linear(CHANNELS, 1));
  readonly #deltas = this.child("deltas", new Linear(CHANNELS, 4));
  readonly #gazes = this.child("gazes", new Linear(CHANNELS, 3));

  /** The sum of the five losses. */
  forward(images: Tensor): Tensor {
    const { device } = images;
    const statistics = (seed: number) => device.tensor(testValues(CHANNELS, seed).map(Math.abs));
    const folded = foldBatchNorm(this.#stem, {
      weight: this.#gamma,
      bias: this.#beta,
      runningMean: statistics(7),
      runningVar: statistics(8),
    });
    const stem = conv2d(images, folded.weight, folded.bias, { padding: 1, activation: "relu" });
    const pooled = maxPool2d(stem, { kernel: 3, stride: 2, padding: 1 });
    const deep = conv2d(pooled, this.#deep, undefined, { padding: 1, residual: pooled });
    const maps = [upsampleAdd(deep, stem), deep];

    const first = cxcywhToXyxy(this.#proposals);
    const bins = roiAlign(maps, first, {
      strides: [STRIDE, 2 * STRIDE],
      outputSize: 3,
      finestScale: 16,
    });
    const features = this.#dynamic.forward(this.#queries, reshape(bins, [ROWS, 9, CHANNELS]));
    const deltas = reshape(this.#deltas.forward(features), [FRAMES, BOXES, 4]);
    const clip = { height: STRIDE * HEIGHT, width: STRIDE * WIDTH };
    const boxes = decodeBoxes(first, deltas, { clip });
    const gazes = this.#gazes.forward(features);

    const flags = device.tensor(Float32Array.of(1, 0, 1, 1, 0, 1), [ROWS, 1]);
    const goals = cxcywhToXyxy(
      device.tensor(proposals(new Rng(0), [ROWS, 4]).map((v) => v + 3), [ROWS, 4]),
    );
    const directions = device.tensor(testValues(3 * ROWS, 9), [ROWS, 3]);
    return [
      focalLoss(this.#scores.forward(features), flags),
      l1Loss(xyxyToCxcywh(boxes), device.full([FRAMES, BOXES, 4], 30), { lossWeight: 0.1 }),
      giouLoss(reshape(boxes, [ROWS, 4]), goals),
      angleLoss(gazes, directions),
      temporalLoss(reshape(gazes, [BOXES, FRAMES, 3])),
    ].reduce(add);
  }
}

/** Images for it. */
export const VISION_IMAGES = {
  shape: [FRAMES, HEIGHT, WIDTH, 4],
  values: testValues(FRAMES * HEIGHT * WIDTH * 4, 10),
} as const;
