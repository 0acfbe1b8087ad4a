/**
 * Rendered clips kept in files, so that each is rendered once for all runs.
 *
 * Files of 100 clips, safetensors of bytes and truths: an interrupted rendering goes on with the next file, and a torn one
 * costs 100 clips. Its metadata say which clips it holds (split, size, seed, numbers, the renderer's ranges) and their
 * checksum. What it does not say, whether the renderer itself has changed since, is found by rendering the first clip anew.
 * @module
 */
import {
  CLIP_LENGTH,
  type ClipSource,
  type GazeClip,
  HEAD_VIEW,
  RANGES,
  type SyntheticClip,
  SyntheticClips,
  type SyntheticOptions,
} from "../../data/gaze/mod.ts";
import { CheckpointError } from "../../engine/mod.ts";
import { crc32 } from "../../io/crc32.ts";
import { loadSafetensorsFile, saveSafetensorsFile } from "../../io/files.ts";
import { elementsOf, type NamedArray, namedArray } from "../../io/mod.ts";
import { WorkerClips } from "../gaze/worker_clips.ts";
import { stopIfAsked } from "../interrupt.ts";
import { Progress } from "../progress.ts";

/** Which clips. */
export type CachedOptions = Required<Pick<SyntheticOptions, "split" | "count" | "size">> & {
  readonly seed: number;
};

/** How they are made ready. */
export interface CacheOptions {
  /** Threads that render; 0: this one, which then does nothing else. */
  readonly workers: number;
  readonly signal?: AbortSignal;
  /** Told of each file that is not as it should be, and is made anew. */
  readonly warn: (message: string) => void;
}

/** Clips of a file. */
export const CLIPS_A_FILE = 100;

/** The key of a file's metadata. */
const KEY = "wgrad.clips";

/** Bytes of clips, on disk and in memory. */
export function cacheBytes({ count, size }: Pick<CachedOptions, "count" | "size">): number {
  return count * CLIP_LENGTH * (3 * size * size + 12 * 4 + 3 * 4 + 3 * 4 + 2);
}

/** How many of the clips have no file yet. */
export async function clipsToRender(folder: string, options: CachedOptions): Promise<number> {
  let missing = 0;
  for (const part of partsOf(options)) {
    const { path, count } = part;
    if (!await Deno.stat(`${folder}/${path}`).then(() => true, () => false)) missing += count;
  }
  return missing;
}

/**
 * The clips of `SyntheticClips`, from the files of a folder; those that are missing are rendered first.
 * @throws {InterruptedError} the signal was aborted; files that were finished stay
 * @throws {DataError} a clip cannot be rendered
 * @throws {CheckpointError} a file cannot be written
 */
export async function renderedClips(
  folder: string,
  options: CachedOptions,
  { workers, signal, warn }: CacheOptions,
): Promise<ClipSource> {
  const { count, split, size } = options;
  const fresh = new SyntheticClips(options);
  const kept: SyntheticClip[] = [];
  const bar = new Progress(`rendering ${split} clips of ${size} pixels`, count);
  let rendered = 0, stale = false;
  let threads: WorkerClips | undefined;
  try {
    for (const part of partsOf(options)) {
      const path = `${folder}/${part.path}`;
      let clips = stale ? null : await readPart(path, part, options, warn);
      if (clips !== null && part.first === 0 && !sameClip(clips[0], fresh.clip(0))) {
        warn(`${path}: the renderer draws other pictures now; all ${split} clips are made anew`);
        stale = true;
        clips = null;
      }
      if (clips === null) {
        if (workers > 0) threads ??= new WorkerClips(options, workers);
        clips = await renderPart(threads ?? fresh, part, (done) => {
          stopIfAsked(signal);
          bar.update(kept.length + done);
        });
        await writePart(path, part, options, clips);
        rendered += clips.length;
      }
      kept.push(...clips);
      stopIfAsked(signal);
    }
  } finally {
    threads?.[Symbol.dispose]();
  }
  if (rendered > 0) {
    bar.update(count);
    bar.finish(`${rendered} rendered`);
  }
  return { count, clip: (index) => kept[index] };
}

/** A file: its name, and which clips it holds. */
interface Part {
  readonly path: string;
  readonly first: number;
  readonly count: number;
}

function partsOf({ split, count, size, seed }: CachedOptions): Part[] {
  return Array.from({ length: Math.ceil(count / CLIPS_A_FILE) }, (_, i) => {
    const first = i * CLIPS_A_FILE;
    const name = `${split}-${size}px-seed${seed}-${String(first).padStart(6, "0")}`;
    return {
      path: `${name}.safetensors`,
      first,
      count: Math.min(CLIPS_A_FILE, count - first),
    };
  });
}

/** What a file says it holds. */
function contentsOf({ first, count }: Part, { split, size, seed }: CachedOptions): string {
  return JSON.stringify({ split, size, seed, first, count, view: HEAD_VIEW, ranges: RANGES });
}

/** Clips as arrays over all of them. */
function arraysOf(clips: readonly SyntheticClip[]): Map<string, NamedArray> {
  const n = clips.length, { length: t, height, width } = clips[0];
  const bytes = (of: (clip: SyntheticClip) => Uint8Array, shape: readonly number[]): NamedArray => {
    const all = new Uint8Array(shape.reduce((a, b) => a * b));
    clips.forEach((clip, i) => all.set(of(clip), i * all.length / n));
    return namedArray(all, shape);
  };
  const floats = (
    of: (clip: SyntheticClip) => Float32Array,
    shape: readonly number[],
  ): NamedArray => {
    const all = new Float32Array(shape.reduce((a, b) => a * b));
    clips.forEach((clip, i) => all.set(of(clip), i * all.length / n));
    return namedArray(all, shape);
  };
  return new Map([
    ["frames", bytes((clip) => clip.frames, [n, t, height, width, 3])],
    ["boxes", floats((clip) => clip.boxes, [n, t, 3, 4])],
    ["gaze", floats((clip) => clip.gaze, [n, t, 3])],
    ["head_pose", floats((clip) => clip.headPose, [n, t, 3])],
    ["face_known", bytes((clip) => clip.faceKnown, [n, t])],
    ["hidden", bytes((clip) => clip.hidden, [n, t])],
  ]);
}

/** Clips that share the memory of a file's arrays. */
function clipsIn(arrays: ReadonlyMap<string, NamedArray>, count: number): SyntheticClip[] {
  const [, length, height, width] = arrays.get("frames")!.shape;
  const rows = <A extends Uint8Array | Float32Array>(name: string) => {
    const all = elementsOf(arrays.get(name)!) as A, each = all.length / count;
    return (i: number): A => all.subarray(i * each, (i + 1) * each) as A;
  };
  const frames = rows<Uint8Array>("frames"), boxes = rows<Float32Array>("boxes");
  const gaze = rows<Float32Array>("gaze"), headPose = rows<Float32Array>("head_pose");
  const faceKnown = rows<Uint8Array>("face_known"), hidden = rows<Uint8Array>("hidden");
  return Array.from({ length: count }, (_, i) => ({
    length,
    height,
    width,
    frames: frames(i),
    boxes: boxes(i),
    gaze: gaze(i),
    headPose: headPose(i),
    faceKnown: faceKnown(i),
    hidden: hidden(i),
  }));
}

/** Over all arrays in the order of their names: a file has its own. */
function checksum(arrays: ReadonlyMap<string, NamedArray>): string {
  let crc = 0;
  for (const name of [...arrays.keys()].sort()) crc = crc32(arrays.get(name)!.data, crc);
  return crc.toString(16).padStart(8, "0");
}

async function writePart(
  path: string,
  part: Part,
  options: CachedOptions,
  clips: readonly SyntheticClip[],
): Promise<void> {
  const arrays = arraysOf(clips);
  const metadata = [[KEY, contentsOf(part, options)], ["crc32", checksum(arrays)]] as const;
  await saveSafetensorsFile(path, arrays, metadata);
}

/** The clips of a file; null where there is no file, or none to be used. */
async function readPart(
  path: string,
  part: Part,
  options: CachedOptions,
  warn: CacheOptions["warn"],
): Promise<SyntheticClip[] | null> {
  if (!await Deno.stat(path).then(() => true, () => false)) return null;
  try {
    const { tensors, metadata } = await loadSafetensorsFile(path);
    const contents = metadata.get(KEY);
    if (contents === undefined) throw new CheckpointError("it holds no clips");
    if (contents !== contentsOf(part, options)) {
      throw new CheckpointError("it holds clips of other settings");
    }
    if (metadata.get("crc32") !== checksum(tensors)) {
      throw new CheckpointError("its checksum is wrong: it is damaged");
    }
    return clipsIn(tensors, part.count);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const why = error.message.includes(path) ? error.message : `${path}: ${error.message}`;
    warn(`${why}; its ${part.count} clips are rendered anew`);
    return null;
  }
}

/** Renders the clips of a file, as many at a time as there are waiting renderers for. */
async function renderPart(
  renderers: ClipSource,
  { first, count }: Part,
  onClip: (done: number) => void,
): Promise<SyntheticClip[]> {
  const coming = Array.from({ length: count }, (_, i) => renderers.clip(first + i));
  const all = Promise.all(coming);
  all.catch(() => {}); // reported where it is awaited
  for (let i = 0; i < count; i++) {
    await coming[i];
    onClip(i + 1);
  }
  return await all as SyntheticClip[];
}

function sameClip(a: GazeClip, b: GazeClip): boolean {
  const same = (x: ArrayLike<number>, y: ArrayLike<number>): boolean =>
    x.length === y.length && Array.prototype.every.call(x, (value, i) => value === y[i]);
  return same(a.frames, b.frames) && same(a.boxes, b.boxes) && same(a.gaze, b.gaze);
}
