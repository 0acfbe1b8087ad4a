/**
 * The model as `GazeFollower` takes it, with the time of its two parts; of frames that a run before has finished it computes
 * no more than clips with later frames need.
 * @module
 */
import type { ClipPrediction, GazePredictor } from "../../data/gaze/mod.ts";
import { type FrameFeatures, gazeFeatures, type McGaze, predictGaze } from "../../models/mod.ts";
import type { Stages } from "./stages.ts";

/** A head as the model is shown it, and its features once they are asked for. */
export class ShownHead {
  /** Number of its frame. */
  readonly frame: number;
  readonly #image: Float32Array;
  #features: FrameFeatures | undefined;

  /** @param image normalised values [3, size, size] */
  constructor(frame: number, image: Float32Array, features?: FrameFeatures) {
    this.frame = frame;
    this.#image = image;
    this.#features = features;
  }

  /** Its features, computed the first time. */
  async features(compute: (image: Float32Array) => Promise<FrameFeatures>): Promise<FrameFeatures> {
    return this.#features ??= await compute(this.#image);
  }

  /** Frees them. */
  dispose(): void {
    this.#features?.dispose();
  }
}

/** What `gazePredictor` needs. */
export interface PredictorParts {
  readonly model: McGaze;
  /** Side of what the model is shown, in pixels. */
  readonly size: number;
  /** Height of a head as a share of it. */
  readonly headShare: number;
  readonly stages: Stages;
  /** The frame whose heads are shown now. */
  readonly frame: () => number;
  /** Whether a frame's results are known: a clip of such frames alone is answered by zeros, which nobody reads. */
  readonly finished: (frame: number) => boolean;
}

/** The model in its two parts. */
export function gazePredictor(parts: PredictorParts): GazePredictor<ShownHead> {
  const { model, size, headShare, stages, finished } = parts;
  const compute = (images: Float32Array, count: number): Promise<readonly FrameFeatures[]> =>
    stages.time("features", () => gazeFeatures(model, images, [count, 3, size, size]));
  return {
    size,
    headShare,
    async features(images, count) {
      const frame = parts.frame(), bytes = 3 * size * size;
      const image = (i: number) => images.subarray(i * bytes, (i + 1) * bytes);
      const features = finished(frame) ? [] : await compute(images, count);
      return Array.from({ length: count }, (_, i) => new ShownHead(frame, image(i), features[i]));
    },
    async predict(clip) {
      if (clip.every(({ frame }) => finished(frame))) return zeros(model, clip.length);
      const features: FrameFeatures[] = [];
      for (const head of clip) {
        features.push(await head.features(async (image) => (await compute(image, 1))[0]));
      }
      return await stages.time("heads", () => predictGaze(model, features));
    },
  };
}

function zeros({ config }: McGaze, length: number): ClipPrediction {
  const boxes = config.clues.map((clue) => [clue, new Float32Array(4 * length)]);
  return { boxes: Object.fromEntries(boxes), gazes: { final: new Float32Array(3 * length) } };
}
