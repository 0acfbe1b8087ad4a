/**
 * The frames of an input of `wgrad gaze`, one after the other: a picture, a folder, an animation, a video, a rendered clip.
 * @module
 */
import { basename, relative } from "node:path";
import { type GazeClip, type Picture, SyntheticClips } from "../../data/gaze/mod.ts";
import { listImages } from "../../data/image_folder.ts";
import { DataError } from "../../engine/errors.ts";
import { readFileBytes } from "../../io/files.ts";
import { openVideo } from "./ffmpeg.ts";
import { decodePicture, pagesOf, reason } from "./pictures.ts";

/** A frame, or why there is none. */
export interface InputFrame {
  /** The frame's file, or its number in its file. */
  readonly name: string;
  /** When it is shown; undefined where nothing says. */
  readonly seconds: number | undefined;
  /** The picture; null where it cannot be read. */
  readonly picture: Picture | null;
  /** Why it cannot be read. */
  readonly problem?: string;
  /** The true gaze where it is known. */
  readonly truth?: Float32Array;
}

/** An input, opened. */
export interface FrameSource {
  /** What it is, in words. */
  readonly kind: string;
  /** How many frames; undefined until they are decoded. */
  readonly count: number | undefined;
  /** Milliseconds that a frame is shown in an animation of the results. */
  readonly delay: number;
  /** The frames from the first. */
  frames(): AsyncGenerator<InputFrame>;
}

/** Names of files that hold videos. */
const VIDEO = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ogv|wmv|flv|3gp|ts|mts)$/i;

/** `rendered` or `rendered:N`: clip N of the renderer's test split, the square about its head, at `size` pixels. */
const RENDERED = /^rendered(?::(\d{1,6}))?$/;

/**
 * Opens an input.
 * @param size side of a rendered clip in pixels
 * @throws {DataError} there is no such file or folder, a folder has no pictures, a file is neither picture nor video
 */
export async function openFrames(input: string, size: number): Promise<FrameSource> {
  const rendered = RENDERED.exec(input);
  if (rendered !== null) {
    const index = Number(rendered[1] ?? 0);
    const options = { split: "test", count: index + 1, size } as const;
    return clipSource(new SyntheticClips(options).clip(index));
  }
  const info = await Deno.stat(input).catch((cause) => {
    throw new DataError(`${input}: there is no such file or folder`, { cause });
  });
  if (info.isDirectory) return await folderSource(input);
  if (VIDEO.test(input)) return await videoSource(input);
  const bytes = await readFileBytes(input, DataError);
  const delays = await pagesOf(bytes);
  if (delays === null) {
    throw new DataError(
      `${input} is no picture, and no video by its name; want JPEG, PNG, WebP, GIF, a video (.mp4, .mov, .webm, …), ` +
        "or a folder of pictures",
    );
  }
  return pagesSource(input, bytes, delays);
}

async function folderSource(folder: string): Promise<FrameSource> {
  const files = await listImages(folder);
  // frame_10 comes after frame_9
  files.sort(new Intl.Collator("en", { numeric: true }).compare);
  return {
    kind: `folder of ${files.length} pictures`,
    count: files.length,
    delay: 100,
    async *frames() {
      for (const file of files) {
        const name = relative(folder, file);
        let frame: InputFrame;
        try {
          const picture = await decodePicture(await readFileBytes(file, DataError), file);
          frame = { name, seconds: undefined, picture };
        } catch (cause) {
          if (!(cause instanceof DataError)) throw cause;
          frame = { name, seconds: undefined, picture: null, problem: reason(cause) };
        }
        yield frame;
      }
    },
  };
}

function pagesSource(path: string, bytes: Uint8Array, delays: readonly number[]): FrameSource {
  const single = delays.length === 1, file = basename(path);
  return {
    kind: single ? "picture" : `animation of ${delays.length} frames`,
    count: delays.length,
    delay: delays.reduce((sum, delay) => sum + delay, 0) / delays.length,
    async *frames() {
      let milliseconds = 0;
      for (const [page, delay] of delays.entries()) {
        const name = single ? file : `${file}#${page}`;
        const seconds = single ? undefined : milliseconds / 1000;
        milliseconds += delay;
        if (single) {
          yield { name, seconds, picture: await decodePicture(bytes, path) };
          return;
        }
        let frame: InputFrame;
        try {
          const picture = await decodePicture(bytes, `frame ${page} of ${path}`, page);
          frame = { name, seconds, picture };
        } catch (cause) {
          if (!(cause instanceof DataError)) throw cause;
          frame = { name, seconds, picture: null, problem: reason(cause) };
        }
        yield frame;
      }
    },
  };
}

async function videoSource(path: string): Promise<FrameSource> {
  const video = await openVideo(path), file = basename(path);
  const { rate } = video;
  return {
    kind: rate === undefined ? "video" : `video of ${rate.toFixed(2)} frames a second`,
    count: undefined,
    delay: 1000 / (rate ?? 25),
    async *frames() {
      let i = 0;
      for await (const picture of video.frames()) {
        const seconds = rate === undefined ? undefined : i / rate;
        yield { name: `${file}#${i++}`, seconds, picture };
      }
    },
  };
}

function clipSource({ frames, length, height, width, gaze }: GazeClip): FrameSource {
  const size = 3 * height * width;
  return {
    kind: `rendered clip of ${length} frames`,
    count: length,
    delay: 200,
    async *frames() {
      for (let t = 0; t < length; t++) {
        const data = frames.subarray(t * size, (t + 1) * size);
        const truth = gaze.subarray(3 * t, 3 * t + 3);
        yield {
          name: `rendered#${t}`,
          seconds: undefined,
          picture: { height, width, data },
          truth,
        };
      }
    },
  };
}
