/**
 * Running a trained MCGaze: frames become features once, clips of features become gaze. A clip that slides over a video
 * shares most of its frames with the one before, and the backbone is nearly all of the work, so features are kept by frame.
 *
 *     const frames = await gazeFeatures(model, images, [n, 3, 224, 224]);
 *     const { gazes, boxes } = await predictGaze(model, frames.slice(0, 7)); // then frames.slice(4, 11), …
 *     frames.forEach((frame) => frame.dispose());
 * @module
 */
import { noGrad } from "../engine/autograd.ts";
import { ShapeError } from "../engine/errors.ts";
import { concat, sigmoid, slice } from "../engine/ops/mod.ts";
import type { Tensor } from "../engine/tensor.ts";
import type { GazeClue } from "./gaze_losses.ts";
import type { GazeStage, McGaze } from "./mcgaze.ts";

/** What the model has seen in one frame; lives on the GPU until it is disposed of. */
export interface FrameFeatures {
  /** The pyramid's levels, [1, h, w, C] each, finest first. */
  readonly levels: readonly Tensor[];
  /** Rows and columns of the frame in pixels. */
  readonly image: readonly [height: number, width: number];
  /** Frees it. */
  dispose(): void;
}

/** What one stage says about N frames. */
export interface StagePrediction {
  /** The box of each clue as x1, y1, x2, y2 in pixels of the frame as it was given; it may reach outside: [N, 4]. */
  readonly boxes: Readonly<Partial<Record<GazeClue, Float32Array>>>;
  /** How sure it is that the clue is there, 0 to 1: [N]. */
  readonly scores: Readonly<Partial<Record<GazeClue, Float32Array>>>;
  /** Unit vectors of each clue, and `final`, of all together: [N, 3]. Coordinates are those of data/gaze/vectors.ts. */
  readonly gazes: Readonly<{ final: Float32Array } & Partial<Record<GazeClue, Float32Array>>>;
}

/** What the model says about N frames. */
export interface GazePrediction extends StagePrediction {
  /** What each stage said; the last one is the answer. */
  readonly stages: readonly StagePrediction[];
}

/**
 * The features of frames, each by itself; they need not be of one clip.
 * @param images normalised values
 * @param shape [N, 3, H, W]
 * @throws {ShapeError} when values and shape do not fit
 */
export async function gazeFeatures(
  model: McGaze,
  images: Float32Array,
  shape: readonly [frames: number, channels: number, height: number, width: number],
): Promise<FrameFeatures[]> {
  const { device } = model.parameters()[0];
  const [n, , height, width] = shape;
  const frames = await device.step(() =>
    noGrad(() => {
      const levels = model.pyramid(model.maps(device.tensor(images, shape)));
      return Array.from({ length: n }, (_, i) => levels.map((level) => slice(level, 0, i, i + 1)));
    })
  );
  return frames.map((levels) => ({
    levels,
    image: [height, width],
    dispose: () => levels.forEach((level) => level.dispose()),
  }));
}

/**
 * What the model says about clips of frames.
 * @param features of N = B T frames, clip after clip; the same features may come several times
 * @param frames T; default all of them: one clip
 * @throws {ShapeError} when there is no frame, frames are of different sizes or make no clips
 */
export async function predictGaze(
  model: McGaze,
  features: readonly FrameFeatures[],
  frames: number = features.length,
): Promise<GazePrediction> {
  if (features.length === 0) throw new ShapeError("predictGaze(): there is no frame");
  const { image } = features[0], { device } = features[0].levels[0];
  const other = features.find((frame) => frame.image.join() !== image.join());
  if (other !== undefined) {
    throw new ShapeError(
      `predictGaze(): frames of ${image.join(" x ")} and ${other.image.join(" x ")} pixels; ` +
        "all frames of a clip must have one size",
    );
  }
  const { clues } = model.config;
  const reads = await device.step(() =>
    noGrad(() => {
      const levels = features[0].levels.map((_, l) =>
        concat(features.map((frame) => frame.levels[l]), 0)
      );
      return model.stages(levels, { image, frames }).map(requestStage);
    })
  );
  const stages = await Promise.all(reads.map((read) => toPrediction(read, clues)));
  return { ...stages[stages.length - 1], stages };
}

/** Asks for what a stage says. */
function requestStage({ boxes, scores, gazes }: GazeStage) {
  return {
    boxes: boxes.data(),
    scores: sigmoid(scores).data(),
    gazes: Object.entries(gazes).map(([name, gaze]) => [name, gaze.data()] as const),
  };
}

async function toPrediction(
  reads: ReturnType<typeof requestStage>,
  clues: readonly GazeClue[],
): Promise<StagePrediction> {
  const ofClue = (values: ArrayLike<number>, width: number) =>
    Object.fromEntries(clues.map((clue, k) => {
      const row = width * clues.length;
      const length = values.length / clues.length;
      const at = (i: number): number => Math.floor(i / width) * row + k * width + i % width;
      return [clue, Float32Array.from({ length }, (_, i) => values[at(i)])];
    }));
  const gazes: Partial<Record<string, Float32Array>> = {};
  for (const [name, read] of reads.gazes) gazes[name] = (await read) as Float32Array;
  return {
    boxes: ofClue(await reads.boxes, 4),
    scores: ofClue(await reads.scores, 1),
    gazes: gazes as StagePrediction["gazes"],
  };
}
