/**
 * Gaze drawn over a frame, as SVG: boxes of heads, an arrow for each gaze, a line of text below.
 *
 * An arrow begins between the eyes and points by (-x, -y) of the gaze (`vectors.ts`); a gaze in the picture's plane is as
 * long as the head is high, one into the camera a dot.
 * @module
 */
import type { Box } from "./clip_boxes.ts";
import type { PersonGaze } from "./gaze_follower.ts";

/** Two points in pixels. */
export interface ArrowLine {
  /** Where it begins. */
  readonly from: readonly [x: number, y: number];
  /** Its tip. */
  readonly to: readonly [x: number, y: number];
}

/** Colours of persons, taken in turn: easily told apart, also by those who see red and green alike. */
const COLOURS = ["#ffb000", "#4cc9f0", "#ff5c8a", "#7ae582", "#b388ff", "#ff8c42"] as const;

/** What is drawn of a person. */
export type DrawnGaze = Pick<PersonGaze, "person" | "box" | "clues" | "gaze"> & {
  /** The true gaze where it is known: drawn in white. */
  readonly truth?: ArrayLike<number>;
};

/** The colour of a person. */
export function personColour(person: number): string {
  return COLOURS[person % COLOURS.length];
}

/** Where the arrow of a gaze lies: from the middle of the eyes' box, else of the head's. */
export function gazeArrowLine({ box, clues }: DrawnGaze, gaze: ArrayLike<number>): ArrowLine {
  const [x1, y1, x2, y2] = clues.eyes ?? box;
  const x = (x1 + x2) / 2, y = (y1 + y2) / 2, length = box[3] - box[1];
  return { from: [x, y], to: [x - length * gaze[0], y - length * gaze[1]] };
}

/** How an overlay is drawn. */
export interface OverlayOptions {
  /** A line of text at the bottom. Default none. */
  readonly caption?: string;
  /** Pixels of the overlay for a pixel of the frame. Default 1. */
  readonly zoom?: number;
}

/** An SVG picture of a frame's size times `zoom`, transparent but for what is drawn. */
export function overlaySvg(
  frame: { readonly height: number; readonly width: number },
  heads: readonly DrawnGaze[],
  { caption = "", zoom = 1 }: OverlayOptions = {},
): string {
  const { height, width } = frame, stroke = Math.max(1 / zoom, Math.min(height, width) / 250);
  const parts = heads.map((head) => {
    const colour = personColour(head.person);
    const truth = head.truth ? arrow(gazeArrowLine(head, head.truth), "#fff", stroke) : "";
    return rectangle(head.box, colour, stroke) + truth +
      arrow(gazeArrowLine(head, head.gaze), colour, 1.5 * stroke);
  });
  const font = Math.max(5 / zoom, Math.min(width / 40, height / 16));
  const text = caption === ""
    ? ""
    : `<rect x="0" y="${n(height - 1.5 * font)}" width="${width}" height="${
      n(1.5 * font)
    }" fill="#000" fill-opacity=".55"/><text x="${n(font / 2)}" y="${
      n(height - font / 2)
    }" font-size="${n(font)}" font-family="sans-serif" fill="#fff">${escapeXml(caption)}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${n(zoom * width)}" height="${
    n(zoom * height)
  }" viewBox="0 0 ${width} ${height}">${parts.join("")}${text}</svg>`;
}

function rectangle([x1, y1, x2, y2]: Box, colour: string, stroke: number): string {
  return `<rect x="${n(x1)}" y="${n(y1)}" width="${n(x2 - x1)}" height="${
    n(y2 - y1)
  }" fill="none" stroke="${colour}" stroke-width="${n(stroke)}"/>`;
}

/** A dark line below a coloured one, so that it is seen on any ground; two strokes make the tip. */
function arrow(
  { from: [x1, y1], to: [x2, y2] }: ArrowLine,
  colour: string,
  stroke: number,
): string {
  const dx = x2 - x1, dy = y2 - y1;
  const back = (turn: number): string =>
    // 30 degrees off, a quarter as long
    `${n(x2 - 0.25 * (0.87 * dx - 0.5 * turn * dy))} ${
      n(y2 - 0.25 * (0.87 * dy + 0.5 * turn * dx))
    }`;
  const path = `M${n(x1)} ${n(y1)}L${n(x2)} ${n(y2)}M${back(1)}L${n(x2)} ${n(y2)}L${back(-1)}`;
  const drawn = (ink: string, width: number): string =>
    `<path d="${path}" fill="none" stroke="${ink}" stroke-width="${
      n(width)
    }" stroke-linecap="round" stroke-linejoin="round"/>`;
  return drawn("#000", 2 * stroke) + drawn(colour, stroke) +
    `<circle cx="${n(x1)}" cy="${n(y1)}" r="${n(1.5 * stroke)}" fill="${colour}"/>`;
}

/** A number with at most two decimals. */
function n(value: number): string {
  return String(Math.round(100 * value) / 100);
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
