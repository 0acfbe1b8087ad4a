/**
 * Synthetic clips by number: rendered when asked for, the same bits each time and in every engine.
 *
 * What is guaranteed: everything drawn and rendered comes from integer hashes, + - * / and square roots on doubles, which
 * IEEE 754 rounds correctly; no other function of `Math` that an engine may round its own way.
 * @module
 */
import { DataError, ShapeError } from "../../../engine/errors.ts";
import { Rng } from "../../random.ts";
import type { ClipSource, GazeClip } from "../clip.ts";
import type { Square } from "../head_boxes.ts";
import { checkRanges, RANGES, type Ranges, type SplitName, SPLITS } from "./ranges.ts";
import { renderScene } from "./render.ts";
import { drawScenes } from "./scene.ts";
import { type FrameBox, type Truth, truthOf } from "./truth.ts";
import { type ClipView, headSquares, WHOLE_FRAME } from "./view.ts";

/** Options of `SyntheticClips`. */
export interface SyntheticOptions {
  /** Whom and which lights to draw from. */
  readonly split: SplitName;
  /** How many clips. */
  readonly count: number;
  /** Side of the square pictures in pixels. */
  readonly size: number;
  /** What they show: the heads as models are shown them (`view.ts`), or the renderer's whole frames. Default "head". */
  readonly view?: ClipView;
  /** Decides the clips. Default 0. */
  readonly seed?: number | bigint;
  /** Default `RANGES`. */
  readonly ranges?: Ranges;
}

/** A clip whose head pose and hidden frames are known. */
export type SyntheticClip = GazeClip & Required<Pick<GazeClip, "headPose" | "hidden">>;

/** Clips of seven frames of one person each. */
export class SyntheticClips implements ClipSource {
  /** How many there are. */
  readonly count: number;
  readonly #options: Required<Omit<SyntheticOptions, "seed">>;
  readonly #rng: Rng;

  /**
   * Clips of a split.
   * @throws {ShapeError} count, size or a range is not one
   */
  constructor(options: SyntheticOptions) {
    const { split, count, size, view = "head", seed = 0, ranges = RANGES } = options;
    if (!Number.isInteger(count) || count < 1 || count > 2 ** 32) {
      throw new ShapeError(`SyntheticClips: count must be a whole number >= 1, got ${count}`);
    }
    if (!Number.isInteger(size) || size < 8) {
      throw new ShapeError(`SyntheticClips: size must be a whole number >= 8, got ${size}`);
    }
    checkRanges(ranges);
    this.count = count;
    this.#options = { split, count, size, view, ranges };
    this.#rng = new Rng(seed, `gaze/${split}`);
  }

  /**
   * Renders clip `index`.
   * @throws {DataError} the index is out of range, or these ranges put the head outside the frame
   */
  clip(index: number): SyntheticClip {
    const { split, size, view, ranges } = this.#options;
    if (!Number.isInteger(index) || index < 0 || index >= this.count) {
      throw new DataError(`SyntheticClips: clip ${index} is not in [0, ${this.count})`);
    }
    const scenes = drawScenes(this.#rng, index, SPLITS[split], ranges), length = scenes.length;
    const noise = this.#rng.fork("noise");
    const clip: SyntheticClip = {
      frames: new Uint8Array(length * size * size * 3),
      length,
      height: size,
      width: size,
      boxes: new Float32Array(length * 12),
      faceKnown: new Uint8Array(length),
      gaze: new Float32Array(length * 3),
      headPose: new Float32Array(length * 3),
      hidden: new Uint8Array(length),
    };
    const truths = scenes.map(truthOf);
    const squares = view === "head"
      ? headSquares(this.#rng.fork("view").cell(index), truths.map(({ head }) => head))
      : scenes.map(() => WHOLE_FRAME);
    scenes.forEach((scene, t) => {
      const picture = renderScene(scene, size, noise.cell(index, t), squares[t]);
      clip.frames.set(picture, t * size * size * 3);
      setTruth(clip, t, truths[t], squares[t], `SyntheticClips: clip ${index}, frame ${t}`);
    });
    return clip;
  }
}

/** Writes what is true of a scene to frame t of a clip, which shows a square of it. */
function setTruth(
  clip: SyntheticClip,
  t: number,
  truth: Truth,
  square: Square,
  label: string,
): void {
  const head = inPixels(truth.head, square, clip.width);
  if (head === undefined) {
    throw new DataError(`${label}: the head is outside the frame; narrow offCentre and drift`);
  }
  clip.boxes.set(head, t * 12 + 8);
  const face = inPixels(truth.face, square, clip.width);
  const eyes = inPixels(truth.eyes, square, clip.width);
  if (face !== undefined && eyes !== undefined) {
    clip.boxes.set([...face, ...eyes], t * 12);
    clip.faceKnown[t] = 1;
  }
  clip.gaze.set(truth.gaze, 3 * t);
  clip.headPose.set(truth.headPose, 3 * t);
  clip.hidden[t] = truth.hidden ? 1 : 0;
}

/** The part of a box that is inside a square, in its pixels; undefined where less than a pixel is left. */
function inPixels(
  box: FrameBox | undefined,
  { left, top, side }: Square,
  size: number,
): number[] | undefined {
  if (box === undefined) return undefined;
  const [x1, y1, x2, y2] = box.map((value, i) =>
    size * Math.min(1, Math.max(0, (value - (i % 2 === 0 ? left : top)) / side))
  );
  return x2 - x1 >= 1 && y2 - y1 >= 1 ? [x1, y1, x2, y2] : undefined;
}
