/**
 * MCGaze's data folders on disk (Deno and Node only):
 *
 *   ROOT/train.json            annotations, see `annotations.ts`
 *   ROOT/train_rawframes/      frames: VIDEO/00000.png, VIDEO/00001.png, ...
 *   ROOT/test.json, ROOT/test_rawframes/
 *
 * Decoding and encoding pictures is the caller's: this floor knows no picture format.
 * @module
 */
import { join } from "node:path";
import { DataError } from "../../engine/errors.ts";
import { readFileBytes, writeFileAtomic } from "../../io/files.ts";
import type { FrameReader, Picture } from "./annotated_clips.ts";
import { annotationText } from "./annotation_text.ts";
import { type AnnotatedVideo, KNOWN, parseAnnotations } from "./annotations.ts";
import type { ClipSource, GazeClip } from "./clip.ts";

/** Turns a picture file's bytes into pixels. */
export type Decode = (bytes: Uint8Array) => Promise<Picture>;

/** Turns pixels into a picture file's bytes. */
export type Encode = (picture: Picture) => Promise<Uint8Array>;

/** A part of a data folder. */
export interface GazeFolder {
  /** What is known about its videos. */
  readonly videos: readonly AnnotatedVideo[];
  /** Reads a frame of one of the videos. */
  readonly read: FrameReader;
}

/**
 * Opens a part of a data folder; frames are read later.
 * @param part such as "train" or "test"
 * @throws {DataError} the annotation file is missing or wrong; names the file
 */
export async function openGazeFolder(
  root: string,
  part: string,
  decode: Decode,
): Promise<GazeFolder> {
  const path = join(root, `${part}.json`);
  const text = new TextDecoder().decode(await readFileBytes(path, DataError));
  const frames = join(root, `${part}_rawframes`);
  return {
    videos: parseAnnotations(text, path),
    read: async (file) => await decode(await readFileBytes(join(frames, file), DataError)),
  };
}

/**
 * Writes clips as a part of a data folder, each as a video; the annotation file comes last.
 * @throws {DataError} a file cannot be written
 */
export async function writeGazeFolder(
  root: string,
  part: string,
  clips: ClipSource,
  encode: Encode,
): Promise<void> {
  const frames = join(root, `${part}_rawframes`);
  const videos: AnnotatedVideo[] = [];
  for (let i = 0; i < clips.count; i++) {
    const clip = await clips.clip(i);
    const video = asVideo(clip, i + 1);
    const size = clip.height * clip.width * 3;
    for (const [t, file] of video.files.entries()) {
      const data = clip.frames.subarray(t * size, (t + 1) * size);
      const bytes = await encode({ height: clip.height, width: clip.width, data });
      await writeFileAtomic(join(frames, file), bytes);
    }
    videos.push(video);
  }
  const text = annotationText(videos, `${clips.count} clips written by wgrad`);
  await writeFileAtomic(join(root, `${part}.json`), text);
}

function asVideo(clip: GazeClip, id: number): AnnotatedVideo {
  return {
    id,
    height: clip.height,
    width: clip.width,
    files: Array.from({ length: clip.length }, (_, t) => `${id}/${String(t).padStart(5, "0")}.png`),
    gaze: clip.gaze,
    boxes: clip.boxes,
    known: clip.faceKnown.map((known) => known === 1 ? KNOWN.all : KNOWN.head),
  };
}
