/**
 * From frames to rows: heads are found, followed, and answered, as `wgrad gaze` does it.
 * @module
 */
import { gazePredictor, type ShownHead } from "../../../cli/gaze/predictor.ts";
import { type GazeFacts, type GazeRow, gazeRow } from "../../../cli/gaze/rows.ts";
import { Stages } from "../../../cli/gaze/stages.ts";
import {
  boxInFrame,
  type DrawnGaze,
  type FrameHead,
  GazeFollower,
  HEAD_SHARE,
  headOfFace,
  type PersonGaze,
  type Picture,
} from "../../../data/gaze/mod.ts";
import type { PageDetector } from "./detector.ts";
import type { LoadedGaze } from "./weights.ts";
import type { PageFrame, PageSource } from "./sources.ts";

/** A frame all of whose heads are answered. */
export interface Answered {
  readonly picture: Picture;
  readonly drawn: readonly DrawnGaze[];
  readonly rows: readonly GazeRow[];
}

interface Waiting {
  readonly index: number;
  readonly frame: PageFrame;
  heads: number;
  readonly drawn: DrawnGaze[];
  readonly rows: GazeRow[];
}

/** Follows the persons of a source. */
export class Follow {
  readonly stages = new Stages();
  readonly rows: GazeRow[] = [];
  count = 0;
  readonly #withoutHead: number[] = [];
  readonly #waiting: Waiting[] = [];
  readonly #follower: GazeFollower<ShownHead>;
  #complete = false;

  /** @param detect null: each frame is one head */
  constructor(
    readonly source: PageSource,
    readonly loaded: LoadedGaze,
    readonly adapter: string,
    readonly detect: PageDetector | null,
  ) {
    this.#follower = new GazeFollower(gazePredictor({
      model: loaded.model,
      size: loaded.model.config.imageSize,
      headShare: HEAD_SHARE,
      stages: this.stages,
      frame: () => this.count - 1,
      finished: () => false,
    }));
  }

  /** Goes through the source; `show` is called with each frame that is answered. Ends early when the signal says so. */
  async run(
    show: (answered: Answered) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<void> {
    const frames = this.source.frames();
    try {
      while (!signal.aborted) {
        const { value, done } = await this.stages.time("decode", () => frames.next());
        if (done) {
          this.#complete = true;
          break;
        }
        await this.#add(value);
        await this.#show(show);
      }
    } finally {
      await frames.return(undefined);
      this.#take(await this.#follower.cut());
      this.#follower.dispose();
      await this.#show(show);
    }
  }

  /** What is told with the rows. */
  get facts(): GazeFacts {
    return {
      input: this.source.label,
      weights: this.loaded.label,
      detector: this.detect === null ? "none" : "tiny",
      adapter: this.adapter,
      frames: this.count,
      complete: this.#complete,
      unreadable: [],
      withoutHead: this.#withoutHead,
    };
  }

  async #add(frame: PageFrame): Promise<void> {
    const index = this.count++, { picture } = frame, { height, width } = picture;
    const heads: readonly FrameHead[] = this.detect === null
      ? [{ box: null }]
      : (await this.stages.time("detect", () => this.detect!(picture))).map((face) => ({
        box: boxInFrame(headOfFace(face), height, width, `frame ${index}: the head's box`),
      }));
    if (heads.length === 0) this.#withoutHead.push(index);
    this.#waiting.push({ index, frame, heads: heads.length, drawn: [], rows: [] });
    this.#take(await this.stages.time("crop", () => this.#follower.add(index, picture, heads)));
  }

  #take(known: readonly PersonGaze[]): void {
    for (const gaze of known) {
      const waiting = this.#waiting.find(({ index }) => index === gaze.frame)!;
      const { name, seconds, truth } = waiting.frame;
      const row = gazeRow(gaze, { file: name, seconds, ...(truth ? { truth } : {}) });
      waiting.heads--;
      waiting.drawn.push(truth ? { ...gaze, truth } : gaze);
      waiting.rows.push(row);
      this.rows.push(row);
    }
  }

  async #show(show: (answered: Answered) => Promise<void> | void): Promise<void> {
    while (this.#waiting.length > 0 && this.#waiting[0].heads === 0) {
      const { frame: { picture }, drawn, rows } = this.#waiting.shift()!;
      await this.stages.time("draw", async () => await show({ picture, drawn, rows }));
      const { pace } = this.source;
      if (pace > 0) await new Promise((done) => setTimeout(done, 1000 * pace));
    }
  }
}
