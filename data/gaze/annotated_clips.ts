/**
 * Clips of an annotated data set: frames are read when a clip is asked for.
 * @module
 */
import { DataError } from "../../engine/errors.ts";
import { type AnnotatedVideo, KNOWN } from "./annotations.ts";
import { checkClip, type ClipSource, type GazeClip } from "./clip.ts";
import { clipAround, WINDOW } from "./windows.ts";

/** A decoded picture. */
export interface Picture {
  /** Rows. */
  readonly height: number;
  /** Columns. */
  readonly width: number;
  /** [height, width, 3], bytes of red, green and blue. */
  readonly data: Uint8Array;
}

/** Reads and decodes one frame by the path that its annotation gives. */
export type FrameReader = (file: string) => Promise<Picture>;

/** A clip by its frames. */
export interface ClipFrames {
  /** Whose frames. */
  readonly video: AnnotatedVideo;
  /** Which of them, in order; a frame may come twice. */
  readonly frames: readonly number[];
}

/**
 * The training clips of some videos: one about every frame whose boxes are known.
 * @param length frames of a clip, odd
 */
export function trainingClips(
  videos: readonly AnnotatedVideo[],
  length: number = WINDOW.length,
): ClipFrames[] {
  return videos.flatMap((video) => {
    const known = Array.from(video.known.keys()).filter((t) => video.known[t] !== KNOWN.nothing);
    return known.map((centre) => ({ video, frames: clipAround(centre, known, length) }));
  });
}

/** Clips whose frames are read from files. */
export class AnnotatedClips implements ClipSource {
  /** How many there are. */
  readonly count: number;
  readonly #clips: readonly ClipFrames[];
  readonly #read: FrameReader;

  /**
   * Clips of a data set.
   * @throws {DataError} there are none
   */
  constructor(clips: readonly ClipFrames[], read: FrameReader) {
    if (clips.length === 0) throw new DataError("AnnotatedClips: no frame has a known box");
    this.count = clips.length;
    this.#clips = clips;
    this.#read = read;
  }

  /**
   * Reads clip `index`.
   * @throws {DataError} the index is out of range, a frame cannot be read, has another size than its video, or its boxes
   * are not known; names the file
   */
  async clip(index: number): Promise<GazeClip> {
    if (!Number.isInteger(index) || index < 0 || index >= this.count) {
      throw new DataError(`AnnotatedClips: clip ${index} is not in [0, ${this.count})`);
    }
    const { video, frames } = this.#clips[index];
    const { height, width } = video, length = frames.length, size = height * width * 3;
    const pixels = new Uint8Array(length * size);
    const pictures = await Promise.all(frames.map((t) => this.#frame(video, t)));
    pictures.forEach(({ data }, i) => pixels.set(data, i * size));
    const take = (values: Float32Array, each: number): Float32Array =>
      Float32Array.from({ length: length * each }, (_, i) => (
        values[frames[Math.floor(i / each)] * each + i % each]
      ));
    const clip: GazeClip = {
      frames: pixels,
      length,
      height,
      width,
      boxes: take(video.boxes, 12),
      faceKnown: Uint8Array.from(frames, (t) => video.known[t] === KNOWN.all ? 1 : 0),
      gaze: take(video.gaze, 3),
    };
    checkClip(clip, `video ${video.id}, clip about ${video.files[frames[length >> 1]]}`);
    return clip;
  }

  async #frame({ id, files, height, width }: AnnotatedVideo, t: number): Promise<Picture> {
    let picture: Picture;
    try {
      picture = await this.#read(files[t]);
    } catch (cause) {
      throw new DataError(
        `video ${id}, frame ${t}: cannot read ${files[t]}: ${(cause as Error).message}`,
        { cause },
      );
    }
    if (picture.height !== height || picture.width !== width) {
      throw new DataError(
        `video ${id}, frame ${t}: ${files[t]} has ${picture.height} x ${picture.width} pixels, ` +
          `its video ${height} x ${width}; all frames of a video must have one size`,
      );
    }
    return picture;
  }
}
