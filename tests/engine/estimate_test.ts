import { addGradients } from "../../engine/gradients.ts";
import { OutOfMemoryError, type Tensor } from "../../engine/mod.ts";
import { assert, assertEquals, assertRejects, gpuTest } from "../harness.ts";

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
