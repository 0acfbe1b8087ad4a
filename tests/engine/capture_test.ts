import { addGradients } from "../../engine/gradients.ts";
import { ScopeError, ShapeError, type Tensor } from "../../engine/mod.ts";
import { assert, assertEquals, assertRejects, gpuTest } from "../harness.ts";

/** y = a + 8 b, through intermediates that can share memory. */
function chain(a: Tensor, b: Tensor): Tensor {
  for (let i = 0; i < 8; i++) a = addGradients(a, b);
  return a;
}

gpuTest("capture() replays with new inputs and equals eager bit for bit", async (device) => {
  const b = device.tensor([0.1, 0.2, 0.3]);
  const captured = device.capture((a) => chain(a, b));
  for (const values of [[1, 2, 3], [4, 5, 6], [0.7, 1e-9, -3]]) {
    const got = await (await captured([Float32Array.from(values), [3]])).data();
    const want = await device.step(() => chain(device.tensor(values), b).data());
    assertEquals(got, want);
  }
  assertEquals(captured.recordings, 1);
  captured.dispose();
});

gpuTest("capture() records another shape anew and keeps the first", async (device) => {
  const captured = device.capture((a) => addGradients(a, a));
  assertEquals(await (await captured([Float32Array.of(1), [1]])).data(), Float32Array.of(2));
  assertEquals(await (await captured([Float32Array.of(1, 2), [2]])).data(), Float32Array.of(2, 4));
  assertEquals(await (await captured([Float32Array.of(3), [1]])).data(), Float32Array.of(6));
  assertEquals(captured.recordings, 2);
  captured.dispose();
});

gpuTest("capture() asks for what changes from step to step each time", async (device) => {
  const rate = device.zeros([1]);
  let step = 0;
  const captured = device.capture((a) => {
    device.writeEachStep(rate, () => Float32Array.of(++step * 100));
    return addGradients(a, rate);
  });
  const values: number[] = [];
  for (let i = 0; i < 3; i++) values.push(await (await captured([Float32Array.of(i), [1]])).item());
  assertEquals(values, [100, 201, 302]);
  captured.dispose();
});

gpuTest("capture() keeps order when a value is written after it was read", async (device) => {
  const block = device.zeros([1]);
  const captured = device.capture((a) => {
    device.writeEachStep(block, () => Float32Array.of(1));
    const first = addGradients(a, block);
    device.writeEachStep(block, () => Float32Array.of(10));
    return [first, addGradients(a, block)];
  });
  const [first, second] = await captured([Float32Array.of(5), [1]]);
  assertEquals([await first.item(), await second.item()], [6, 15]);
  captured.dispose();
});

gpuTest(
  "capture() refuses reads inside and inputs that do not fill their shape",
  async (device) => {
    const reading = device.capture((a) => {
      void a.data();
      return a;
    });
    await assertRejects(() => reading([Float32Array.of(1), [1]]), ScopeError, "read inside");
    const fine = device.capture((a) => addGradients(a, a));
    await assertRejects(() => fine([Float32Array.of(1, 2), [3]]), ShapeError, "shape [3] needs 3");
  },
);

gpuTest("a captured step uses less memory than the eager one and none per run", async (device) => {
  const size = 4096;
  const b = device.full([size], 1);
  await device.sync();
  device.resetPeak();
  const before = device.memory.liveBytes;
  await device.step(() => chain(device.full([size], 2), b).data());
  const eager = device.memory.peakBytes - before;
  const captured = device.capture((a) => chain(a, b));
  await captured([new Float32Array(size), [size]]);
  const after = device.memory.liveBytes;
  for (let i = 0; i < 20; i++) await captured([new Float32Array(size), [size]]);
  // At most: garbage of earlier tests may be collected meanwhile.
  assert(device.memory.liveBytes <= after, `${device.memory.liveBytes} bytes, ${after} before`);
  assert(after - before <= eager, `captured ${after - before}, eager ${eager}`);
  captured.dispose();
});
