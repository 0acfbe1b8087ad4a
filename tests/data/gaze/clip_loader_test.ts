import {
  assert,
  assertClose,
  assertEquals,
  assertRejects,
  assertThrows,
  test,
} from "../../harness.ts";
import { cachedClips } from "../../../data/gaze/cached_clips.ts";
import type { ClipSource } from "../../../data/gaze/clip.ts";
import {
  type ClipBatch,
  ClipLoader,
  type ClipLoaderOptions,
} from "../../../data/gaze/clip_loader.ts";
import { clipPipeline, floatClip } from "../../../data/gaze/clip_transforms.ts";
import { DataError, ShapeError } from "../../../engine/errors.ts";
import { numberedClip } from "./support.ts";

/** Clips whose pixels start at their number. */
function source(count: number, size = (_: number): number => 20): ClipSource {
  return {
    count,
    clip: (index) => {
      const clip = numberedClip(3, 20, size(index));
      clip.frames[0] = index;
      return Promise.resolve(clip);
    },
  };
}

async function take(loader: ClipLoader, count: number): Promise<ClipBatch[]> {
  const all: ClipBatch[] = [];
  for await (const batch of loader.batches()) {
    all.push(batch);
    if (all.length === count) break;
  }
  return all;
}

const transform = clipPipeline({ crop: [0.7, 1], size: 16, flip: 0.5 });
const digest = ({ images, ...rest }: ClipBatch): string =>
  JSON.stringify(Object.values(rest).map((v) => typeof v === "number" ? v : [...v])) +
  new Uint32Array(images.buffer).join();

test("ClipLoader lays the frames of its clips end to end, with boxes, gaze and what is known", async () => {
  const loader = new ClipLoader(source(5), { batchSize: 2, seed: 3 });
  const batches = await take(loader, 3);
  assertEquals(batches.map(({ shape }) => shape), [[6, 3, 20, 20], [6, 3, 20, 20], [3, 3, 20, 20]]);
  assertEquals(batches.flatMap(({ indices }) => [...indices]).sort(), [0, 1, 2, 3, 4]);
  const clip = floatClip(numberedClip());
  for (const { images, indices, boxes, faceKnown, gaze, clipLength } of batches) {
    assertEquals(clipLength, 3);
    indices.forEach((index, b) => {
      assertEquals(images[b * 3600], Math.fround(index / 255));
      assertEquals(images.slice(b * 3600 + 1200, b * 3600 + 2400), clip.frames[1].data);
      assertEquals(boxes.slice(36 * b, 36 * b + 36), clip.boxes);
      assertEquals([...faceKnown.subarray(3 * b, 3 * b + 3)], [1, 0, 1]);
      assertClose(gaze.subarray(9 * b, 9 * b + 9), clip.gaze, { atol: 0 });
    });
  }
});

test("ClipLoader gives the same batches from a restored position, whatever is made ahead", async () => {
  const options: ClipLoaderOptions = { batchSize: 2, seed: 8, transform };
  const want = (await take(new ClipLoader(source(5), options), 8)).map(digest);
  assertEquals(new Set(want).size, 8);
  const first = new ClipLoader(source(5), { ...options, prefetch: 0 });
  assertEquals((await take(first, 4)).map(digest), want.slice(0, 4));
  assertEquals(first.state(), { epoch: 1, position: 2 });
  const second = new ClipLoader(source(5), { ...options, prefetch: 5 });
  second.restore(JSON.parse(JSON.stringify(first.state())));
  assertEquals((await take(second, 4)).map(digest), want.slice(4));
  const other = await take(new ClipLoader(source(5), { ...options, seed: 9 }), 8);
  assert(other.every((batch, i) => digest(batch) !== want[i]));
});

test("ClipLoader refuses clips of different sizes, and passes on what a source refuses", async () => {
  const mixed = new ClipLoader(source(4, (index) => index === 2 ? 21 : 20), {
    batchSize: 4,
    shuffle: false,
  });
  await assertRejects(
    () => take(mixed, 1),
    DataError,
    "clip 2 has frames, height and width [3,20,21], the first has [3,20,20]",
  );
  const broken: ClipSource = {
    count: 2,
    clip: () => Promise.reject(new DataError("video 3, frame 1: no")),
  };
  await assertRejects(
    () => take(new ClipLoader(broken, { batchSize: 1 }), 1),
    DataError,
    "video 3, frame 1: no",
  );
  assertThrows(
    () => new ClipLoader(source(3), { batchSize: 4, dropLast: true }),
    ShapeError,
    "3 clips make no batch of 4",
  );
  const loader = new ClipLoader(source(3), { batchSize: 2 });
  assertThrows(
    () => loader.restore({ epoch: 0, position: 3 }),
    DataError,
    "position 3 does not fit 3 clips",
  );
});

test("cachedClips() asks for each clip once, and again for one that failed", async () => {
  const asked: number[] = [];
  const inner = source(3);
  const clips = cachedClips({
    count: 3,
    clip: (index) => {
      asked.push(index);
      return asked.length === 1 ? Promise.reject(new DataError("no")) : inner.clip(index);
    },
  });
  assertEquals(clips.count, 3);
  await assertRejects(async () => await clips.clip(1), DataError, "no");
  assertEquals(await clips.clip(1), await clips.clip(1));
  await clips.clip(2);
  assertEquals(asked, [1, 1, 2]);
});
