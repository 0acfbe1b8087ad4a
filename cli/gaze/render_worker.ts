/**
 * The worker behind `worker_clips.ts`: renders the clips it is asked for.
 * @module
 */
import { SyntheticClips, type SyntheticOptions } from "../../data/gaze/mod.ts";
import type { RenderAnswer, RenderRequest } from "./worker_clips.ts";

/** The part of a worker's global scope that is used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<SyntheticOptions | RenderRequest>) => void) | null;
  postMessage(message: RenderAnswer, transfer?: Transferable[]): void;
}

const scope = globalThis as unknown as WorkerScope;
let clips: SyntheticClips | undefined;

scope.onmessage = ({ data }) => {
  if ("split" in data) {
    clips = new SyntheticClips(data);
    return;
  }
  const { index } = data;
  try {
    const clip = clips!.clip(index);
    scope.postMessage({ index, clip }, [clip.frames.buffer as ArrayBuffer]);
  } catch (error) {
    scope.postMessage({ index, error: (error as Error).message });
  }
};
