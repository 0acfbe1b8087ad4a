/**
 * The annotation file of MCGaze's data: COCO's layout for video, JSON.
 *
 *   { info, licenses, categories: [{ id, name, ... }],
 *     videos:      [{ id, height, width, length, file_names: [T paths below the frame folder] }],
 *     annotations: [{ id, video_id, category_id, gaze: [T vectors], bboxes: [T boxes or null] }] }
 *
 * Boxes    [x, y, w, h] in pixels of the whole frame. A video has three annotations, in this order: face, eyes, head; or
 *          one, the head's. Nothing but the order tells them apart, in the authors' code as here. A frame has all three
 *          boxes, or the head's alone, or none: then it is no training frame.
 * Gaze     one vector a frame in Gaze360's coordinates (`vectors.ts`), the same in all annotations of a video; two
 *          numbers are yaw and pitch in radians. The last annotation's, the head's, is taken: what the authors train the
 *          fused gaze on. It is made a unit vector.
 *
 * After mmdet/datasets/gaze360.py, mpeblink_api.py and tools/ of zgchen33/MCGaze.
 * @module
 */
import { DataError } from "../../engine/errors.ts";
import { anglesToVectors } from "./angles.ts";
import { CLUES } from "./clip.ts";

/** What is known about the boxes of a frame. */
export const KNOWN = { nothing: 0, head: 1, all: 2 } as const;

/** One video of an annotation file. */
export interface AnnotatedVideo {
  /** Its number in the file. */
  readonly id: number;
  /** Rows of every frame. */
  readonly height: number;
  /** Columns of every frame. */
  readonly width: number;
  /** Paths of its T frames, relative to the frame folder. */
  readonly files: readonly string[];
  /** Unit vectors [T, 3]. */
  readonly gaze: Float32Array;
  /** [T, 3, 4]: face, eyes, head as (left, top, right, bottom); zeros where not known. */
  readonly boxes: Float32Array;
  /** [T], values of `KNOWN`. */
  readonly known: Uint8Array;
}

/** Python's `json.dump` writes these, which JSON does not have; here they become null. */
const NOT_JSON = /([[,:]\s*)(?:NaN|-?Infinity)(?=\s*[,\]}])/g;

/**
 * Reads an annotation file.
 * @param label names the file in errors
 * @throws {DataError} it is no such file; a label is missing, NaN or zero; a box is NaN, empty or outside the frame; a
 * frame has two boxes. Names video and frame.
 */
export function parseAnnotations(text: string, label: string): AnnotatedVideo[] {
  let root: unknown;
  try {
    root = JSON.parse(text.replace(NOT_JSON, "$1null").replace(NOT_JSON, "$1null"));
  } catch (cause) {
    throw new DataError(`${label} is not JSON: ${(cause as Error).message}`, { cause });
  }
  const byVideo = new Map<number, JsonRecord[]>();
  for (const annotation of list(field(root, "annotations", label), `${label}: annotations`)) {
    const id = whole(field(annotation, "video_id", label), `${label}: video_id`);
    byVideo.set(id, [...byVideo.get(id) ?? [], annotation as JsonRecord]);
  }
  const videos = list(field(root, "videos", label), `${label}: videos`);
  return videos.map((video) => {
    const id = whole(field(video, "id", label), `${label}: a video's id`);
    return readVideo(video as JsonRecord, id, byVideo.get(id) ?? [], `${label}, video ${id}`);
  });
}

type JsonRecord = Readonly<Record<string, unknown>>;

function readVideo(
  video: JsonRecord,
  id: number,
  annotations: readonly JsonRecord[],
  label: string,
): AnnotatedVideo {
  if (annotations.length !== 1 && annotations.length !== 3) {
    throw new DataError(
      `${label} must have one annotation (head) or three (face, eyes, head), has ${annotations.length}`,
    );
  }
  const height = whole(video.height, `${label}: height`),
    width = whole(video.width, `${label}: width`);
  const files = list(video.file_names, `${label}: file_names`).map(String);
  const length = files.length;
  const last = annotations[annotations.length - 1];
  const gazes = ofLength(last.gaze, length, `${label}: gaze`);
  const gaze = new Float32Array(3 * length);
  gazes.forEach((value, t) => gaze.set(readGaze(value, `${label}, frame ${t}`), 3 * t));
  const boxes = new Float32Array(12 * length), known = new Uint8Array(length);
  if (annotations.length === 1 && last.bboxes === undefined) {
    return { id, height, width, files, gaze, boxes, known };
  }
  const lists = annotations.map((annotation) =>
    ofLength(annotation.bboxes, length, `${label}: bboxes`)
  );
  for (let t = 0; t < length; t++) {
    const found = lists.map((boxes, i) =>
      readBox(
        boxes[t],
        height,
        width,
        `${label}, frame ${t}: the box of the ${CLUES[3 - lists.length + i]}`,
      )
    );
    const head = found[found.length - 1];
    const count = found.filter((box) => box !== undefined).length;
    if (count === 0) continue;
    if (head === undefined || count === 2) {
      throw new DataError(
        `${label}, frame ${t} must have the boxes of face, eyes and head, or the head's, or none; has ${count}`,
      );
    }
    found.forEach((box, i) => boxes.set(box ?? [], 12 * t + 4 * (3 - found.length + i)));
    known[t] = count === 3 ? KNOWN.all : KNOWN.head;
  }
  return { id, height, width, files, gaze, boxes, known };
}

/** A unit vector from three numbers, or from yaw and pitch. */
function readGaze(value: unknown, label: string): ArrayLike<number> {
  const numbers = Array.isArray(value) ? value : [];
  const isGaze = (numbers.length === 2 || numbers.length === 3) && numbers.every(Number.isFinite);
  const vector = !isGaze ? [0, 0, 0] : numbers.length === 2 ? anglesToVectors(numbers) : numbers;
  const norm = Math.hypot(...vector);
  if (!(norm > 0 && norm < Infinity)) {
    throw new DataError(
      `${label}: the gaze label is missing or no direction: ${JSON.stringify(value)}`,
    );
  }
  return Array.from(vector, (component: number) => component / norm);
}

/** (left, top, right, bottom) within the frame, or undefined where there is no box. */
function readBox(
  value: unknown,
  height: number,
  width: number,
  label: string,
): number[] | undefined {
  if (value === null || value === undefined) return undefined;
  const text = JSON.stringify(value);
  if (!Array.isArray(value) || value.length !== 4 || !value.every(Number.isFinite)) {
    throw new DataError(`${label} must be four numbers [x, y, w, h], is ${text}`);
  }
  const [x, y, w, h] = value as number[];
  if (!(w > 0 && h > 0)) throw new DataError(`${label} is empty: ${text}`);
  // The authors move a left or upper edge into the frame before they add width and height; here the box is cut.
  const box = [Math.max(0, x), Math.max(0, y), Math.min(width, x + w), Math.min(height, y + h)];
  if (!(box[0] < box[2] && box[1] < box[3])) {
    throw new DataError(`${label} lies outside the frame of ${height} x ${width}: ${text}`);
  }
  return box;
}

function field(value: unknown, name: string, label: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) {
    throw new DataError(`${label}: an object with "${name}" is missing`);
  }
  return (value as JsonRecord)[name];
}

function list(value: unknown, label: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new DataError(`${label} must be a list`);
  return value;
}

function ofLength(value: unknown, length: number, label: string): readonly unknown[] {
  const items = list(value, label);
  if (items.length !== length) {
    throw new DataError(`${label} has ${items.length} entries for ${length} frames`);
  }
  return items;
}

function whole(value: unknown, label: string): number {
  if (!Number.isInteger(value) || (value as number) < 0) {
    throw new DataError(`${label} must be a whole number, is ${JSON.stringify(value)}`);
  }
  return value as number;
}
