/**
 * Where people look, as it is written: the rows of `gaze.json` and `gaze.csv`, and both files as texts. The page writes the
 * same, so nothing here knows a file system.
 * @module
 */
import { type Box, type PersonGaze, vectorsToAngles } from "../../data/gaze/mod.ts";

/** What is said with every result. */
export const NOTE = "Trained on synthetic clips, not validated on people.";

/** The coordinate system of the gaze, in words. */
export const COORDINATES =
  "Gaze360's: gaze is a unit vector from the eyes, x to the left of the picture, y up, z away from the camera, in axes " +
  "turned so that z runs from the camera to the eyes: (0, 0, -1) looks into the camera. yaw = atan2(x, -z), " +
  "positive to the left of the picture; pitch = asin(y), positive up; degrees. Boxes: left, top, right, bottom in pixels.";

/** Where a person looks in a frame, as it is written. */
export interface GazeRow {
  readonly frame: number;
  readonly file: string;
  readonly seconds: number | null;
  readonly person: number;
  readonly box: Box;
  readonly clues: PersonGaze["clues"];
  readonly gaze: readonly [number, number, number];
  readonly yaw: number;
  readonly pitch: number;
  /** The true gaze where it is known. */
  readonly truth?: readonly number[];
}

/** Facts about a run. */
export interface GazeFacts {
  readonly input: string;
  readonly weights: string;
  readonly detector: string;
  readonly adapter: string;
  readonly frames: number;
  /** False where the run was stopped, or the input ended in an error. */
  readonly complete: boolean;
  /** Frames that could not be read. */
  readonly unreadable: readonly { frame: number; file: string; why: string }[];
  /** Frames in which no head was found. */
  readonly withoutHead: readonly number[];
}

/** The columns of `gaze.csv`. */
export const COLUMNS =
  "frame,file,seconds,person,left,top,right,bottom,gaze_x,gaze_y,gaze_z,yaw_degrees,pitch_degrees";

/** The row of a person in a frame. */
export function gazeRow(
  { frame, person, box, clues, gaze }: PersonGaze,
  of: { file: string; seconds: number | undefined; truth?: ArrayLike<number> },
): GazeRow {
  const [yaw, pitch] = vectorsToAngles(gaze).map((angle) => angle * 180 / Math.PI);
  const boxes = Object.entries(clues).map(([clue, box]) => [clue, rounded(box, 2)]);
  return {
    frame,
    file: of.file,
    seconds: of.seconds === undefined ? null : round(of.seconds, 4),
    person,
    box: rounded(box, 2) as unknown as Box,
    clues: Object.fromEntries(boxes),
    gaze: rounded(gaze, 5) as unknown as GazeRow["gaze"],
    yaw: round(yaw, 2),
    pitch: round(pitch, 2),
    ...(of.truth ? { truth: rounded(of.truth, 5) } : {}),
  };
}

/** The results as `gaze.json`: facts about the run, then a row for each head, in the order of frames. */
export function gazeJson({ input, ...rest }: GazeFacts, rows: readonly GazeRow[]): string {
  const head = JSON.stringify({ input, note: NOTE, coordinates: COORDINATES, ...rest }, null, 1);
  const lines = inOrder(rows).map((row) => `  ${JSON.stringify(row)}`).join(",\n");
  return `${head.slice(0, -2)},\n "heads": [\n${lines}\n ]\n}\n`;
}

/** The results as `gaze.csv`. */
export function gazeCsv(rows: readonly GazeRow[]): string {
  return [COLUMNS, ...inOrder(rows).map(csvLine)].join("\n") + "\n";
}

function inOrder(rows: readonly GazeRow[]): GazeRow[] {
  return rows.toSorted((a, b) => a.frame - b.frame || a.person - b.person);
}

/** A row of `gaze.csv`. */
export function csvLine({ frame, file, seconds, person, box, gaze, yaw, pitch }: GazeRow): string {
  const name = /[",\r\n]/.test(file) ? `"${file.replaceAll('"', '""')}"` : file;
  return [frame, name, seconds ?? "", person, ...box, ...gaze, yaw, pitch].join(",");
}

function rounded(values: ArrayLike<number>, digits: number): number[] {
  return Array.from(values, (value) => round(value, digits));
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
