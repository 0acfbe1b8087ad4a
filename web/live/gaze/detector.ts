/**
 * Faces in pictures, by the tiny network of @vladmandic/face-api, which is loaded when it is first asked for.
 * @module
 */
import type { Box, Picture } from "../../../data/gaze/mod.ts";
import { faceOfTiny, LEAST_TINY_SCORE, TINY_INPUT } from "../../../cli/gaze/tiny_faces.ts";
import { DETECTOR } from "./places.ts";

/** The boxes of the faces in a picture, best first, in its pixels. */
export type PageDetector = (picture: Picture) => Promise<readonly Box[]>;

interface FaceApi {
  readonly tf: {
    setBackend(name: string): Promise<boolean>;
    ready(): Promise<void>;
    tensor3d(data: Int32Array, shape: number[], dtype: "int32"): { dispose(): void };
  };
  readonly nets: { readonly tinyFaceDetector: { loadFromUri(uri: string): Promise<void> } };
  readonly TinyFaceDetectorOptions: new (
    options: { inputSize: number; scoreThreshold: number },
  ) => unknown;
  detectAllFaces(picture: unknown, options: unknown): PromiseLike<
    readonly { readonly box: { left: number; top: number; right: number; bottom: number } }[]
  >;
}

let loading: Promise<PageDetector> | undefined;

/** The detector. @param software the machine has no GPU: the detector takes the processor as well */
export function pageDetector(software: boolean): Promise<PageDetector> {
  return loading ??= start(software).catch((error) => {
    loading = undefined;
    throw error;
  });
}

async function start(software: boolean): Promise<PageDetector> {
  const api = await import("@vladmandic/face-api/dist/face-api.esm.js") as unknown as FaceApi;
  if (software || !await api.tf.setBackend("webgl")) await api.tf.setBackend("cpu");
  await api.tf.ready();
  await api.nets.tinyFaceDetector.loadFromUri(new URL(DETECTOR, document.baseURI).href);
  const options = new api.TinyFaceDetectorOptions({
    inputSize: TINY_INPUT,
    scoreThreshold: LEAST_TINY_SCORE,
  });
  return async ({ height, width, data }) => {
    const pixels = api.tf.tensor3d(new Int32Array(data), [height, width, 3], "int32");
    try {
      const found = await api.detectAllFaces(pixels, options);
      return found.map(({ box: { left, top, right, bottom } }) =>
        faceOfTiny([left, top, right, bottom])
      );
    } finally {
      pixels.dispose();
    }
  };
}
