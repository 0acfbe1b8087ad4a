/**
 * MCGaze (Guan and others, arXiv:2310.18131): where a person looks, frame by frame, from the head, the face and the eyes of
 * a clip. The boxes of these clues are found along with the gaze. Names are those of the authors' mmdet model.
 *
 *     levels = neck(backbone(frames))
 *     boxes, queries = what was learned to start with, the same for every frame
 *     in each stage:   queries, deltas = bbox_head(queries, roiAlign(levels, boxes));   boxes = moved by deltas
 *                      gaze = gaze_head(queries)
 *
 * Boxes pass from stage to stage without gradient, queries with it; the boxes to start with learn from the first stage alone.
 * @module
 */
import {
  broadcastTo,
  cxcywhToXyxy,
  decodeBoxes,
  mul,
  permute,
  reshape,
  roiAlign,
} from "../engine/ops/mod.ts";
import { ShapeError } from "../engine/errors.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { type Init, Parameter } from "../nn/parameter.ts";
import { normal } from "../nn/init.ts";
import { Module } from "../nn/module.ts";
import { FeaturePyramid } from "./fpn.ts";
import { GazeHead, type Gazes } from "./mcgaze_gaze_head.ts";
import { type McGazeConfig, mcGazeConfig, type McGazeOptions } from "./mcgaze_config.ts";
import { GazeStqiHead } from "./mcgaze_stage.ts";
import { ResNet, RESNET_STRIDES, resNetChannels } from "./resnet.ts";

/** What a stage says about N frames; Q clues, in the order of `config.clues`. */
export interface GazeStage {
  /** The boxes it looked into, as x1, y1, x2, y2 in pixels: [N, Q, 4]. */
  readonly rois: Tensor;
  /** Logits of "is there": [N, Q, 1]. */
  readonly scores: Tensor;
  /** The boxes it found, likewise in pixels: [N, Q, 4]. */
  readonly boxes: Tensor;
  /** Unit vectors. */
  readonly gazes: Gazes;
  /** Its queries: [N, Q, C]. */
  readonly features: Tensor;
}

/** How frames lie: rows and columns of the pictures, and frames of a clip. */
export interface ClipLayout {
  /** In pixels. */
  readonly image: readonly [height: number, width: number];
  /** T */
  readonly frames: number;
}

/** Rows that are learned, under the key `weight`. */
class Embedding extends Module {
  readonly weight: Parameter;

  constructor(rows: number, columns: number, init: Init) {
    super();
    this.weight = this.parameter("weight", new Parameter([rows, columns], init));
  }
}

/** What was learned to start with. Keys `init_proposal_bboxes.weight` (cx, cy, w, h as shares) and `…_features.weight`. */
class Proposals extends Module {
  readonly boxes: Embedding;
  readonly features: Embedding;

  constructor({ clues, channels, firstBoxes }: McGazeConfig) {
    super();
    const n = clues.length;
    const start: Init = () => Float32Array.from(clues.flatMap((clue) => firstBoxes[clue]));
    this.boxes = this.child("init_proposal_bboxes", new Embedding(n, 4, start));
    this.features = this.child("init_proposal_features", new Embedding(n, channels, normal()));
  }
}

/** The stages. Keys `bbox_head.0`, … and `gaze_head.0`, … */
class RoiHead extends Module {
  readonly stages: readonly { readonly box: GazeStqiHead; readonly gaze: GazeHead }[];

  constructor(config: McGazeConfig) {
    super();
    this.stages = Array.from({ length: config.stages }, (_, i) => ({
      box: this.child(`bbox_head.${i}`, new GazeStqiHead(config)),
      gaze: this.child(`gaze_head.${i}`, new GazeHead(config.channels, config.clues)),
    }));
  }
}

/** The whole network. Keys `backbone`, `neck`, `rpn_head`, `roi_head`. */
export class McGaze extends Module {
  /** Its settings, complete. */
  readonly config: McGazeConfig;
  readonly #backbone: ResNet;
  readonly #neck: FeaturePyramid;
  readonly #proposals: Proposals;
  readonly #roiHead: RoiHead;

  /**
   * A model without memory; `to(device)` gives it some.
   * @param options settings that differ from the defaults, such as one of `MCGAZE_PRESETS`
   * @throws {ShapeError} names a setting that makes no model
   */
  constructor(options: McGazeOptions = {}) {
    super();
    const config = this.config = mcGazeConfig(options);
    this.#backbone = this.child("backbone", new ResNet(config.backbone));
    const neck = new FeaturePyramid(resNetChannels(config.backbone), config.channels);
    this.#neck = this.child("neck", neck);
    this.#proposals = this.child("rpn_head", new Proposals(config));
    this.#roiHead = this.child("roi_head", new RoiHead(config));
  }

  /** Images [N, 3, H, W], normalised, to the four maps of the backbone, [N, h, w, channels] each, finest first. */
  maps(images: Tensor): Tensor[] {
    expectShape("McGaze: images", images, ["N", 3, "H", "W"]);
    return this.#backbone.forward(permute(images, [0, 2, 3, 1]));
  }

  /** Gives the backbone's batch norms the statistics of images [N, 3, H, W], within a step; see `ResNet.calibrate`. */
  calibrate(images: Tensor): void {
    this.#backbone.calibrate(permute(images, [0, 2, 3, 1]));
  }

  /** Those maps to the pyramid that the stages look at. A frame's levels do not depend on the other frames. */
  pyramid(maps: readonly Tensor[]): Tensor[] {
    return this.#neck.forward(maps);
  }

  /**
   * The stages on the pyramid of N = B T frames, clip after clip.
   * @param levels [N, h, w, C] each, finest first
   * @returns what each stage says
   * @throws {ShapeError} when the frames are no clips
   */
  stages(levels: readonly Tensor[], { image: [height, width], frames }: ClipLayout): GazeStage[] {
    const { clues, channels, roiSize, finestScale } = this.config, q = clues.length;
    const n = levels[0].shape[0], { device } = levels[0];
    if (!Number.isInteger(frames) || frames < 1 || n % frames !== 0) {
      throw new ShapeError(`McGaze: ${n} frames are no clips of ${frames}`);
    }
    const { boxes: first, features } = this.#proposals;
    const pixels = device.tensor(Float32Array.of(width, height, width, height));
    const corners = mul(cxcywhToXyxy(first.weight), pixels);
    let rois = broadcastTo(reshape(corners, [1, q, 4]), [n, q, 4]);
    let queries = broadcastTo(reshape(features.weight, [1, q, channels]), [n, q, channels]);
    return this.#roiHead.stages.map(({ box, gaze }) => {
      const bins = roiAlign(levels, rois.detach(), {
        strides: RESNET_STRIDES,
        outputSize: roiSize,
        finestScale,
      });
      const seen = box.forward(queries, reshape(bins, [n * q, roiSize ** 2, channels]), frames);
      const boxes = decodeBoxes(rois, seen.deltas);
      const stage: GazeStage = {
        rois,
        scores: seen.scores,
        boxes,
        gazes: gaze.forward(seen.features),
        features: seen.features,
      };
      rois = boxes.detach();
      queries = seen.features;
      return stage;
    });
  }

  /**
   * All of it: images [N, 3, H, W], normalised, of N = B T frames.
   * @param frames T; default the preset's
   * @returns what each stage says, the best last
   * @throws {ShapeError} when the images are none, or no clips
   */
  forward(images: Tensor, frames: number = this.config.clipLength): GazeStage[] {
    const levels = this.pyramid(this.maps(images));
    const [, , height, width] = images.shape;
    return this.stages(levels, { image: [height, width], frames });
  }
}
