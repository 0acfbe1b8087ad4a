/**
 * Frames from what a person gives the page: a clip, a picture, a video, a camera.
 * @module
 */
import { type Picture, SyntheticClips } from "../../../data/gaze/mod.ts";
import { DataError } from "../../../mod.ts";

/** A frame. */
export interface PageFrame {
  readonly name: string;
  readonly picture: Picture;
  readonly seconds?: number;
  /** The true gaze where it is known. */
  readonly truth?: Float32Array;
}

/** What frames come from. */
export interface PageSource {
  /** In words, for the results. */
  readonly label: string;
  /** Its frames show one head each, cut out before. */
  readonly heads: boolean;
  /** Seconds from frame to frame that it should be shown with; 0: as they come. */
  readonly pace: number;
  frames(): AsyncGenerator<PageFrame>;
}

/** The sample: clip 0 of the renderer's test split, as `wgrad gaze rendered:0` has it. @param size side in pixels */
export function sampleClip(size: number): PageSource {
  return {
    label: "rendered:0",
    heads: true,
    pace: 0.25,
    async *frames() {
      const clip = new SyntheticClips({ split: "test", count: 1, size }).clip(0);
      const { length, height, width, frames, gaze } = clip, bytes = 3 * height * width;
      for (let t = 0; t < length; t++) {
        const data = frames.slice(t * bytes, (t + 1) * bytes);
        const truth = gaze.slice(3 * t, 3 * t + 3);
        yield { name: String(t), picture: { height, width, data }, truth };
      }
    },
  };
}

/** Pixels of the longer side that a picture is brought to: heads are cut out of it at a tenth of that. */
const MOST = 960;

/** Takes pixels of something that can be drawn. */
class Grabber {
  readonly #canvas = new OffscreenCanvas(1, 1);

  grab(source: CanvasImageSource, width: number, height: number): Picture {
    const scale = Math.min(1, MOST / Math.max(width, height));
    const w = Math.max(1, Math.round(scale * width)), h = Math.max(1, Math.round(scale * height));
    const canvas = this.#canvas;
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    context.drawImage(source, 0, 0, w, h);
    const { data } = context.getImageData(0, 0, w, h), rgb = new Uint8Array(3 * w * h);
    for (let i = 0, k = 0; i < data.length; i += 4) {
      rgb[k++] = data[i];
      rgb[k++] = data[i + 1];
      rgb[k++] = data[i + 2];
    }
    return { height: h, width: w, data: rgb };
  }
}

/** A picture's one frame, or a video's frames. @throws {DataError} the browser cannot read it */
export function fileSource(file: File): PageSource {
  return file.type.startsWith("video/") ? videoFile(file) : pictureFile(file);
}

function pictureFile(file: File): PageSource {
  return {
    label: file.name,
    heads: false,
    pace: 0,
    async *frames() {
      let bitmap: ImageBitmap;
      try {
        bitmap = await createImageBitmap(file);
      } catch (cause) {
        throw new DataError(`${file.name} is no picture that this browser can read`, { cause });
      }
      try {
        yield {
          name: file.name,
          picture: new Grabber().grab(bitmap, bitmap.width, bitmap.height),
        };
      } finally {
        bitmap.close();
      }
    },
  };
}

/** Seconds between the frames that are taken of a video file: all of one of 25 frames a second. */
const STEP = 1 / 25;

function videoFile(file: File): PageSource {
  return {
    label: file.name,
    heads: false,
    pace: 0,
    async *frames() {
      const video = document.createElement("video"), url = URL.createObjectURL(file);
      try {
        video.muted = true;
        await happened(video, "loadeddata", () => video.src = url, file.name);
        const grabber = new Grabber();
        for (let i = 0; i * STEP < video.duration; i++) {
          const seconds = i * STEP;
          if (i > 0) await happened(video, "seeked", () => video.currentTime = seconds, file.name);
          const picture = grabber.grab(video, video.videoWidth, video.videoHeight);
          yield { name: String(i), seconds, picture };
        }
      } finally {
        video.removeAttribute("src");
        URL.revokeObjectURL(url);
      }
    },
  };
}

/** The camera; frames that come while one is looked at are left out. @throws {DataError} there is none, or it is refused */
export function cameraSource(): PageSource {
  return {
    label: "camera",
    heads: false,
    pace: 0,
    async *frames() {
      let stream: MediaStream;
      try {
        stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } });
      } catch (cause) {
        throw new DataError(whyNoCamera(cause), { cause });
      }
      const video = document.createElement("video");
      try {
        video.muted = true;
        video.playsInline = true;
        await happened(video, "loadeddata", () => video.srcObject = stream, "the camera");
        await video.play();
        const grabber = new Grabber(), begin = performance.now();
        for (let i = 0; stream.active; i++) {
          await new Promise((resolve) => requestAnimationFrame(resolve));
          const picture = grabber.grab(video, video.videoWidth, video.videoHeight);
          yield { name: String(i), seconds: (performance.now() - begin) / 1000, picture };
        }
      } finally {
        stream.getTracks().forEach((track) => track.stop());
        video.srcObject = null;
      }
    },
  };
}

function whyNoCamera(cause: unknown): string {
  const name = cause instanceof DOMException ? cause.name : "";
  if (name === "NotAllowedError") {
    return "The camera was refused; the page's permissions allow it again.";
  }
  if (name === "NotFoundError") return "There is no camera.";
  if (name === "NotReadableError") return "The camera is in use by another program.";
  return `The camera does not start: ${cause instanceof Error ? cause.message : String(cause)}`;
}

/** Waits for an event of a video that an action causes. @throws {DataError} the video cannot be read */
async function happened(
  video: HTMLVideoElement,
  event: "loadeddata" | "seeked",
  act: () => unknown,
  label: string,
): Promise<void> {
  const ends = new AbortController(), { signal } = ends;
  try {
    await new Promise<void>((resolve, reject) => {
      const refuse = () =>
        reject(
          new DataError(
            `${label} cannot be played here: ${video.error?.message ?? "unknown format"}`,
          ),
        );
      video.addEventListener(event, () => resolve(), { signal });
      video.addEventListener("error", refuse, { signal });
      act();
    });
  } finally {
    ends.abort();
  }
}
