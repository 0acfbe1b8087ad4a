import { assert, assertEquals, assertRejects, assertThrows, test } from "../harness.ts";
import { type Batch, BatchLoader, type BatchLoaderOptions } from "../../data/batches.ts";
import {
  compose,
  normalise,
  randomCrop,
  randomShift,
  type Transform,
} from "../../data/transforms.ts";
import { imageAt } from "../../data/float_image.ts";
import { DataError, ShapeError } from "../../engine/errors.ts";
import { numberedSet } from "./support.ts";

const augmentation = compose(randomShift(1), randomCrop(2, 2), normalise(0.5, 0.25));

/** Everything a batch holds, as text that differs when a bit does. */
function digest(batch: Batch): string {
  const bits = new Uint32Array(batch.images.buffer).join();
  return [batch.epoch, batch.shape, batch.indices, batch.labels, bits].join(" | ");
}

async function collect(batches: AsyncIterable<Batch>, count = Infinity): Promise<Batch[]> {
  const all: Batch[] = [];
  for await (const batch of batches) {
    all.push(batch);
    if (all.length === count) break;
  }
  return all;
}

test("BatchLoader hands out each image once an epoch, in the pinned order", async () => {
  const set = numberedSet(10);
  const loader = new BatchLoader(set, { batchSize: 4, seed: 1 });
  assertEquals(loader.batchesPerEpoch, 3);
  // From a Python program with its own Philox and shuffle: stream "data/order" of seed 1, cells 0 and 1.
  const orders = [[4, 6, 7, 2, 9, 1, 5, 3, 0, 8], [4, 3, 7, 6, 8, 1, 0, 9, 5, 2]];
  for (const [epoch, order] of orders.entries()) {
    const batches = await collect(loader.epoch());
    assertEquals(batches.map((batch) => batch.shape), [[4, 1, 2, 3], [4, 1, 2, 3], [2, 1, 2, 3]]);
    assertEquals(batches.map((batch) => batch.epoch), [epoch, epoch, epoch]);
    assertEquals(batches.flatMap((batch) => [...batch.indices]), order);
    for (const { images, labels, indices } of batches) {
      indices.forEach((index, i) => {
        assertEquals(labels[i], set.labels[index]);
        assertEquals(images.slice(i * 6, i * 6 + 6), imageAt(set, index).data);
      });
    }
  }
});

test("BatchLoader keeps the set's order without shuffle, and drops a small last batch on request", async () => {
  const set = numberedSet(10);
  const inOrder = await collect(new BatchLoader(set, { batchSize: 4, shuffle: false }).epoch());
  assertEquals(inOrder.map((batch) => [...batch.indices]), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]);
  const loader = new BatchLoader(set, { batchSize: 4, shuffle: false, dropLast: true });
  assertEquals(loader.batchesPerEpoch, 2);
  const dropped = await collect(loader.batches(), 3);
  assertEquals(dropped.map((batch) => [...batch.indices]), [[0, 1, 2, 3], [4, 5, 6, 7], [
    0,
    1,
    2,
    3,
  ]]);
  const even = new BatchLoader(set, { batchSize: 5, dropLast: true });
  assertEquals((await collect(even.epoch())).length, 2);
});

test("BatchLoader gives the same batches whatever is made ahead, and others for another seed", async () => {
  const set = numberedSet(23, 4, 4);
  const run = async (options: Partial<BatchLoaderOptions>): Promise<string[]> => {
    const all = { batchSize: 5, seed: 7, transform: augmentation, ...options };
    return (await collect(new BatchLoader(set, all).batches(), 12)).map(digest);
  };
  const want = await run({});
  for (const prefetch of [0, 1, 3, 20]) assertEquals(await run({ prefetch }), want);
  const other = await run({ seed: 8 });
  assert(want.every((text, i) => text !== other[i]));
});

test("BatchLoader augments an image anew each epoch, and independently of its batch", async () => {
  const set = numberedSet(12, 6, 6);
  const images = async (batchSize: number, shuffle: boolean): Promise<string[]> => {
    const loader = new BatchLoader(set, { batchSize, shuffle, transform: augmentation });
    const texts: string[] = [];
    for (const batch of await collect(loader.epoch())) {
      batch.indices.forEach((index, i) =>
        texts[index] = batch.images.slice(i * 4, i * 4 + 4).join()
      );
    }
    return texts;
  };
  assertEquals(await images(3, true), await images(4, false));
  const loader = new BatchLoader(set, { batchSize: 12, shuffle: false, transform: augmentation });
  const [first, second] = await collect(loader.batches(), 2);
  assert(first.images.join() !== second.images.join());
});

test("BatchLoader goes on from state() exactly, from every place", async () => {
  const set = numberedSet(11, 4, 4);
  for (const dropLast of [false, true]) {
    const options = { batchSize: 4, seed: 3, dropLast, transform: augmentation };
    const want = (await collect(new BatchLoader(set, options).batches(), 9)).map(digest);
    for (let stop = 0; stop < 7; stop++) {
      const before = new BatchLoader(set, options);
      const first = stop === 0 ? [] : await collect(before.batches(), stop);
      const after = new BatchLoader(set, options);
      after.restore(JSON.parse(JSON.stringify(before.state())));
      const rest = await collect(after.batches(), 9 - stop);
      assertEquals([...first, ...rest].map(digest), want);
      // The loader that was stopped goes on by itself, too.
      assertEquals((await collect(before.batches(), 9 - stop)).map(digest), want.slice(stop));
    }
  }
});

test("BatchLoader.state() counts what was handed out, and epoch() ends with the epoch", async () => {
  const loader = new BatchLoader(numberedSet(10), { batchSize: 4 });
  const states = [];
  for await (const _ of loader.epoch()) states.push(loader.state());
  assertEquals(states, [
    { epoch: 0, position: 4 },
    { epoch: 0, position: 8 },
    { epoch: 1, position: 0 },
  ]);
  await collect(loader.epoch(), 1);
  assertEquals(loader.state(), { epoch: 1, position: 4 });
  assertEquals((await collect(loader.epoch())).length, 2); // the rest
  assertEquals(loader.state(), { epoch: 2, position: 0 });
});

test("BatchLoader.restore() refuses what does not fit, and skips a rest that would be dropped", async () => {
  const loader = new BatchLoader(numberedSet(10), { batchSize: 4, dropLast: true });
  for (
    const state of [{ epoch: 0, position: 10 }, { epoch: -1, position: 0 }, {
      epoch: 0,
      position: 0.5,
    }]
  ) {
    assertThrows(() => loader.restore(state), DataError, "does not fit 10 images");
  }
  loader.restore({ epoch: 2, position: 8 });
  assertEquals(loader.state(), { epoch: 3, position: 0 });
  for await (const _ of loader.epoch()) {
    assertThrows(() => loader.restore({ epoch: 0, position: 0 }), DataError, "is running");
    await assertRejects(() => loader.epoch().next(), DataError, "another loop");
    break;
  }
  loader.restore({ epoch: 0, position: 0 });
});

test("BatchLoader makes as many batches ahead as asked for, and stops when the loop is left", async () => {
  for (const prefetch of [0, 1, 3]) {
    let images = 0;
    const count: Transform = (image) => {
      images++;
      return image;
    };
    const loader = new BatchLoader(numberedSet(100), { batchSize: 5, prefetch, transform: count });
    const loop = loader.batches();
    await loop.next();
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals(images, 5 * (1 + prefetch));
    await loop.next();
    const made = images;
    await loop.return(undefined); // at once: what is not begun stays undone
    assertEquals(images, made);
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals(images, made);
  }
});

test("BatchLoader lets other tasks run while it makes a batch", async () => {
  let busy = 0;
  const slow: Transform = (image) => {
    const end = performance.now() + 3;
    while (performance.now() < end) busy++;
    return image;
  };
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await collect(new BatchLoader(numberedSet(64), { batchSize: 64, transform: slow }).epoch());
  clearInterval(timer);
  // 64 images of 3 ms in slices of 6 ms: over 20 pauses. Without them there would be one tick.
  assert(ticks >= 5, `${ticks} ticks`);
});

test("BatchLoader throws a transform's error at its batch, and then goes on from there", async () => {
  const set = numberedSet(10);
  let broken = true;
  const transform: Transform = (image) => {
    if (broken && image.data[0] === imageAt(set, 5).data[0]) throw new RangeError("image 5");
    return image;
  };
  const loader = new BatchLoader(set, { batchSize: 2, shuffle: false, transform });
  const seen: number[] = [];
  await assertRejects(
    async () => {
      for await (const { indices } of loader.epoch()) seen.push(...indices);
    },
    RangeError,
    "image 5",
  );
  assertEquals(seen, [0, 1, 2, 3]);
  broken = false;
  const rest = await collect(loader.epoch());
  assertEquals(rest.flatMap((batch) => [...batch.indices]), [4, 5, 6, 7, 8, 9]);
});

test("BatchLoader refuses images of different sizes in one batch", async () => {
  let calls = 0;
  const uneven: Transform = (image, rng) => randomCrop(1, 1 + (calls++ % 2))(image, rng);
  const loader = new BatchLoader(numberedSet(4), { batchSize: 2, transform: uneven });
  await assertRejects(() => loader.epoch().next(), DataError, "a batch needs one size");
});

test("BatchLoader refuses sizes that make no batch", () => {
  const set = numberedSet(4);
  for (const batchSize of [0, -1, 1.5, NaN]) {
    assertThrows(() => new BatchLoader(set, { batchSize }), ShapeError, "batchSize");
  }
  assertThrows(
    () => new BatchLoader(set, { batchSize: 5, dropLast: true }),
    ShapeError,
    "no batch of 5",
  );
  assertThrows(() => new BatchLoader(set, { batchSize: 1, prefetch: -1 }), ShapeError, "prefetch");
  assertEquals(new BatchLoader(set, { batchSize: 5 }).batchesPerEpoch, 1);
});
