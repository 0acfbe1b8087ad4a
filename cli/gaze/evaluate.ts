/**
 * Measuring a gaze model on clips.
 * @module
 */
import {
  type ClipSource,
  type ClipTransform,
  type ClueErrors,
  evaluateClues,
  floatClip,
  type GazeClip,
  type VideoClues,
} from "../../data/gaze/mod.ts";
import { noGrad } from "../../engine/autograd.ts";
import { DataError, type Device } from "../../engine/mod.ts";
import type { McGaze } from "../../models/mod.ts";
import { Rng } from "../../nn/mod.ts";

/** What an evaluation gives. */
export interface GazeEvaluation {
  /** Errors of each clue and of `final`, raw and smoothed. */
  readonly clues: Readonly<Record<string, ClueErrors>>;
  /** Mean error of `final` in degrees over the frames whose eyes can be seen; null where no frame says. */
  readonly visible: number | null;
  /** The same over the frames whose eyes are shut, covered, blurred away or turned away. */
  readonly hidden: number | null;
}

/** Options of `evaluateGazeModel`. */
export interface GazeEvaluationOptions {
  /** What happens to each clip before the model sees it; must not turn the gaze. */
  readonly transform: ClipTransform;
  /** Clips at a time. Default 8. */
  readonly batchSize?: number;
  /** How many clips, from the first. Default all. */
  readonly count?: number;
  /** Called after each batch. */
  readonly onProgress?: (done: number) => void;
}

/**
 * Runs the model on clips, each as a video of its own, and compares what its last stage says.
 * @throws {DataError} a clip cannot be read
 */
export async function evaluateGazeModel(
  device: Device,
  model: McGaze,
  source: ClipSource,
  options: GazeEvaluationOptions,
): Promise<GazeEvaluation> {
  const { transform, batchSize = 8, count = source.count, onProgress } = options;
  const videos: VideoClues[] = [];
  const seen = { sum: 0, frames: 0 }, unseen = { sum: 0, frames: 0 };
  const unused = new Rng(0, "gaze/evaluate");
  for (let first = 0; first < count; first += batchSize) {
    const clips: GazeClip[] = [];
    for (let i = first; i < Math.min(count, first + batchSize); i++) {
      clips.push(await source.clip(i));
    }
    const ready = clips.map((clip) => transform(floatClip(clip), unused));
    const frames = ready[0].frames.length, { height, width } = ready[0].frames[0];
    const other = ready.findIndex((clip) => (
      clip.frames.length !== frames ||
      clip.frames.some((frame) => frame.height !== height || frame.width !== width)
    ));
    if (other >= 0) {
      throw new DataError(
        `evaluateGazeModel: clip ${first + other} has another size or length than clip ${first}`,
      );
    }
    const images = new Float32Array(clips.length * frames * 3 * height * width);
    ready.flatMap((clip) => clip.frames)
      .forEach(({ data }, i) => images.set(data, i * data.length));
    const shape = [clips.length * frames, 3, height, width];
    const reads = await device.step(() =>
      noGrad(() => {
        const stages = model.forward(device.tensor(images, shape), frames);
        const { gazes } = stages[stages.length - 1];
        return Object.entries(gazes).map(([name, gaze]) => [name, gaze.data()] as const);
      })
    );
    const said: [string, ArrayLike<number>][] = [];
    for (const [name, read] of reads) said.push([name, await read]);
    clips.forEach((clip, i) => {
      const own = (values: ArrayLike<number>): Float32Array =>
        Float32Array.from(values).subarray(i * frames * 3, (i + 1) * frames * 3);
      const predicted = Object.fromEntries(said.map(([name, values]) => [name, own(values)]));
      videos.push({ predicted, truth: clip.gaze });
      for (let t = 0; t < frames && clip.hidden; t++) {
        const into = clip.hidden[t] === 1 ? unseen : seen;
        into.sum += angle(predicted.final, clip.gaze, 3 * t);
        into.frames++;
      }
    });
    onProgress?.(videos.length);
  }
  const mean = ({ sum, frames }: { sum: number; frames: number }): number | null =>
    frames === 0 ? null : sum / frames;
  return { clues: evaluateClues(videos), visible: mean(seen), hidden: mean(unseen) };
}

/** Degrees between the unit vectors at a place of two arrays. */
function angle(a: ArrayLike<number>, b: ArrayLike<number>, at: number): number {
  const cosine = a[at] * b[at] + a[at + 1] * b[at + 1] + a[at + 2] * b[at + 2];
  return Math.acos(Math.max(-1, Math.min(1, cosine))) * 180 / Math.PI;
}
