/**
 * Gaze in pictures and videos: decode, find heads, follow persons, draw, write.
 * @module
 */
import { join } from "node:path";
import {
  angularErrors,
  type Box,
  boxInFrame,
  type DrawnGaze,
  type FrameHead,
  GazeFollower,
  type GivenHeads,
  HEAD_SHARE,
  headOfFace,
  overlaySvg,
  type PersonGaze,
  type Picture,
} from "../../data/gaze/mod.ts";
import { DataError, InterruptedError } from "../../engine/errors.ts";
import { writeFileAtomic } from "../../io/files.ts";
import type { JsonObject } from "../../io/mod.ts";
import type { McGaze } from "../../models/mod.ts";
import { Progress } from "../progress.ts";
import type { FaceDetector } from "./detector.ts";
import type { FrameSource, InputFrame } from "./frames.ts";
import { frameDigest } from "./journal.ts";
import { animate, drawOver } from "./pictures.ts";
import { gazePredictor, type ShownHead } from "./predictor.ts";
import { GazeResults } from "./results.ts";
import { type GazeFacts, type GazeRow, gazeRow, NOTE } from "./rows.ts";
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
  /** Height of a head as a share of the square that is cut out about it. Default `HEAD_SHARE`. */
  readonly headShare?: number;
  readonly out: string;
  /**
   * What the results depend on besides the frames. A run that was stopped is gone on with by one of the same settings.
   * Default: every run begins anew.
   */
  readonly settings?: JsonObject;
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

/** The input's frames are not those of the run that should be gone on with. */
class ChangedInput extends Error {}

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
 *
 * A run that ends early writes what it has, marked as not complete, and leaves a journal (`journal.ts`) of what no later frame
 * could change; so does one that is killed. With the same `settings` and the same frames the next run goes on behind that,
 * and ends as if there had been no end between; with other frames it begins anew.
 * @throws {DataError} no frame can be read, or no head is in any; a given box is none of its frame's
 * @throws {InterruptedError} the signal was aborted
 */
export async function runGaze(job: GazeJob): Promise<GazeRun> {
  try {
    return await attempt(job);
  } catch (error) {
    if (!(error instanceof ChangedInput)) throw error;
    job.warn?.(`${error.message}; beginning anew`);
    await Deno.remove(join(job.out, "gaze.jsonl"));
    return await attempt(job);
  }
}

async function attempt(job: GazeJob): Promise<GazeRun> {
  using results = await GazeResults.begin(job.out, job.settings);
  const before = results.journal.known;
  if (before > 0) job.warn?.(`going on: ${before} frames were seen before, their results are kept`);
  const run = new Runner(job, results);
  try {
    await run.frames();
  } catch (error) {
    if (error instanceof ChangedInput) throw error;
    if (results.rows.length > 0) {
      await results.finish(run.facts(false));
      if (!(error instanceof InterruptedError)) job.warn?.(kept(job));
    } else if (!(error instanceof InterruptedError)) await results.discard();
    throw error;
  } finally {
    run.follower.dispose();
  }
  await results.finish(run.facts(true));
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

function kept({ out, settings }: GazeJob): string {
  return `what is finished is in ${out}${
    settings === undefined ? "" : ", and the same command goes on behind it"
  }`;
}

class Runner {
  readonly stages = new Stages();
  readonly follower: GazeFollower<ShownHead>;
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
    const { model, size, headShare = HEAD_SHARE } = job;
    this.follower = new GazeFollower(gazePredictor({
      model,
      size,
      headShare,
      stages: this.stages,
      frame: () => this.count - 1,
      finished: (frame) => results.journal.finished(frame),
    }));
  }

  facts(complete: boolean): GazeFacts {
    return {
      input: this.#job.input,
      ...this.#job.facts,
      frames: Math.max(this.count, this.#results.journal.known),
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
    let ended = false;
    try {
      while (true) {
        if (signal?.aborted) {
          throw new InterruptedError(
            `Interrupted after ${this.count} frames; ${kept(this.#job)}.`,
          );
        }
        const { value, done } = await this.stages.time("decode", () => frames.next());
        if (done) {
          ended = true;
          const { known } = this.#results.journal;
          if (this.count < known) {
            throw new ChangedInput(`${name} has ${this.count} frames, ${known} were seen before`);
          }
          break;
        }
        await this.#frame(value);
        bar?.update(this.count, `${this.#results.rows.length} heads`);
      }
    } finally {
      // Also when it stops early: what clips could still be made of is answered.
      await frames.return(undefined);
      await this.#take(await this.follower.cut(), ended);
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
      await this.#note(index, input, 0);
      return;
    }
    const { height, width } = picture, before = this.#before;
    this.#before = picture;
    if (before && (before.height !== height || before.width !== width)) {
      await this.#take(await this.follower.cut());
      this.#lastHeads = [];
      this.#sinceDetection = 0;
    }
    const { faces, heads } = await this.stages.time(
      "detect",
      () => this.#heads(index, input.name, picture),
    );
    await this.#note(index, input, heads.length, faces);
    if (heads.length === 0) this.#withoutHead.push(index);
    this.#waiting.push({ index, picture, input, heads: heads.length, drawn: [] });
    await this.#take(
      await this.stages.time("crop", () => this.follower.add(index, picture, heads)),
    );
    if (this.#job.stills) await this.#take(await this.follower.cut());
    await this.#draw();
  }

  /** Notes a frame that is new; makes sure that one that is not has not changed. */
  async #note(
    frame: number,
    { name, picture }: InputFrame,
    heads: number,
    faces?: readonly Box[],
  ): Promise<void> {
    const { journal } = this.#results, before = journal.frame(frame);
    if (this.#job.settings === undefined) {
      await journal.addFrame({ frame, digest: "", heads });
      return;
    }
    const digest = await frameDigest(picture);
    if (before === undefined) {
      await journal.addFrame({ frame, digest, heads, ...(faces ? { faces } : {}) });
    } else if (before.digest !== digest) {
      throw new ChangedInput(
        `frame ${frame} (${name}) is not what it was in the run that was stopped`,
      );
    }
  }

  /** The heads of a frame, and the faces that the detector found if it was asked. */
  async #heads(
    index: number,
    name: string,
    picture: Picture,
  ): Promise<{ heads: readonly FrameHead[]; faces?: readonly Box[] }> {
    const { heads: source } = this.#job, { height, width } = picture;
    const label = `frame ${index} (${name}): the head's box`;
    if (source.kind === "none") return { heads: [{ box: null }] };
    if (source.kind === "file") {
      const heads = source.heads.of(index, name).map(({ box, person }) => ({
        box: boxInFrame(box, height, width, label),
        ...(person === undefined ? {} : { person }),
      }));
      return { heads };
    }
    if (this.#sinceDetection++ % source.every !== 0) return { heads: this.#lastHeads };
    const faces = this.#results.journal.frame(index)?.faces ?? await source.detect(picture);
    this.#lastHeads = faces.map((face) => ({
      box: boxInFrame(headOfFace(face), height, width, label),
    }));
    return { heads: this.#lastHeads, faces };
  }

  /** Writes what is known of persons, but for what a run before has written. */
  async #take(known: readonly PersonGaze[], final = true): Promise<void> {
    const rows: GazeRow[] = [];
    for (const gaze of known) {
      const waiting = this.#waiting.find(({ index }) => index === gaze.frame)!;
      const { name, seconds, truth } = waiting.input;
      const before = this.#results.journal.row(gaze.frame, gaze.person);
      waiting.heads--;
      waiting.drawn.push(before ?? (truth ? { ...gaze, truth } : gaze));
      if (before) continue;
      rows.push(gazeRow(gaze, { file: name, seconds, ...(truth ? { truth } : {}) }));
    }
    await this.#results.add(rows, final);
  }

  /** Draws the frames that are answered. */
  async #draw(): Promise<void> {
    while (this.#waiting.length > 0 && this.#waiting[0].heads === 0) {
      const { index, picture, drawn } = this.#waiting.shift()!;
      const before = this.#results.drawn(index);
      if (before !== undefined) {
        this.#overlays.push(before);
        continue;
      }
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
