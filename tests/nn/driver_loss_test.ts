/**
 * A driver that goes, as opposed to a device that a program destroys: Chrome's GPU process is killed in mid-training,
 * and with it everything on the GPU of every page.
 */
import { addGradients } from "../../engine/gradients.ts";
import { DeviceLostError, requestDevice } from "../../engine/mod.ts";
import { train, trainResilient } from "../../nn/mod.ts";
import { assert, assertEquals, assertRejects, assertThrows, chromeTest } from "../harness.ts";
import { buildSmallRun, MemoryCheckpoint, type SmallRun } from "./small_run.ts";

chromeTest("a crashed GPU process rejects pending and later calls at once", async (chrome) => {
  const device = await requestDevice();
  const x = device.full([1 << 20], 1);
  await device.sync();
  // Each asks for more as soon as it has an answer, so something is always pending.
  const busy = async (work: () => Promise<unknown>): Promise<never> => {
    while (true) await work();
  };
  const pending = [
    busy(() => device.step(() => addGradients(x, x).data())),
    busy(() => x.data()),
    busy(() => device.sync()),
  ].map((promise) => promise.catch((error: unknown) => error));
  await chrome.crashGpuProcess();
  for (const error of await Promise.all(pending)) {
    assert(error instanceof DeviceLostError, `a pending call gave ${error}`);
  }
  await assertRejects(() => device.sync(), DeviceLostError);
  await assertRejects(() => device.step(() => addGradients(x, x).data()), DeviceLostError);
  assertThrows(() => addGradients(x, x), DeviceLostError, "requestDevice()");
});

chromeTest("training goes on after two crashes of the GPU process, bit for bit", async (chrome) => {
  const store = new MemoryCheckpoint();
  const crashes = [2, 5]; // after these steps, on the first and the second device
  let devices = 0;
  const { losses, lost, device } = await trainResilient<SmallRun>({
    makeDevice: () => requestDevice(),
    build: async (device) => {
      const crashAfter = crashes[devices++];
      const run = await buildSmallRun(device, { reportEvery: 1 });
      return {
        ...run,
        onProgress: async ({ step }) => {
          if (step === crashAfter) await chrome.crashGpuProcess();
        },
      };
    },
    checkpoint: {
      every: 1,
      save: (step, run) => store.save(step, run),
      load: (run) => store.load(run),
    },
  });
  assertEquals(lost, 2);
  const run = await buildSmallRun(device);
  assertEquals(losses, await train({ ...run, device, batches: run.batches(0) }));
  device.destroy();
});
