/**
 * Synthetic clips rendered by workers, so that the thread that feeds the GPU never waits for a ray.
 * @module
 */
import {
  type ClipSource,
  type GazeClip,
  SyntheticClips,
  type SyntheticOptions,
} from "../../data/gaze/mod.ts";
import { DataError } from "../../engine/errors.ts";

/** What a worker is asked for after its first message, the options of its clips. */
export interface RenderRequest {
  readonly index: number;
}

/** What a worker answers. */
export type RenderAnswer =
  | { readonly index: number; readonly clip: GazeClip }
  | { readonly index: number; readonly error: string };

interface Waiting {
  readonly resolve: (clip: GazeClip) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The clips of `SyntheticClips`, rendered elsewhere. A clip that is asked for is rendered along with those that were asked
 * for before it, by as many workers as there are. To be disposed of.
 */
export class WorkerClips implements ClipSource, Disposable {
  /** How many there are. */
  readonly count: number;
  readonly #workers: readonly Worker[];
  readonly #waiting = new Map<number, Waiting[]>();
  #next = 0;

  /** @throws {ShapeError} the options describe no clips */
  constructor(options: SyntheticOptions, workers = 1) {
    this.count = new SyntheticClips(options).count; // also checks the options
    this.#workers = Array.from({ length: workers }, () => {
      const url = new URL("./render_worker.ts", import.meta.url);
      const worker = new Worker(url.href, { type: "module" });
      worker.onmessage = ({ data }: MessageEvent<RenderAnswer>) => this.#take(data);
      worker.onerror = (event) => this.#fail(event.message);
      worker.postMessage(options);
      return worker;
    });
  }

  /** Has clip `index` rendered. @throws {DataError} it cannot be */
  clip(index: number): Promise<GazeClip> {
    const { promise, resolve, reject } = Promise.withResolvers<GazeClip>();
    const others = this.#waiting.get(index);
    if (others) others.push({ resolve, reject });
    else {
      this.#waiting.set(index, [{ resolve, reject }]);
      const request: RenderRequest = { index };
      this.#workers[this.#next++ % this.#workers.length].postMessage(request);
    }
    return promise;
  }

  #take(answer: RenderAnswer): void {
    const waiting = this.#waiting.get(answer.index) ?? [];
    this.#waiting.delete(answer.index);
    for (const { resolve, reject } of waiting) {
      if ("clip" in answer) resolve(answer.clip);
      else reject(new DataError(answer.error));
    }
  }

  #fail(message: string): void {
    const all = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const { reject } of all) {
      reject(new DataError(`WorkerClips: the renderer ended: ${message}`));
    }
  }

  /** Ends the workers. */
  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
    this.#fail("it was disposed of");
  }
}
