/** A device that goes: whoever waits for it hears so at once, whatever was being awaited. */
import { addGradients } from "../../engine/gradients.ts";
import { type Device, DeviceLostError, requestDevice, type Tensor } from "../../engine/mod.ts";
import { assert, assertEquals, assertRejects, assertThrows, test } from "../harness.ts";

/** Work that keeps a software GPU busy for a while. */
function busy(x: Tensor): Tensor {
  let y = x;
  for (let i = 0; i < 20; i++) y = addGradients(y, x);
  return y;
}

test("destroy() rejects a pending read and every later call at once", async () => {
  const device = await requestDevice();
  const x = device.full([1 << 20], 1);
  await device.sync();
  const pending = device.step(() => busy(x).data());
  const asked = x.data();
  device.destroy();
  await assertRejects(() => pending, DeviceLostError, "destroyed by destroy()");
  await assertRejects(() => asked, DeviceLostError);
  await assertRejects(() => device.sync(), DeviceLostError);
  await assertRejects(async () => await x.data(), DeviceLostError);
  assertThrows(() => addGradients(x, x), DeviceLostError, "requestDevice()");
});

/** Everything of a device that can be awaited; each starts work and must not outlive the device. */
const AWAITABLES: Readonly<Record<string, (device: Device, x: Tensor) => Promise<unknown>>> = {
  "a read": (_, x) => busy(x).data(),
  "step()": (device, x) => device.step(() => void busy(x)),
  "a read in step()": (device, x) => device.step(() => busy(x).data()),
  "sync()": (device, x) => (busy(x), device.sync()),
  "capture()": (device, x) =>
    device.capture((a: Tensor) => busy(addGradients(a, x)))([
      new Float32Array(x.size),
      x.shape,
    ]),
  "detectAnomaly()": (device, x) => device.detectAnomaly(() => void busy(x)),
  "verify()": (device, x) => device.verify(() => void busy(x)),
  "profile()": (device, x) => device.profile(() => void busy(x), { roofline: false }),
  "roofline()": (device, x) => (busy(x), device.roofline()),
  "estimate()": (device, x) => device.estimate(() => void busy(x)),
  "explain()": (device, x) => device.explain(() => void busy(x)),
  "warmUp()": (device, x) => device.warmUp(() => void busy(x)),
};

/** Losing it: as a program does, and as the driver does, of which the engine is told afterwards. */
const LOSSES: Readonly<Record<string, (device: Device) => void>> = {
  "destroy()": (device) => device.destroy(),
  "a loss from below": (device) => device.gpu.destroy(),
};

for (const [what, start] of Object.entries(AWAITABLES)) {
  for (const [how, lose] of Object.entries(LOSSES)) {
    test(`${what} rejects at once after ${how}`, async () => {
      const device = await requestDevice();
      const x = device.full([1 << 20], 1);
      const pending = start(device, x);
      const settled = pending.then(() => null, (error: unknown) => error);
      const begin = performance.now();
      lose(device);
      const error = await settled;
      const milliseconds = performance.now() - begin;
      assert(error instanceof DeviceLostError, `${what} gave ${error}`);
      assert(milliseconds < 1000, `after ${milliseconds} ms`);
      await device.gpu.lost;
      await new Promise((resolve) => setTimeout(resolve));
      // The tensor is asked for outside of the call's own promise, so that may throw at once.
      await assertRejects(async () => await start(device, x), DeviceLostError);
    });
  }
}

test("a device lost at any moment of a captured loop rejects that call or the next", async () => {
  for (const delay of [0, 1, 2, 4, 8, 16]) {
    const device = await requestDevice();
    const x = device.full([1 << 16], 1);
    const run = device.capture((a: Tensor) => busy(addGradients(a, x)));
    const host = new Float32Array(1 << 16);
    await run([host, [1 << 16]]);
    setTimeout(() => device.gpu.destroy(), delay);
    await assertRejects(async () => {
      const end = performance.now() + 5000;
      while (performance.now() < end) await (await run([host, [1 << 16]])).data();
    }, DeviceLostError);
    run.dispose();
    await assertRejects(() => device.sync(), DeviceLostError);
  }
  // The engine waits no longer, but Deno still counts what it asked the GPU for until the work under way is done.
  await new Promise((resolve) => setTimeout(resolve, 200));
});

test("the loss of one device leaves another alone", async () => {
  const one = await requestDevice(), other = await requestDevice();
  const x = other.tensor([1, 2]);
  one.destroy();
  assertEquals(await addGradients(x, x).data(), Float32Array.of(2, 4));
  other.destroy();
});

test("twenty devices, one after another", async () => {
  for (let i = 0; i < 20; i++) {
    const device = await requestDevice();
    assertEquals(await device.full([3], i).data(), new Float32Array(3).fill(i));
    assert(device.memory.reservedBytes > 0);
    device.destroy();
    assertEquals([device.memory.liveBytes, device.memory.reservedBuffers], [0, 0]);
  }
});
