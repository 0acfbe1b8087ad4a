/** The training loop: one loss sequence, captured or eager, resumed, accumulated, interrupted. */
import {
  type Device,
  InterruptedError,
  type MemoryStats,
  NonFiniteError,
  ShapeError,
  type Tensor,
} from "../../engine/mod.ts";
import { crossEntropy, gelu } from "../../engine/ops/mod.ts";
import {
  AdamW,
  Dropout,
  Linear,
  Module,
  type OptimizerState,
  type StateEntry,
  warmupCosine,
} from "../../nn/mod.ts";
import { train, type TrainBatch, type TrainOptions } from "../../nn/train.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertRejects, gpuTest } from "../harness.ts";
import { buildSmallRun } from "./small_run.ts";

class Net extends Module {
  readonly a = this.child("a", new Linear(5, 16));
  readonly b = this.child("b", new Linear(16, 3));
  readonly drop: Dropout;
  constructor(drop: number) {
    super();
    this.drop = this.child("drop", new Dropout(drop));
  }
  forward(x: Tensor): Tensor {
    return this.b.forward(this.drop.forward(gelu(this.a.forward(x))));
  }
}

/** A learnable task: the class is where the largest of the first three numbers stands. */
function batch(index: number, size = 8): TrainBatch {
  const x = testValues(size * 5, index + 1);
  const labels = Uint32Array.from({ length: size }, (_, i) => {
    const row = [...x.subarray(5 * i, 5 * i + 3)];
    return row.indexOf(Math.max(...row));
  });
  return [[x, [size, 5]], [labels, [size]]];
}

async function* batches(start: number, end: number, size?: number): AsyncGenerator<TrainBatch> {
  for (let i = start; i < end; i++) {
    await Promise.resolve();
    yield batch(i, size);
  }
}

const STEPS = 30;

async function setUp(
  device: Device,
  changes: Partial<TrainOptions> = {},
  drop = 0.1,
): Promise<{ net: Net; optimizer: AdamW; run: TrainOptions }> {
  const net = await new Net(drop).to(device, { seed: 1 });
  const optimizer = new AdamW(net.namedParameters(), { lr: 1e-2, maxGradNorm: 5 });
  const run: TrainOptions = {
    device,
    model: net,
    optimizer,
    schedule: warmupCosine({ lr: 1e-2, steps: STEPS, warmupSteps: 3 }),
    steps: STEPS,
    batches: batches(0, STEPS),
    loss: (x, labels) => crossEntropy(net.forward(x), labels),
    reportEvery: 7,
    ...changes,
  };
  return { net, optimizer, run };
}

gpuTest("train() lowers the loss, and two runs give one loss sequence", async (device) => {
  const first = await train((await setUp(device)).run);
  const second = await train((await setUp(device)).run);
  assertEquals(first.length, STEPS);
  assertEquals(first, second);
  assert(first.at(-1)! < 0.75 * first[0], `${first[0]} to ${first.at(-1)}`);
});

gpuTest("train() gives the same losses captured and eager, bit for bit", async (device) => {
  const captured = await train((await setUp(device)).run);
  const eager = await train((await setUp(device, { capture: false })).run);
  assertEquals(captured, eager);
});

gpuTest("train() reads losses every few steps and nothing else", async (device) => {
  const { run } = await setUp(device);
  await device.sync();
  const before = device.stats.readbacks;
  await train(run);
  assertEquals(device.stats.readbacks - before, Math.ceil(STEPS / 7));
});

gpuTest(
  "train() reports at multiples of reportEvery, wherever checkpoints fall",
  async (device) => {
    const reported: number[] = [], fresh: number[] = [];
    const { run } = await setUp(device, {
      onProgress: ({ step, losses }) => {
        reported.push(step);
        fresh.push(...losses);
      },
      checkpoint: { every: 9, save: () => Promise.resolve() },
    });
    const losses = await train(run);
    assertEquals(reported, [7, 9, 14, 18, 21, 27, 28, 30]);
    assertEquals(fresh, losses, "each loss is told once, in order");
  },
);

gpuTest("train() resumed from a checkpoint goes on bit for bit", async (device) => {
  const whole = await setUp(device);
  const losses = await train(whole.run);
  const saved: { weights: Map<string, StateEntry>; state: OptimizerState; step: number }[] = [];
  const controller = new AbortController();
  const first = await setUp(device, {
    signal: controller.signal,
    onProgress: ({ step }) => {
      if (step >= 14) controller.abort();
    },
    checkpoint: {
      every: 1000,
      save: async (step) => {
        saved.push({
          step,
          weights: await first.net.stateDict(),
          state: await first.optimizer.state(),
        });
      },
    },
  });
  await assertRejects(() => train(first.run), InterruptedError, "after step 14 of 30");
  assertEquals(saved.map((s) => s.step), [14]);
  const { weights, state, step } = saved[0];
  const second = await setUp(device, { startStep: step, batches: batches(step, STEPS) });
  second.net.loadStateDict(weights);
  second.optimizer.loadState(state);
  assertEquals(await train(second.run), losses.slice(step));
  assertEquals(
    (await second.net.stateDict()).get("a.weight")!.data,
    (await whole.net.stateDict()).get("a.weight")!.data,
  );
});

gpuTest(
  "train() with accumulated batches equals one large batch within rounding",
  async (device) => {
    async function* halves(): AsyncGenerator<TrainBatch> {
      for await (const [[x], [labels]] of batches(0, STEPS, 8)) {
        for (const i of [0, 4]) {
          yield [[x.slice(5 * i, 5 * i + 20), [4, 5]], [labels.slice(i, i + 4), [4]]];
        }
      }
    }
    const whole = await train((await setUp(device, {}, 0)).run);
    const parts = await train((await setUp(device, { accumulate: 2, batches: halves() }, 0)).run);
    // Sums are taken in another order; AdamW's division by small moments enlarges that over the steps.
    assertClose(parts, whole, { atol: 1e-4, rtol: 0 });
  },
);

gpuTest("train() stops at a loss that is not finite and names the step", async (device) => {
  async function* poisoned(): AsyncGenerator<TrainBatch> {
    let i = 0;
    for await (const [[x, shape], labels] of batches(0, STEPS)) {
      if (i++ === 9) x[0] = NaN;
      yield [[x, shape], labels];
    }
  }
  const { run } = await setUp(device, { batches: poisoned() });
  await assertRejects(() => train(run), NonFiniteError, "the loss of step 10 is NaN");
});

gpuTest("train() says so when the batches end early", async (device) => {
  const { run } = await setUp(device, { batches: batches(0, 4) });
  await assertRejects(() => train(run), ShapeError, "ended at step 4 of 30");
});

gpuTest("live bytes and buffers are equal after step 10 and every tenth to 300", async (device) => {
  for (const capture of [true, false]) {
    const seen: [bytes: number, buffers: number][] = [];
    const { run } = await setUp(device, {
      steps: 300,
      batches: batches(0, 300),
      schedule: undefined,
      capture,
      reportEvery: 10,
      onProgress: () => {
        const { liveBytes, liveBuffers } = device.memory;
        seen.push([liveBytes, liveBuffers]);
      },
    });
    await train(run);
    for (const figures of seen) assertEquals(figures, seen[0], `capture ${capture}`);
  }
}, { device: { poison: true } });

gpuTest("create, train, dispose, twenty times on one device: memory is flat", async (device) => {
  const seen: MemoryStats[] = [];
  for (let i = 0; i < 20; i++) {
    const run = await buildSmallRun(device);
    await train({ ...run, device, batches: run.batches(0) });
    run.optimizer.dispose();
    run.net.dispose();
    await device.sync();
    seen.push(device.memory);
  }
  // The first run fills the pool, and the random numbers' block stays.
  for (const memory of seen.slice(1)) assertEquals(memory, seen[0]);
  assertEquals(seen[0].liveBuffers, 1);
}, { device: {} });
