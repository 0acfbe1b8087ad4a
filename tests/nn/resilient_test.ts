/** Runs that lose their device, and runs that are interrupted: the losses are those of one that nothing happened to. */
import {
  AdapterUnavailableError,
  type Device,
  DeviceLostError,
  InterruptedError,
  NonFiniteError,
  requestDevice,
} from "../../engine/mod.ts";
import {
  type ResilientOptions,
  type ResilientResult,
  train,
  trainResilient,
} from "../../nn/mod.ts";
import { assert, assertEquals, assertRejects, gpuTest, test } from "../harness.ts";
import { buildSmallRun, MemoryCheckpoint, type SmallRun, STEPS } from "./small_run.ts";

/** Trains on devices that are lost after some milliseconds or at some steps. */
async function runWith(
  lose: (device: Device, number: number) => { at?: number; delay?: number },
  changes: Partial<ResilientOptions<SmallRun>> & { every?: number; capture?: boolean } = {},
): Promise<ResilientResult<SmallRun>> {
  const store = new MemoryCheckpoint();
  let number = 0;
  const timers: ReturnType<typeof setTimeout>[] = [];
  const result = await trainResilient<SmallRun>({
    makeDevice: () => requestDevice(),
    build: async (device) => {
      const { at, delay } = lose(device, number++);
      const run = await buildSmallRun(device, { reportEvery: 1, capture: changes.capture ?? true });
      if (delay !== undefined) timers.push(setTimeout(() => device.gpu.destroy(), delay));
      return {
        ...run,
        onProgress: ({ step }) => {
          if (step === at) device.destroy();
        },
      };
    },
    checkpoint: {
      every: changes.every ?? 3,
      save: (step, run) => store.save(step, run),
      load: (run) => store.load(run),
    },
    ...changes,
  });
  timers.forEach(clearTimeout);
  result.device.destroy();
  return result;
}

/** A run that nothing happens to; plain `train`. */
async function undisturbed(device: Device): Promise<number[]> {
  const run = await buildSmallRun(device);
  const losses = await train({ ...run, device, batches: run.batches(0) });
  run.optimizer.dispose();
  return losses;
}

gpuTest("a device destroyed at a step, twice in a row, changes no loss", async (device) => {
  const want = await undisturbed(device);
  for (const capture of [true, false]) {
    for (const [first, second] of [[1, 1], [2, 4], [5, 8], [9, 10], [7, 7]]) {
      const { losses, lost } = await runWith(
        (_, number) => number === 0 ? { at: first } : number === 1 ? { at: second } : {},
        { capture },
      );
      assertEquals(losses, want, `destroyed after steps ${first} and ${second}`);
      assertEquals(lost, 2);
    }
  }
});

gpuTest("a device lost from below at random moments changes no loss", async (device) => {
  const want = await undisturbed(device);
  let lost = 0;
  for (const delay of [0, 3, 7, 13, 29, 53]) {
    const result = await runWith((_, number) => number < 2 ? { delay } : {}, { every: 1 });
    assertEquals(result.losses, want, `lost after ${delay} ms`);
    lost += result.lost;
  }
  assert(lost >= 4, `only ${lost} of 12 devices were lost in time`);
});

test("trainResilient() gives up with the first error after losses without progress", async () => {
  const seen: Error[] = [];
  let devices = 0;
  const error = await assertRejects(
    () =>
      runWith((device) => {
        devices++;
        return { at: 2, device };
      }, { every: 5, onLost: (error) => seen.push(error) }),
    DeviceLostError,
  );
  assertEquals(devices, 3);
  assertEquals(seen.length, 2);
  assert(error === seen[0], "another error than the first");
});

test("trainResilient() waits for a device after a loss, but not at the start", async () => {
  let asked = 0;
  const refuse = new AdapterUnavailableError("there is none now");
  const sometimes = (...tries: number[]) => () =>
    tries.includes(++asked) ? Promise.reject(refuse) : requestDevice();
  const loseFirst = (_: Device, number: number) => number === 0 ? { at: 4 } : {};
  const { losses, lost } = await runWith(loseFirst, { makeDevice: sometimes(2) });
  assertEquals([losses.length, lost, asked], [STEPS, 1, 3]);
  asked = 0;
  await assertRejects(
    () => runWith(loseFirst, { makeDevice: sometimes(2, 3, 4), patience: 300 }),
    AdapterUnavailableError,
    "no new device was to be had for 0.3 s. The GPU device was lost (destroyed by destroy())",
  );
  assertEquals(asked, 3);
  asked = 0;
  await assertRejects(
    () => runWith(loseFirst, { makeDevice: sometimes(1) }),
    AdapterUnavailableError,
  );
  assertEquals(asked, 1);
});

test("losses with progress in between are counted anew", async () => {
  let devices = 0;
  // Each device does three steps, so one checkpoint, and is lost: more losses than `mostLosses` in all.
  const { losses, lost } = await runWith(() => ({ at: Math.min(++devices * 3, STEPS + 1) }), {
    every: 2,
    mostLosses: 2,
  });
  assertEquals(losses.length, STEPS);
  assertEquals(lost, 3);
});

test("trainResilient() passes other errors on and ends the device", async () => {
  const devices: Device[] = [];
  await assertRejects(
    () =>
      runWith((device) => {
        devices.push(device);
        return {};
      }, {
        checkpoint: {
          every: 2,
          save: () => Promise.reject(new NonFiniteError("no")),
          load: () => Promise.resolve(0),
        },
      }),
    NonFiniteError,
    "no",
  );
  assertEquals(devices.length, 1);
  await assertRejects(() => devices[0].sync(), DeviceLostError);
});

gpuTest(
  "interrupted after any step and resumed equals uninterrupted, bit for bit",
  async (device) => {
    const want = await undisturbed(device);
    for (let stop = 1; stop < STEPS; stop++) {
      const store = new MemoryCheckpoint();
      const controller = new AbortController();
      const run = await buildSmallRun(device, { reportEvery: 1, signal: controller.signal });
      const losses: number[] = [];
      await assertRejects(
        () =>
          train({
            ...run,
            device,
            batches: run.batches(0),
            onProgress: (progress) => {
              losses.push(...progress.losses);
              if (progress.step === stop) controller.abort();
            },
            checkpoint: { every: STEPS, save: (step) => store.save(step, run) },
          }),
        InterruptedError,
      );
      const again = await buildSmallRun(device);
      const startStep = await store.load(again);
      assertEquals(startStep, stop);
      losses.push(
        ...await train({ ...again, device, startStep, batches: again.batches(startStep) }),
      );
      assertEquals(losses, want, `interrupted after step ${stop}`);
      for (const part of [run, again]) part.optimizer.dispose();
    }
  },
);
