import { SUBMIT_MS } from "../../engine/cost.ts";
import { InFlight } from "../../engine/in_flight.ts";
import { add } from "../../engine/mod.ts";
import { assert, assertEquals, gpuTest, test } from "../harness.ts";

/** How many lists of `ms` may be unfinished. */
function room(ms: number): number {
  const lists = new InFlight();
  let count = 0;
  do {
    lists.add(Promise.resolve(), ms);
    count++;
  } while (lists.next() === null);
  return count - 1;
}

test("two long lists may be unfinished, and as many short ones as a submit has time for", () => {
  assertEquals(room(10 * SUBMIT_MS), 2);
  assertEquals(room(SUBMIT_MS), 2);
  assertEquals(room(SUBMIT_MS / 10), 10);
  assertEquals(room(0), 256);
});

test("a finished list makes room, and the oldest is waited for first", async () => {
  const lists = new InFlight();
  const order: number[] = [];
  const ends = [0, 1, 2].map((i) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    lists.add(promise.then(() => void order.push(i)), SUBMIT_MS);
    return resolve;
  });
  const waiting = lists.next();
  assert(waiting !== null && lists.next() === null);
  ends.forEach((end) => end());
  await waiting;
  assertEquals(order[0], 0);
  for (let left = 0; left < 2; left++) await lists.oldest();
  assertEquals([lists.oldest(), order], [null, [0, 1, 2]]);
});

gpuTest("short steps, eager or captured, do not wait for one another", async (device) => {
  const x = device.tensor(Float32Array.of(1, 2, 3));
  const captured = device.capture(() => add(x, x));
  await captured();
  await device.sync();
  const { queue } = device.gpu, { promise, resolve } = Promise.withResolvers<undefined>();
  queue.onSubmittedWorkDone = () => promise; // a GPU that never gets done
  try {
    for (let i = 0; i < 20; i++) {
      await device.step(() => add(x, x));
      await captured();
    }
  } finally {
    resolve(undefined);
    Reflect.deleteProperty(queue, "onSubmittedWorkDone");
  }
  assertEquals([...await (await captured()).data()], [2, 4, 6]);
}, { device: {} });
