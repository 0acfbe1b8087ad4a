/**
 * Boxes of heads: where they come from, and which part of a frame the model is shown.
 * @module
 */
import { DataError } from "../../engine/errors.ts";
import type { Box } from "./clip_boxes.ts";

/**
 * From a face's box to its head's: 1.36 times as wide, 1.42 times as high, its middle 0.16 of the face's height above the
 * face's. The face is a detector's, from the hairline to the chin; hair and ears are added. Found by eye on the photographs
 * of @vladmandic/face-api.
 */
export const HEAD_OF_FACE = { width: 1.36, height: 1.42, up: 0.16 } as const;

/**
 * Height of a head as a share of the side of the square that the model is shown: the face fills it, hair and chin may be
 * cut off. Between the middle (0.84: 1.02) and the narrowest (0.68: 1.26) of the crops that the authors make of frames in
 * which a head stands as in the renderer's, at 0.86. In rendered clips an iris moves by 1.74 of 64 pixels for 25 degrees
 * (2.5 where the head faces the camera) instead of 1.29 (1.85) in the whole frame, and no eyes are cut off; at 1.4 those of
 * one head in 17 are.
 */
export const HEAD_SHARE = 1.2;

/** A square of a frame; it may reach outside. */
export interface Square {
  /** Its left edge in pixels of the frame. */
  readonly left: number;
  /** Its upper edge. */
  readonly top: number;
  /** Its side. */
  readonly side: number;
}

/** The box of a head by that of its face (`HEAD_OF_FACE`); it may reach outside the frame. */
export function headOfFace([x1, y1, x2, y2]: Box): Box {
  const width = x2 - x1, height = y2 - y1;
  const x = (x1 + x2) / 2, y = (y1 + y2) / 2 - HEAD_OF_FACE.up * height;
  const dx = HEAD_OF_FACE.width * width / 2, dy = HEAD_OF_FACE.height * height / 2;
  return [x - dx, y - dy, x + dx, y + dy];
}

/** The square about a head in which the head has the share that the model was trained with; it may be smaller than it. */
export function squareAbout([x1, y1, x2, y2]: Box, share: number = HEAD_SHARE): Square {
  const side = Math.max(x2 - x1, y2 - y1) / share;
  return { left: (x1 + x2 - side) / 2, top: (y1 + y2 - side) / 2, side };
}

/** The smallest square about a whole frame. */
export function wholeFrame(height: number, width: number): Square {
  const side = Math.max(height, width);
  return { left: (width - side) / 2, top: (height - side) / 2, side };
}

/**
 * A box cut to its frame.
 * @throws {DataError} a number is not finite, the box is empty or wholly outside
 */
export function boxInFrame(box: Box, height: number, width: number, label: string): Box {
  const text = `[${box.join(", ")}]`;
  if (box.length !== 4 || !box.every(Number.isFinite)) {
    throw new DataError(
      `${label} must be four finite numbers, left, top, right, bottom; is ${text}`,
    );
  }
  const [x1, y1, x2, y2] = box;
  if (!(x1 < x2 && y1 < y2)) throw new DataError(`${label} is empty: ${text}`);
  const cut = [
    Math.max(0, x1),
    Math.max(0, y1),
    Math.min(width, x2),
    Math.min(height, y2),
  ] as const;
  if (!(cut[0] < cut[2] && cut[1] < cut[3])) {
    throw new DataError(`${label} lies outside its frame of ${width} x ${height} pixels: ${text}`);
  }
  return cut;
}

/** A head as a file gives it. */
export interface GivenHead {
  /** (left, top, right, bottom) in pixels, as it stands in the file. */
  readonly box: Box;
  /** Whose head; undefined: found out by overlap. */
  readonly person: number | undefined;
}

/** The heads of a file, by number of the frame and by its name. */
export interface GivenHeads {
  /** Those of a frame; none where the file has none. */
  of(frame: number, name: string): readonly GivenHead[];
}

/** Python's `json.dump` writes these, which JSON does not have; here they become null and are refused by name. */
const NOT_JSON = /([[,:]\s*)(?:NaN|-?Infinity)(?=\s*[,\]}])/g;

/**
 * Reads a file of head boxes:
 *
 *     { "heads": [{ "frame": 0, "box": [left, top, right, bottom], "person": 1 }, …] }
 *
 * `frame` counts from 0, or is the frame's file name; `person` may be missing. What `wgrad gaze` writes has this form.
 * @param label names the file in errors
 * @throws {DataError} it is no such file; names the entry
 */
export function parseHeadBoxes(text: string, label: string): GivenHeads {
  let root: { heads?: unknown };
  try {
    root = JSON.parse(text.replace(NOT_JSON, "$1null").replace(NOT_JSON, "$1null"));
  } catch (cause) {
    throw new DataError(`${label} is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (!Array.isArray(root?.heads)) {
    throw new DataError(
      `${label}: want { "heads": [{ "frame": 0, "box": [left, top, right, bottom] }, …] }`,
    );
  }
  const byFrame = new Map<number | string, GivenHead[]>();
  root.heads.forEach((entry: Record<string, unknown> | null, i) => {
    const { frame, box, person } = entry ?? {}, place = `${label}, heads[${i}]`;
    if (typeof frame !== "string" && !isCount(frame)) {
      throw new DataError(
        `${place}: frame must be a number from 0 or a file name, is ${JSON.stringify(frame)}`,
      );
    }
    if (person !== undefined && !isCount(person)) {
      throw new DataError(`${place}: person must be a number from 0, is ${JSON.stringify(person)}`);
    }
    if (!Array.isArray(box) || box.length !== 4 || !box.every(Number.isFinite)) {
      throw new DataError(
        `${place}, frame ${frame}: box must be four finite numbers, left, top, right, bottom; is ${
          JSON.stringify(box)
        }`,
      );
    }
    const heads = byFrame.get(frame) ?? [];
    if (person !== undefined && heads.some((head) => head.person === person)) {
      throw new DataError(`${place}: person ${person} comes twice in frame ${frame}`);
    }
    byFrame.set(frame, [...heads, { box: box as unknown as Box, person }]);
  });
  return { of: (frame, name) => [...byFrame.get(frame) ?? [], ...byFrame.get(name) ?? []] };
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}
