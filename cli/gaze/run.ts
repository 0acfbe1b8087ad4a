/**
 * Gaze in pictures and videos: decode, find heads, follow persons, draw, write.
 * @module
 */
import { join } from "node:path";
import {
  angularErrors,
  boxInFrame,
  type DrawnGaze,
  type FrameHead,
  GazeFollower,
  type GazePredictor,
  type GivenHeads,
  headOfFace,
  overlaySvg,
  type PersonGaze,
  type Picture,
} from "../../data/gaze/mod.ts";
import { DataError, InterruptedError } from "../../engine/errors.ts";
import { writeFileAtomic } from "../../io/files.ts";
import { type FrameFeatures, gazeFeatures, type McGaze, predictGaze } from "../../models/mod.ts";
import { Progress } from "../progress.ts";
import type { FaceDetector } from "./detector.ts";
import type { FrameSource, InputFrame } from "./frames.ts";
import { animate, drawOver } from "./pictures.ts";
import { type GazeFacts, GazeResults, type GazeRow, gazeRow, NOTE } from "./results.ts";
import { Stages } from "./stages.ts";

/** Where heads are. */
export type HeadSource =
  /** Detected in every `every`-th frame, and in the others where they were last. */
  | { readonly kind: "detector"; readonly detect: FaceDetector; readonly every: number }
  /** Given. */
  | { readonly kind: "file"; readonly heads: GivenHeads }
  /** The whole frame is shown to the model: it holds one head, cut out before. */
  | { readonly kind: "none" };

/** What `runGaze` needs. */
export interface GazeJob {
  readonly input: string;
  readonly source: FrameSource;
  readonly model: McGaze;
  /** Side of what the model is shown, in pixels. */
  readonly size: number;
  readonly heads: HeadSource;
  readonly out: string;
  /** Told in the results. */
  readonly facts: Pick<GazeFacts, "weights" | "detector" | "adapter">;
  /** Each frame is a picture by itself. Default false. */
  readonly stills?: boolean;
  readonly signal?: AbortSignal;
  /** Called with what should be known while it runs. */
  readonly warn?: (message: string) => void;
}

/** What a run gave. */
export interface GazeRun {
  readonly rows: readonly GazeRow[];
  readonly frames: number;
  /** Mean angle to the true gaze in degrees where that is known. */
  readonly error: number | null;
  readonly stages: Stages;
}

/** An animation holds at most so many frames, none larger than so many pixels. */
const ANIMATION = { frames: 240, pixels: 480 } as const;

/** Smaller frames are enlarged before something is drawn over them: pixels of the shorter side. */
const LEAST_OVERLAY = 240;

/** A frame that waits until all its heads are answered. */
interface Waiting {
  readonly index: number;
  readonly picture: Picture;
  readonly input: InputFrame;
  heads: number;
  readonly drawn: DrawnGaze[];
}

/**
 * Says where the persons of an input look, and writes it into a folder (`results.ts`): numbers, overlays, and of several
 * frames an animation.
 *
 * Frames of another size than the one before begin another scene. A frame that cannot be read, or in which no head is, has
 * no rows; the persons are followed across it.
 * @throws {DataError} no frame can be read, or no head is in any; a given box is none of its frame's
 * @throws {InterruptedError} the signal was aborted. As with any error after the first frames, what is finished is written,
 * marked as not complete
 */
export async function runGaze(job: GazeJob): Promise<GazeRun> {
  using results = await GazeResults.begin(job.out);
  const run = new Runner(job, results);
  let complete = false;
  try {
    await run.frames();
    complete = true;
  } finally {
    run.follower.dispose();
    if (results.rows.length > 0) await results.finish(run.facts(complete));
    else await results.discard();
  }
  await run.animation();
  const { rows } = results;
  const known = rows.filter(({ truth }) => truth !== undefined);
  const errors = angularErrors(
    known.flatMap(({ gaze }) => [...gaze]),
    known.flatMap(({ truth }) => [...truth!]),
  );
  const error = known.length === 0 ? null : errors.reduce((a, b) => a + b, 0) / known.length;
  return { rows, frames: run.count, error, stages: run.stages };
}

class Runner {
  readonly stages = new Stages();
  readonly follower: GazeFollower<FrameFeatures>;
  count = 0;
  readonly #job: GazeJob;
  readonly #results: GazeResults;
  readonly #unreadable: { frame: number; file: string; why: string }[] = [];
  readonly #withoutHead: number[] = [];
  /** In order; the first is drawn as soon as it is answered. */
  readonly #waiting: Waiting[] = [];
  readonly #overlays: string[] = [];
  #before: Picture | undefined;
  #lastHeads: readonly FrameHead[] = [];
  #sinceDetection = 0;

  constructor(job: GazeJob, results: GazeResults) {
    this.#job = job;
    this.#results = results;
    this.follower = new GazeFollower(timedPredictor(job, this.stages));
  }

  facts(complete: boolean): GazeFacts {
    return {
      input: this.#job.input,
      ...this.#job.facts,
      frames: this.count,
      complete,
      unreadable: this.#unreadable,
      withoutHead: this.#withoutHead,
    };
  }

  async frames(): Promise<void> {
    const { source, signal, input: name } = this.#job;
    const bar = source.count === undefined || source.count < 2
      ? undefined
      : new Progress("gaze", source.count);
    const frames = source.frames();
    try {
      while (true) {
        if (signal?.aborted) {
          throw new InterruptedError(
            `Interrupted after ${this.count} frames; what is finished is in ${this.#job.out}.`,
          );
        }
        const { value, done } = await this.stages.time("decode", () => frames.next());
        if (done) break;
        await this.#frame(value);
        bar?.update(this.count, `${this.#results.rows.length} heads`);
      }
    } finally {
      // Also when it stops early: what clips could still be made of is answered and kept.
      await frames.return(undefined);
      await this.#take(await this.follower.cut());
      await this.#draw();
    }
    bar?.finish(`${this.#results.rows.length} heads`);
    if (this.#unreadable.length === this.count) {
      throw new DataError(
        this.count === 0
          ? `${name} has no frames`
          : `${name}: no frame can be read; the first: ${this.#unreadable[0].why}`,
      );
    }
    if (this.#results.rows.length === 0) {
      throw new DataError(
        `${name}: no head was found in any of ${this.count} frames; name boxes with --boxes FILE.json, or show whole ` +
          "frames to the model with --detector none",
      );
    }
  }

  async #frame(input: InputFrame): Promise<void> {
    const index = this.count++, { picture } = input;
    if (picture === null) {
      const why = input.problem ?? "it cannot be read";
      this.#unreadable.push({ frame: index, file: input.name, why });
      this.#job.warn?.(`frame ${index} is left out: ${why}`);
      return;
    }
    const { height, width } = picture, before = this.#before;
    this.#before = picture;
    if (before && (before.height !== height || before.width !== width)) {
      await this.#take(await this.follower.cut());
      this.#lastHeads = [];
      this.#sinceDetection = 0;
    }
    const heads = await this.stages.time("detect", () => this.#heads(index, input.name, picture));
    if (heads.length === 0) this.#withoutHead.push(index);
    this.#waiting.push({ index, picture, input, heads: heads.length, drawn: [] });
    await this.#take(
      await this.stages.time("crop", () => this.follower.add(index, picture, heads)),
    );
    if (this.#job.stills) await this.#take(await this.follower.cut());
    await this.#draw();
  }

  async #heads(index: number, name: string, picture: Picture): Promise<readonly FrameHead[]> {
    const { heads: source } = this.#job, { height, width } = picture;
    const label = `frame ${index} (${name}): the head's box`;
    if (source.kind === "none") return [{ box: null }];
    if (source.kind === "file") {
      return source.heads.of(index, name).map(({ box, person }) => ({
        box: boxInFrame(box, height, width, label),
        ...(person === undefined ? {} : { person }),
      }));
    }
    if (this.#sinceDetection++ % source.every === 0) {
      const faces = await source.detect(picture);
      this.#lastHeads = faces.map((face) => ({
        box: boxInFrame(headOfFace(face), height, width, label),
      }));
    }
    return this.#lastHeads;
  }

  /** Writes what is final. */
  async #take(final: readonly PersonGaze[]): Promise<void> {
    const rows = final.map((gaze) => {
      const waiting = this.#waiting.find(({ index }) => index === gaze.frame)!;
      const { name, seconds, truth } = waiting.input;
      waiting.heads--;
      waiting.drawn.push(truth ? { ...gaze, truth } : gaze);
      return gazeRow(gaze, { file: name, seconds, ...(truth ? { truth } : {}) });
    });
    await this.#results.add(rows);
  }

  /** Draws the frames that are answered. */
  async #draw(): Promise<void> {
    while (this.#waiting.length > 0 && this.#waiting[0].heads === 0) {
      const { index, picture, drawn } = this.#waiting.shift()!;
      const zoom = Math.ceil(LEAST_OVERLAY / Math.min(picture.height, picture.width));
      const png = await this.stages.time(
        "draw",
        () => drawOver(picture, overlaySvg(picture, drawn, { caption: NOTE, zoom }), zoom),
      );
      this.#overlays.push(await this.#results.picture(index, png));
    }
  }

  /** Writes the overlays as one file that moves; of many frames it takes every second, third, … */
  async animation(): Promise<void> {
    if (this.#overlays.length < 2) return;
    const step = Math.ceil(this.#overlays.length / ANIMATION.frames);
    const chosen = this.#overlays.filter((_, i) => i % step === 0);
    await this.stages.time("draw", async () => {
      const files = await Promise.all(chosen.map((path) => Deno.readFile(path)));
      const delays = files.map(() => step * this.#job.source.delay);
      await writeFileAtomic(
        join(this.#job.out, "gaze.webp"),
        await animate(files, delays, ANIMATION.pixels),
      );
    });
  }
}

/** The model, with the time of its two parts. */
function timedPredictor(
  { model, size }: GazeJob,
  stages: Stages,
): GazePredictor<FrameFeatures> {
  return {
    size,
    features: (images, count) =>
      stages.time("features", () => gazeFeatures(model, images, [count, 3, size, size])),
    predict: (clip) => stages.time("heads", () => predictGaze(model, clip)),
  };
}
