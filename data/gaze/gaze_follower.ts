/**
 * From a video's frames and heads to each person's gaze, frame by frame: who is who (`head_tracker.ts`), what the model is
 * shown (`head_crop.ts`), clips that slide (`clip_slider.ts`). The model is the caller's, so this runs on a page, too.
 * @module
 */
import type { Picture } from "./annotated_clips.ts";
import type { Box } from "./clip_boxes.ts";
import { CLUES } from "./clip.ts";
import { ClipSlider } from "./clip_slider.ts";
import { type Square, squareAbout, wholeFrame } from "./head_boxes.ts";
import { headCrop } from "./head_crop.ts";
import { HeadTracker } from "./head_tracker.ts";

/** The name of a clue. */
export type ClueName = (typeof CLUES)[number];

/** A frame's features; freed when no clip needs them any more. */
export interface FreeableFeatures {
  /** Frees them. */
  dispose(): void;
}

/** What a clip's frames say, T of them: `predictGaze` of models/mcgaze_predict.ts gives it. */
export interface ClipPrediction {
  /** Boxes of the clues in pixels of what the model was shown, [T, 4] each. */
  readonly boxes: Readonly<Partial<Record<ClueName, ArrayLike<number>>>>;
  /** Unit vectors, [T, 3]. */
  readonly gazes: { readonly final: ArrayLike<number> };
}

/** The model, in two parts. */
export interface GazePredictor<F extends FreeableFeatures> {
  /** Side of the squares that it is shown, in pixels. */
  readonly size: number;
  /** Height of a head as a share of that side. Default `HEAD_SHARE`. */
  readonly headShare?: number;
  /** Features of N squares, normalised values [N, 3, size, size]. */
  features(images: Float32Array, count: number): Promise<readonly F[]>;
  /** What it says about a clip. */
  predict(clip: readonly F[]): Promise<ClipPrediction>;
}

/** A head in a frame. */
export interface FrameHead {
  /** (left, top, right, bottom) in pixels; null: the whole frame is shown to the model. */
  readonly box: Box | null;
  /** Whose it is where that is known; otherwise found out by overlap. */
  readonly person?: number;
}

/** Where a person looks in a frame. */
export interface PersonGaze {
  /** Number of the frame, as it was given. */
  readonly frame: number;
  /** Who. */
  readonly person: number;
  /** The head's box as it was given; where the whole frame was, the box that the model found. */
  readonly box: Box;
  /** The boxes of the clues that the model found, in pixels of the frame. */
  readonly clues: Readonly<Partial<Record<ClueName, Box>>>;
  /** Unit vector; coordinates are those of `vectors.ts`. */
  readonly gaze: readonly [number, number, number];
}

interface Seen<F> {
  readonly frame: number;
  readonly person: number;
  readonly given: Box | null;
  readonly square: Square;
  readonly features: F;
}

/** Follows the persons of a video. */
export class GazeFollower<F extends FreeableFeatures> {
  readonly #model: GazePredictor<F>;
  readonly #tracker = new HeadTracker();
  readonly #sliders = new Map<number, ClipSlider<Seen<F>>>();
  /** The clues whose boxes the model gives. */
  #clues: readonly ClueName[] = [];

  /** Nobody is known yet. */
  constructor(model: GazePredictor<F>) {
    this.#model = model;
  }

  /**
   * The next frame.
   * @returns what is final now, of this frame and of earlier ones, person by person
   */
  async add(frame: number, picture: Picture, heads: readonly FrameHead[]): Promise<PersonGaze[]> {
    const { height, width } = picture;
    const boxes = heads.map(({ box }) => box ?? [0, 0, width, height] as const);
    const persons = this.#tracker.assign(boxes, heads.map(({ person }) => person));
    const final = await this.#endAllBut(new Set(this.#tracker.present));
    if (heads.length === 0) return final;
    const { size, headShare } = this.#model;
    const squares = heads.map(({ box }) =>
      box ? squareAbout(box, headShare) : wholeFrame(height, width)
    );
    const images = new Float32Array(heads.length * 3 * size * size);
    squares.forEach((square, i) => {
      images.set(headCrop(picture, square, size), i * 3 * size * size);
    });
    const features = await this.#model.features(images, heads.length);
    for (const [i, person] of persons.entries()) {
      const slider = this.#sliders.get(person) ?? new ClipSlider((clip) => this.#ask(clip));
      this.#sliders.set(person, slider);
      const seen = {
        frame,
        person,
        given: heads[i].box,
        square: squares[i],
        features: features[i],
      };
      final.push(...(await slider.add(seen)).map((answer) => this.#result(answer)));
    }
    return final;
  }

  /** The video ends here, or what follows shows another scene. @returns the rest */
  async cut(): Promise<PersonGaze[]> {
    this.#tracker.cut();
    return await this.#endAllBut(new Set());
  }

  /** Frees all features; nothing more is to come. */
  dispose(): void {
    for (const slider of this.#sliders.values()) {
      slider.open.forEach(({ features }) => features.dispose());
    }
    this.#sliders.clear();
  }

  async #endAllBut(present: ReadonlySet<number>): Promise<PersonGaze[]> {
    const final: PersonGaze[] = [];
    for (const [person, slider] of [...this.#sliders]) {
      if (present.has(person)) continue;
      final.push(...(await slider.end()).map((answer) => this.#result(answer)));
      this.#sliders.delete(person);
    }
    return final;
  }

  /** Gaze and boxes of a clip as rows: 3 + 4 values for each clue. */
  async #ask(clip: readonly Seen<F>[]): Promise<Float64Array> {
    const { boxes, gazes } = await this.#model.predict(clip.map(({ features }) => features));
    this.#clues = CLUES.filter((clue) => boxes[clue] !== undefined);
    const width = 3 + 4 * this.#clues.length;
    const rows = new Float64Array(clip.length * width);
    clip.forEach((_, t) => {
      for (let k = 0; k < 3; k++) rows[t * width + k] = gazes.final[3 * t + k];
      this.#clues.forEach((clue, c) => {
        for (let k = 0; k < 4; k++) rows[t * width + 3 + 4 * c + k] = boxes[clue]![4 * t + k];
      });
    });
    return rows;
  }

  #result({ frame: seen, values }: { frame: Seen<F>; values: Float64Array }): PersonGaze {
    const { frame, person, given, square, features } = seen;
    features.dispose();
    const scale = square.side / this.#model.size;
    const clues: Partial<Record<ClueName, Box>> = {};
    this.#clues.forEach((clue, c) => {
      const [x1, y1, x2, y2] = values.subarray(3 + 4 * c, 7 + 4 * c).map((value) => scale * value);
      const { left, top } = square;
      clues[clue] = [left + x1, top + y1, left + x2, top + y2];
    });
    const norm = Math.hypot(values[0], values[1], values[2]);
    return {
      frame,
      person,
      box: given ?? clues.head!,
      clues,
      gaze: [values[0] / norm, values[1] / norm, values[2] / norm],
    };
  }
}
