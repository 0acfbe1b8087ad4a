/** Submits of a bounded length: where lists are cut, how dispatches are divided, and that nothing else changes. */
import { inParts, isFull, predictedMs, ratesOf, SUBMIT_MS } from "../../engine/cost.ts";
import { run } from "../../engine/dispatch.ts";
import { addGradients } from "../../engine/gradients.ts";
import { type Device, GpuError, linear, softmax, type Tensor } from "../../engine/mod.ts";
import { addGradientsKernel, addInto } from "../../kernels/add_into.ts";
import { giouLoss } from "../../kernels/box_losses.ts";
import { CATALOGUE } from "../../kernels/catalogue.ts";
import { divide } from "../../kernels/divide.ts";
import { angleLoss } from "../../kernels/gaze_losses.ts";
import { normOfPartials, normStrips } from "../../kernels/global_norm.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import { selfTestKernel } from "../../kernels/self_test.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertRejects, gpuTest, test } from "../harness.ts";

const SOFTWARE = ratesOf("software", null);
const CLOSE = { rtol: 1e-12 };

/** The same kernel as if it took `ms` on any adapter of its class. */
function lasting(kernel: Kernel, ms: number, device: Device): Kernel {
  return { ...kernel, flops: ms * 1e6 * ratesOf(device.target.adapterClass, null).gflops };
}

/** y = a + b in 40 workgroups, as if it took `ms`. */
function slowSum(a: Tensor, b: Tensor, ms: number): Tensor {
  const y = a.device.empty(a.shape);
  run(lasting(addGradientsKernel(a.size), ms, a.device), { a, b, y });
  return y;
}

test("a launch is divided into parts that hold every workgroup once", () => {
  const { program } = addGradientsKernel(1);
  const launch = (x: number, y: number): Kernel => ({
    ...addGradientsKernel(1),
    program,
    workgroups: [x, y, 1],
  });
  for (const [x, y] of [[1, 1], [2, 1], [7, 1], [1000, 1], [3, 5], [500, 4], [65535, 3]]) {
    for (const wanted of [1, 2, 3, 7, 100]) {
      const parts = divide(launch(x, y), wanted), seen = new Uint8Array(x * y);
      for (const { first, workgroups: [px, py, pz], last, share } of parts) {
        assertEquals(pz, 1);
        assertClose([share], [px * py / (x * y)], CLOSE);
        assert(px <= 65535 && py <= 65535);
        // a shader numbers its groups first + y * x + x
        for (let i = 0; i < px * py; i++) seen[first + i]++;
        assertEquals(last, first + px * py === x * y);
      }
      assert(seen.every((count) => count === 1), `[${x}, ${y}] in ${wanted}`);
      assert(parts.length <= wanted, `[${x}, ${y}] in ${wanted}: ${parts.length}`);
    }
  }
  assertEquals(divide({ ...selfTestKernel(), workgroups: [8, 1, 1] }, 4).length, 1);
});

test("predictions follow the slower of arithmetic and memory, and the measured roofline", () => {
  const { gflops, gbs, dispatch } = SOFTWARE;
  assertClose([predictedMs({ flops: 1e9, bytes: 4 }, SOFTWARE)], [1e3 / gflops + dispatch], CLOSE);
  assertClose([predictedMs({ flops: 4, bytes: 1e9 }, SOFTWARE)], [1e3 / gbs + dispatch], CLOSE);
  const measured = ratesOf("software", { gflops: 1000, gbs: 100, clock: "timestamps" });
  assertEquals([measured.gflops, measured.gbs], [100, 30]);
  assert(ratesOf("discrete", null).gflops > ratesOf("integrated", null).gflops);
});

test("parts are predicted to take what a submit may, as far as a kernel can be divided", () => {
  const kernel = addGradientsKernel(64 * 1000); // 1000 workgroups
  const flops = 12.5 * SUBMIT_MS * 1e6 * SOFTWARE.gflops;
  const parts = inParts({ ...kernel, flops }, SOFTWARE);
  assertEquals(parts.length, 13);
  assert(parts.every((part) => part.ms <= SUBMIT_MS + SOFTWARE.dispatch));
  assertEquals(inParts(kernel, SOFTWARE).length, 1);
  assertEquals(inParts({ ...addGradientsKernel(65), flops }, SOFTWARE).length, 2); // 2 workgroups
  assert(!isFull(0, 1e9), "a submit holds at least one dispatch");
  assert(isFull(60, 50) && !isFull(60, 40));
});

test("what runs in one workgroup, and cannot be divided, is short", () => {
  const alone = new Set<string>();
  for (const { kernel } of CATALOGUE.flatMap(({ small, huge }) => [...small(), ...huge()])) {
    if (!kernel.program.divisible) alone.add(kernel.program.name);
  }
  const losses = [
    "angle_loss",
    "change_loss",
    "focal_loss",
    "focal_loss.flags",
    "giou_loss",
    "l1_loss",
  ];
  // sums of what workgroups of a launch before have added up, and what is of one size or chosen for small ones only
  const bounded = [
    "cross_entropy",
    "global_norm",
    "grad_scaler.update",
    "routing_weights.temperature_gradient",
    "self_test",
  ];
  assertEquals([...alone].sort(), [...losses, ...bounded].sort());
  // a million rows, on one of the two cores that the prediction has; models have tens
  const sum = { rows: 2 ** 20, per: 1, divisor: 1, factor: 1 };
  for (const kernel of [giouLoss({ ...sum, eps: 1 }), angleLoss({ ...sum, clamp: 0.1 })]) {
    const ms = 2 * predictedMs(kernel, SOFTWARE);
    assert(ms < SUBMIT_MS, `${kernel.program.name}: ${ms} ms`);
  }
  // a billion parameters
  assert(2 * predictedMs(normOfPartials(normStrips(2 ** 30), 1), SOFTWARE) < 1, "global_norm");
});

gpuTest("eager submits are cut by predicted time, and results stay the same", async (device) => {
  const x = device.tensor(testValues(40 * 64, 1)), half = SUBMIT_MS / 2 - 1;
  const step = (ms: number) => () => {
    let y = x;
    for (let i = 0; i < 8; i++) y = slowSum(y, x, ms);
    return y.data();
  };
  await device.sync();
  const counted = async (ms: number) => {
    const { submits, dispatches } = device.stats;
    const y = await device.step(step(ms));
    const after = device.stats;
    return { y, submits: after.submits - submits, dispatches: after.dispatches - dispatches };
  };
  const quick = await counted(0), cut = await counted(half), divided = await counted(4 * SUBMIT_MS);
  assertEquals([quick.submits, cut.submits, divided.submits], [1, 4, 32]);
  // test mode poisons what a step writes first: those dispatches stay as they are
  assertEquals(divided.dispatches - quick.dispatches, 8 * 3);
  assertEquals(cut.y, quick.y);
  assertEquals(divided.y, quick.y);
});

gpuTest("a captured step is cut in the same way, and equals eager bit for bit", async (device) => {
  const w = device.tensor(testValues(96 * 64, 2), [96, 64]);
  const step = (x: Tensor) => {
    const y = softmax(linear(x, w));
    return slowSum(slowSum(y, y, 3.5 * SUBMIT_MS), y, SUBMIT_MS - 1);
  };
  const host = testValues(40 * 64, 3);
  const captured = device.capture(step);
  const input = [host, [40, 64]] as const;
  await captured(input);
  const { submits } = device.stats;
  const got = await (await captured(input)).data();
  // the divided sum begins in the submit of what is before it: 4 parts, 1 sum, 1 read
  assertEquals(device.stats.submits - submits, 4 + 1 + 1);
  const want = await device.step(() => step(device.tensor(host, [40, 64])).data());
  assertEquals(got, want);
  captured.dispose();
});

gpuTest("a kernel that adds to what is there is divided without adding twice", async (device) => {
  const a = device.tensor(testValues(40 * 64, 4)), y = device.tensor(testValues(40 * 64, 5));
  const want = Float32Array.from(await y.data());
  const values = await a.data();
  await device.step(() => run(lasting(addInto(a.size, 1), 7 * SUBMIT_MS, device), { a, y }));
  assertEquals(await y.data(), want.map((value, i) => value + values[i]));
});

gpuTest(
  "a divided dispatch is profiled by its parts and found by anomaly and verify",
  async (device) => {
    const x = device.tensor(testValues(40 * 64, 6));
    const step = () => slowSum(x, x, 4 * SUBMIT_MS);
    const profile = await device.profile(() => void step(), { roofline: false });
    const [row] = profile.rows();
    // by the wall clock, where a device has no timestamps, the parts are waited for together
    const calls = device.gpu.features.has("timestamp-query") ? 4 : 1;
    assertEquals([row.calls, row.bytes], [calls, 12 * 40 * 64]);
    await device.detectAnomaly(() => void step());
    assertEquals((await device.verify(() => void step())).verified, 1);
  },
);

gpuTest(
  "a part that the GPU refuses spoils the whole, also what was there before",
  async (device) => {
    const x = device.tensor(testValues(40 * 64, 7)), y = device.tensor(testValues(40 * 64, 8));
    await device.sync();
    const { submit } = device.gpu.queue;
    let count = 0;
    // The third submit is refused by the GPU: it names a buffer that is gone.
    device.gpu.queue.submit = function (commands) {
      if (++count !== 3) return submit.call(this, commands);
      const gone = device.gpu.createBuffer({ size: 4, usage: 0x08 });
      const encoder = device.gpu.createCommandEncoder();
      encoder.clearBuffer(gone);
      const bad = encoder.finish();
      gone.destroy();
      submit.call(this, [bad]);
    };
    const failing = device.step(() =>
      run(lasting(addInto(x.size, 1), 4 * SUBMIT_MS, device), { a: x, y })
    );
    await assertRejects(() => failing, GpuError);
    device.gpu.queue.submit = submit;
    await assertRejects(() => y.data(), GpuError);
    assertEquals((await addGradients(x, x).data())[3], 2 * (await x.data())[3]);
  },
  { device: {} },
);
