/**
 * From the clues' features to directions. Names are those of the authors' `GazeHead`.
 *
 *     g_k = fc_k(gaze_k_fcs(x_k)),  c_k = fc_k_confidence(gaze_k_confidence(x_k without gradient))      for each clue k
 *     gaze = fc_gaze([c_k g_k side by side]);  gaze and g_k are scaled to length one
 *
 * So the confidences, a factor for each coordinate, learn when to trust a clue, but do not change what it looks for.
 * @module
 */
import { concat, l2Normalize, mul, reshape, slice } from "../engine/ops/mod.ts";
import { expectShape, type Tensor } from "../engine/tensor.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import type { GazeClue } from "./gaze_losses.ts";
import { FcBranch, featuresOf } from "./mcgaze_stage.ts";

/** Layers of each branch. */
const LAYERS = 2;

/** Added to a length before it is divided by: keeps a vector of length 0 finite and changes no other. */
const LEAST = 1e-12;

/** What a clue is turned into. */
interface ClueBranches {
  readonly gaze: FcBranch;
  readonly fc: Linear;
  readonly confidence: FcBranch;
  readonly fcConfidence: Linear;
}

/** Unit vectors, [N, 3] each: what each clue says, and `final`, what all say together. */
export type Gazes = Readonly<{ final: Tensor } & Partial<Record<GazeClue, Tensor>>>;

/** Features of the clues [N, Q, C] to directions. */
export class GazeHead extends Module {
  readonly #branches: readonly ClueBranches[];
  readonly #fcGaze: Linear;

  /** For features of `channels`. */
  constructor(
    /** C */ readonly channels: number,
    /** What the queries are, in order. */ readonly clues: readonly GazeClue[],
  ) {
    super();
    this.#branches = clues.map((clue) => ({
      gaze: this.child(`gaze_${clue}_fcs`, new FcBranch(channels, LAYERS)),
      fc: this.child(`fc_${clue}`, new Linear(channels, 3)),
      confidence: this.child(`gaze_${clue}_confidence`, new FcBranch(channels, LAYERS)),
      fcConfidence: this.child(`fc_${clue}_confidence`, new Linear(channels, 3)),
    }));
    this.#fcGaze = this.child("fc_gaze", new Linear(3 * clues.length, 3));
  }

  /** Features [N, Q, C] to directions. @throws {ShapeError} for other clues or channels */
  forward(features: Tensor): Gazes {
    const { clues, channels } = this;
    const [n] = expectShape("GazeHead: features", features, ["N", clues.length, channels]);
    const said: Tensor[] = [], trusted: Tensor[] = [];
    this.#branches.forEach(({ gaze, fc, confidence, fcConfidence }, k) => {
      const x = featuresOf(features, k);
      const direction = fc.forward(gaze.forward(x));
      said.push(direction);
      trusted.push(mul(fcConfidence.forward(confidence.forward(x.detach())), direction));
    });
    const final = this.#fcGaze.forward(concat(trusted, 1));
    const unit = l2Normalize(reshape(concat([final, ...said], 0), [said.length + 1, n, 3]), LEAST);
    const row = (k: number): Tensor => reshape(slice(unit, 0, k, k + 1), [n, 3]);
    return { final: row(0), ...Object.fromEntries(clues.map((clue, k) => [clue, row(k + 1)])) };
  }
}
