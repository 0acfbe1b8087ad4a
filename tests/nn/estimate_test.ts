/** Estimates beside training, and budgets that are too low. */
import { DENSE } from "../../cli/demo/recipe.ts";
import { type CapturedInput, noGrad, OutOfMemoryError, type Tensor } from "../../engine/mod.ts";
import { VisionTransformer } from "../../models/mod.ts";
import { AdamW, estimate, train, type TrainBatch } from "../../nn/mod.ts";
import { assert, assertEquals, assertRejects, assertThrows, gpuTest } from "../harness.ts";
import { buildSmallRun } from "./small_run.ts";

gpuTest("estimate() in mid-training leaves no trace in it", async (device) => {
  const losses: number[][] = [];
  for (const disturb of [false, true]) {
    const run = await buildSmallRun(device, { reportEvery: 1 });
    const images: TrainBatch = [
      [new Float32Array(4 * 36), [4, 1, 6, 6]],
      [new Uint32Array(4), [4]],
    ];
    const onProgress = async ({ step }: { step: number }) => {
      if (!disturb || step % 3 > 0) return;
      const { memory, stepIndex } = device;
      await estimate(run.net, images, {
        training: { loss: run.loss, optimizer: (net) => new AdamW(net.namedParameters()) },
      });
      await estimate(run.net, images, { capture: false });
      await device.estimate(() =>
        run.loss(...images.map(([data, shape]) => device.tensor(data, shape)))
      );
      assertEquals([device.memory, device.stepIndex], [memory, stepIndex]);
      assert(run.net.training);
    };
    losses.push(await train({ ...run, device, batches: run.batches(0), onProgress }));
    run.optimizer.dispose();
    run.net.dispose();
  }
  assertEquals(losses[1], losses[0]);
});

gpuTest(
  "a model, an optimiser and a step over the budget fail before allocating",
  async (device) => {
    const fits = new VisionTransformer({ ...DENSE, depth: 1 });
    await fits.to(device);
    const before = device.memory;
    const large = new VisionTransformer({ ...DENSE, embedDim: 256, depth: 1 });
    await assertRejects(
      () => large.to(device),
      OutOfMemoryError,
      "VisionTransformer.to() needs 3.30 MiB of GPU memory at its peak, the budget is 3.00 MiB. The largest tensors " +
        "then:\n  1.00 MiB  blocks.0.mlp.fc1.weight [1024, 256]",
    );
    assertEquals(large.parameters().filter((p) => p.placed).length, 0);
    const bytes = 4 * fits.learnedSize;
    const ballast = device.full([(device.memoryBudget - 3 * bytes) / 4], 1);
    await device.sync();
    assertThrows(
      () => new AdamW(fits.namedParameters()),
      OutOfMemoryError,
      "AdamW needs",
    );
    ballast.dispose();
    await device.sync();
    const many: CapturedInput = [new Float32Array(64 * 784), [64, 1, 28, 28]];
    const infer = (x: Tensor) => noGrad(() => fits.eval().forward(x));
    await assertRejects(
      () => device.capture(infer)(many),
      OutOfMemoryError,
      "This captured step needs",
    );
    await assertRejects(
      () => device.step(() => infer(device.tensor(...many)).data()),
      OutOfMemoryError,
      "This step needs",
    );
    assertEquals(device.memory.liveBytes, before.liveBytes);
    const one: CapturedInput = [new Float32Array(784), [1, 1, 28, 28]];
    const logits = await device.step(() => infer(device.tensor(...one)).data());
    assert(logits.every(Number.isFinite), "the earlier model cannot be used any more");
  },
  { device: { memoryBudget: 3 << 20 } },
);

gpuTest("free buffers are given back before a step is refused", async (device) => {
  // About 3 MiB each, of sizes that cannot stand in for each other.
  for (const floats of [786432, 720896, 655360]) {
    await device.step(() => device.full([floats], 1).data());
    assert(device.memory.reservedBytes <= 4 << 20, `${device.memory.reservedBytes} bytes are held`);
  }
}, { device: { memoryBudget: 4 << 20 } });
