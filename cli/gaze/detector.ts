/**
 * Faces in pictures, by SSD MobileNet V1 of the npm package @vladmandic/face-api on its plain CPU backend.
 *
 * Its ES build is made for browsers. To start in Deno it must not see `process`, or it takes Deno for Node and asks for
 * Node's TensorFlow; what it would ask a browser for is given to it instead. The weights are files of the package.
 * @module
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Box, Picture } from "../../data/gaze/mod.ts";
import { DataError } from "../../engine/errors.ts";
import { reason, shrink } from "./pictures.ts";

/** The boxes of the faces in a picture, best first, in its pixels. */
export type FaceDetector = (picture: Picture) => Promise<readonly Box[]>;

/** Pictures are brought to at most this many pixels a side: the network sees 512. */
const MOST = 640;

/** Score from which a face counts. */
const LEAST_SCORE = 0.5;

/** What is used of the package; it has no types for this build. */
interface FaceApi {
  readonly tf: {
    env(): { setPlatform(name: string, platform: unknown): void };
    setBackend(name: string): Promise<boolean>;
    ready(): Promise<void>;
    tensor3d(data: Int32Array, shape: number[], dtype: "int32"): { dispose(): void };
  };
  readonly env: { setEnv(env: unknown): void };
  readonly nets: { readonly ssdMobilenetv1: { loadFromDisk(folder: string): Promise<void> } };
  readonly SsdMobilenetv1Options: new (options: { minConfidence: number }) => unknown;
  detectAllFaces(picture: unknown, options: unknown): PromiseLike<readonly Detection[]>;
}

interface Detection {
  readonly box: { left: number; top: number; right: number; bottom: number };
}

/**
 * A detector, ready.
 * @throws {DataError} the package is not there and cannot be fetched, or does not start
 */
export async function faceDetector(): Promise<FaceDetector> {
  let api: FaceApi;
  try {
    api = await loadFaceApi();
    await api.nets.ssdMobilenetv1.loadFromDisk(await modelFolder());
  } catch (cause) {
    throw new DataError(
      `the face detector (npm package @vladmandic/face-api) does not start: ${
        reason(cause)
      }; run \`deno install\`, ` +
        "or give boxes with --boxes, or show whole frames with --detector none",
      { cause },
    );
  }
  const options = new api.SsdMobilenetv1Options({ minConfidence: LEAST_SCORE });
  return async (whole) => {
    const { picture: { height, width, data }, scale } = await shrink(whole, MOST);
    const pixels = api.tf.tensor3d(new Int32Array(data), [height, width, 3], "int32");
    try {
      const found = await api.detectAllFaces(pixels, options);
      return found.map(({ box: { left, top, right, bottom } }) =>
        [left / scale, top / scale, right / scale, bottom / scale] as const
      );
    } finally {
      pixels.dispose();
    }
  };
}

let loading: Promise<FaceApi> | undefined;

function loadFaceApi(): Promise<FaceApi> {
  return loading ??= startFaceApi();
}

async function startFaceApi(): Promise<FaceApi> {
  const hidden = Object.getOwnPropertyDescriptor(globalThis, "process");
  let api: FaceApi;
  try {
    if (hidden) Reflect.deleteProperty(globalThis, "process");
    api = await import("@vladmandic/face-api/dist/face-api.esm.js") as unknown as FaceApi;
  } finally {
    if (hidden) Object.defineProperty(globalThis, "process", hidden);
  }
  api.tf.env().setPlatform("deno", {
    fetch,
    now: () => performance.now(),
    encode: (text: string) => new TextEncoder().encode(text),
    decode: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
    isTypedArray: ArrayBuffer.isView,
  });
  class Nothing {} // no canvas and no pictures of a page: only tensors are given
  api.env.setEnv({
    Canvas: Nothing,
    CanvasRenderingContext2D: Nothing,
    Image: Nothing,
    ImageData: Nothing,
    Video: Nothing,
    createCanvasElement: () => new Nothing(),
    createImageElement: () => new Nothing(),
    createVideoElement: () => new Nothing(),
    fetch,
    readFile,
  });
  await api.tf.setBackend("cpu");
  await api.tf.ready();
  return api;
}

/** The package's folder of weights. */
// deno-lint-ignore require-await -- what `resolve` throws becomes a rejection
async function modelFolder(): Promise<string> {
  const file = fileURLToPath(import.meta.resolve("@vladmandic/face-api/dist/face-api.esm.js"));
  return join(dirname(file), "..", "model");
}
