/**
 * Faces in pictures, by two networks of the npm package @vladmandic/face-api on its plain CPU backend.
 *
 * ssd    SSD MobileNet V1, which always sees 512 x 512 pixels: the tighter boxes.
 * tiny   The Tiny Face Detector at 512 x 512 pixels, its boxes brought to the form of the other's.
 *
 * Measured on the six photographs that the package ships (`demo/sample*.jpg`, 1920 pixels wide, 22 faces found by ssd, which
 * are the reference here), both in one process, turn about, on one Intel Xeon core without a GPU, Deno 2.9.6; seconds are of
 * the CPU, means of a picture; overlap is intersection over union with ssd's box of the same face.
 *
 *     network     seconds   faces   others   overlap: mean, least
 *     ssd            7.24      22        -
 *     tiny, 320      0.74      16        8
 *     tiny, 416      1.25      20        2
 *     tiny, 512      1.75      22        0   0.82, 0.68
 *     tiny, 608      2.44      21        0
 *
 * So `wgrad gaze` asks tiny at 512 in videos (4.1 times less work) and ssd in single pictures. A face of the 22 scores no more
 * than 0.31 of the 0.3 that are needed, so `--detector ssd` with `--every` is the choice where tiny misses somebody.
 *
 * The photographs are under the package's MIT licence; its readme says that its author took them. None is committed here.
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
import { faceOfTiny, LEAST_TINY_SCORE, TINY_INPUT } from "./tiny_faces.ts";

/** The networks. */
export const FACE_NETWORKS = ["ssd", "tiny"] as const;

/** The name of a network. */
export type FaceNetwork = (typeof FACE_NETWORKS)[number];

/** The boxes of the faces in a picture, best first, in its pixels. */
export type FaceDetector = (picture: Picture) => Promise<readonly Box[]>;

/** Pictures are brought to at most this many pixels a side: the network sees 512. */
const MOST = 640;

/** Score from which a face counts. */
const LEAST_SCORE: Readonly<Record<FaceNetwork, number>> = {
  ssd: 0.5,
  tiny: LEAST_TINY_SCORE,
};

/** What is used of the package; it has no types for this build. */
interface FaceApi {
  readonly tf: {
    env(): { setPlatform(name: string, platform: unknown): void };
    setBackend(name: string): Promise<boolean>;
    ready(): Promise<void>;
    tensor3d(data: Int32Array, shape: number[], dtype: "int32"): { dispose(): void };
  };
  readonly env: { setEnv(env: unknown): void };
  readonly nets: Readonly<
    Record<"ssdMobilenetv1" | "tinyFaceDetector", { loadFromDisk(folder: string): Promise<void> }>
  >;
  readonly SsdMobilenetv1Options: new (options: { minConfidence: number }) => unknown;
  readonly TinyFaceDetectorOptions: new (
    options: { inputSize: number; scoreThreshold: number },
  ) => unknown;
  detectAllFaces(picture: unknown, options: unknown): PromiseLike<readonly Detection[]>;
}

interface Detection {
  readonly box: { left: number; top: number; right: number; bottom: number };
}

/**
 * A detector, ready.
 * @throws {DataError} the package is not there and cannot be fetched, or does not start
 */
export async function faceDetector(network: FaceNetwork = "ssd"): Promise<FaceDetector> {
  const tiny = network === "tiny";
  let api: FaceApi;
  try {
    api = await loadFaceApi();
    await api.nets[tiny ? "tinyFaceDetector" : "ssdMobilenetv1"].loadFromDisk(await modelFolder());
  } catch (cause) {
    throw new DataError(
      `the face detector (npm package @vladmandic/face-api) does not start: ${
        reason(cause)
      }; run \`deno install\`, ` +
        "or give boxes with --boxes, or show whole frames with --detector none",
      { cause },
    );
  }
  const least = LEAST_SCORE[network];
  const options = tiny
    ? new api.TinyFaceDetectorOptions({ inputSize: TINY_INPUT, scoreThreshold: least })
    : new api.SsdMobilenetv1Options({ minConfidence: least });
  return async (whole) => {
    const { picture: { height, width, data }, scale } = await shrink(whole, MOST);
    const pixels = api.tf.tensor3d(new Int32Array(data), [height, width, 3], "int32");
    try {
      const found = await api.detectAllFaces(pixels, options);
      return found.map(({ box: { left, top, right, bottom } }) => {
        const box = [left / scale, top / scale, right / scale, bottom / scale] as const;
        return tiny ? faceOfTiny(box) : box;
      });
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
