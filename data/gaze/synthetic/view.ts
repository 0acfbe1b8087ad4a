/**
 * The part of a frame that a model is shown: a square about the head, as `squareAbout` cuts it from a photograph, so that
 * the face fills the picture and an iris moves by more of its pixels. It is a little too large, too small or aside, as a
 * detector's boxes are.
 * @module
 */
import type { Rng } from "../../random.ts";
import { HEAD_SHARE, type Square, squareAbout } from "../head_boxes.ts";
import { between } from "./draws.ts";
import type { FrameBox } from "./truth.ts";

/** What a clip shows: whole frames, or the squares about the head. */
export type ClipView = "frame" | "head";

/** How the squares are drawn; shifts are shares of their side. */
export const HEAD_VIEW = {
  /** Height of the head as a share of the square's side. */
  share: HEAD_SHARE,
  /** By what factor a clip's squares are too large. */
  scale: [0.94, 1.06],
  /** How far all of them are aside, both ways. */
  shift: [-0.025, 0.025],
  /** How far each one is besides, both ways. */
  wobble: [-0.01, 0.01],
} as const;

/** A whole frame, in frames. */
export const WHOLE_FRAME: Square = { left: 0, top: 0, side: 1 };

/** The squares about the heads of a clip's frames, in frames. */
export function headSquares(rng: Rng, heads: readonly FrameBox[]): Square[] {
  const { scale, shift, wobble } = HEAD_VIEW;
  const size = between(rng, scale), aside = [between(rng, shift), between(rng, shift)];
  return heads.map((head): Square => {
    const { left, top, side } = squareAbout(head), larger = size * side;
    const place = (edge: number, axis: number): number =>
      edge - (larger - side) / 2 + (aside[axis] + between(rng, wobble)) * larger;
    return { left: place(left, 0), top: place(top, 1), side: larger };
  });
}
