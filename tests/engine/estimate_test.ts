import { addGradients } from "../../engine/gradients.ts";
import { machineMemory } from "../../engine/machine_memory.ts";
import { OutOfMemoryError, requestDevice, Tensor } from "../../engine/mod.ts";
import { assert, assertEquals, assertRejects, denoTest, gpuTest, OWN_DEVICE } from "../harness.ts";

function chain(x: Tensor, length: number): Tensor {
  let y = x;
  for (let i = 0; i < length; i++) y = addGradients(y, x);
  return y;
}

gpuTest("estimate() predicts the peak that the step then has", async (device) => {
  const x = device.full([3, 1000, 7], 1);
  await device.sync();
  const estimate = await device.estimate(() => chain(x, 5));
  device.resetPeak();
  await device.step(() => chain(x, 5).data());
  assertEquals(estimate.peakBytes, device.memory.peakBytes);
  assertEquals(estimate.largest[0].shape, [3, 1000, 7]);
});

gpuTest(
  "a step over the budget fails before allocating, and earlier tensors stay usable",
  async (device) => {
    const x = device.full([256, 256], 2);
    assert((await x.data())[0] === 2);
    const { reservedBytes } = device.memory;
    await assertRejects(
      () => device.step(() => chain(device.full([1024, 512], 1), 3).data()),
      OutOfMemoryError,
      "2.00 MiB  gradient [1024, 512]",
    );
    assertEquals(device.memory.reservedBytes, reservedBytes);
    assertEquals((await addGradients(x, x).data())[65535], 4);
  },
  { device: { memoryBudget: 4 << 20 } },
);

denoTest("on the CPU the budget is the machine's memory, elsewhere there is none", async () => {
  using device = await requestDevice();
  const { total } = Deno.systemMemoryInfo();
  assertEquals(device.memoryBudget, device.software ? total : Infinity);
  const deno = (state: string) => ({
    systemMemoryInfo: () => ({ total: 7 }),
    permissions: { querySync: () => ({ state }) },
  });
  assertEquals(machineMemory({ Deno: deno("granted") }), 7);
  assertEquals(machineMemory({ Deno: deno("prompt") }), Infinity);
  assertEquals(machineMemory({ process: { getBuiltinModule: () => ({ totalmem: () => 8 }) } }), 8);
  assertEquals(machineMemory({}), Infinity);
});

gpuTest("memory that a step leaves behind counts from its beginning", async (device) => {
  const x = device.full([256, 256], 1);
  await device.sync();
  const kept = device.persistent(65536, "kept");
  const step = () => {
    const y = chain(x, 3);
    device.copy(y, new Tensor(device, y.shape, "f32", { buffer: kept, offset: 0 }));
  };
  const estimate = await device.estimate(step);
  device.resetPeak();
  for (let i = 0; i < 2; i++) await device.step(step);
  await device.sync();
  assertEquals(estimate.peakBytes, device.memory.peakBytes);
  assertEquals(estimate.liveBytes, device.memory.liveBytes);
}, OWN_DEVICE);
