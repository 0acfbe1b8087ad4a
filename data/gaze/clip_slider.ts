/**
 * A window that slides over frames as they come: the clips and the means of `slidingClips` and `mergeClips`
 * (`windows.ts`), without the whole video at hand.
 *
 * Clips    of 7 frames, each 4 after the one before; the last clip ends with the video and may overlap more. A video
 *          shorter than a clip is one clip whose last frame is repeated.
 * Answers  a frame in two clips has the mean of what stood there and of the later clip's. It is final once no clip to come
 *          can hold it; so at most 2 x 7 frames are kept.
 * @module
 */
import { ShapeError } from "../../engine/errors.ts";
import { WINDOW } from "./windows.ts";

/** A frame with its answer. */
export interface Answered<F> {
  /** As it was given. */
  readonly frame: F;
  /** What the clips say about it. */
  readonly values: Float64Array;
}

/** What is asked about a clip: values [T, width] of T frames. */
export type ClipQuestion<F> = (frames: readonly F[]) => Promise<ArrayLike<number>>;

/** Asks about clips of frames. */
export class ClipSlider<F> {
  readonly #ask: ClipQuestion<F>;
  readonly #length: number;
  readonly #stride: number;
  /** Frames that are not final. */
  #open: { readonly frame: F; values: Float64Array | undefined }[] = [];
  /** Number of the first open frame, and of all frames that came. */
  #first = 0;
  #count = 0;
  /** Where the next clip begins. */
  #start = 0;

  /**
   * A window before the first frame.
   * @throws {ShapeError} the stride leaves frames out
   */
  constructor(ask: ClipQuestion<F>, options: { length?: number; stride?: number } = {}) {
    const { length = WINDOW.length, stride = WINDOW.stride } = options;
    if (![length, stride].every((n) => Number.isInteger(n) && n >= 1) || stride > length) {
      throw new ShapeError(`ClipSlider: length ${length} and stride ${stride} do not fit`);
    }
    this.#ask = ask;
    this.#length = length;
    this.#stride = stride;
  }

  /** Frames that came and are not final. */
  get open(): readonly F[] {
    return this.#open.map(({ frame }) => frame);
  }

  /** The next frame. @returns the frames that are final now, in order */
  async add(frame: F): Promise<Answered<F>[]> {
    this.#open.push({ frame, values: undefined });
    this.#count++;
    if (this.#count < this.#start + this.#length) return [];
    await this.#answer(this.#start);
    const final = this.#take(this.#start + 1); // the last clip may begin with the frame after this one
    this.#start += this.#stride;
    return final;
  }

  /** No frame comes any more. @returns the rest */
  async end(): Promise<Answered<F>[]> {
    if (this.#open.some(({ values }) => values === undefined)) {
      await this.#answer(Math.max(0, this.#count - this.#length));
    }
    return this.#take(this.#count);
  }

  /** Asks about the clip that begins with frame `start`. */
  async #answer(start: number): Promise<void> {
    const from = start - this.#first;
    const clip = this.#open.slice(from, from + this.#length);
    const last = clip[clip.length - 1];
    const asked = Array.from({ length: this.#length }, (_, t) => (clip[t] ?? last).frame);
    const answer = await this.#ask(asked), width = answer.length / this.#length;
    clip.forEach((open, t) => {
      const { values: before } = open;
      open.values = Float64Array.from({ length: width }, (_, k) => {
        const value = answer[t * width + k];
        return before === undefined ? value : (before[k] + value) / 2;
      });
    });
  }

  #take(end: number): Answered<F>[] {
    const final = this.#open.splice(0, end - this.#first);
    this.#first = end;
    return final.map(({ frame, values }) => ({ frame, values: values! }));
  }
}
