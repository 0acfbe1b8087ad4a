import { run } from "../../engine/dispatch.ts";
import {
  add,
  type Device,
  GpuError,
  mul,
  requestDevice,
  ShapeError,
  type Tensor,
} from "../../engine/mod.ts";
import { type EngineRecord, planReleases } from "../../engine/records.ts";
import { VirtualBuffer } from "../../engine/buffers.ts";
import { fill, floatBits } from "../../kernels/fill.ts";
import { defineProgram, type Kernel } from "../../kernels/kernel.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  assertThrows,
  gpuTest,
  OWN_DEVICE,
  test,
} from "../harness.ts";

// ---- order

gpuTest(
  "a write does not overtake a kernel of the same step that reads the old value",
  async (device) => {
    const a = device.tensor([1, 2]);
    const reads = await device.step(() => {
      const before = add(a, 1);
      device.write(a, Float32Array.of(10, 20));
      const between = add(a, 1);
      device.write(a, Float32Array.of(100, 200));
      return [before.data(), between.data(), add(a, 1).data()];
    });
    assertEquals(await Promise.all(reads), [
      Float32Array.of(2, 3),
      Float32Array.of(11, 21),
      Float32Array.of(101, 201),
    ]);
  },
);

gpuTest("large uploads are submitted alone, small ones wait for work", async (device) => {
  await device.sync();
  const { submits } = device.stats;
  const small = device.tensor([1, 2]);
  await device.sync();
  assertEquals(device.stats.submits - submits, 0);
  // Without a submit a runtime would go on holding its own copy of what a model is loaded from.
  const large = device.tensor(new Float32Array(5 << 20).fill(3));
  await device.sync();
  assertEquals(device.stats.submits - submits, 1);
  assertEquals(await small.data(), Float32Array.of(1, 2));
  const values = await large.data();
  assertEquals([values[0], values[(5 << 20) - 1]], [3, 3]);
  large.dispose();
});

gpuTest("a read gives the value at that point, not a later one", async (device) => {
  const a = device.tensor([1]);
  const reads = await device.step(() => {
    const first = a.item();
    device.write(a, Float32Array.of(2));
    const second = a.item();
    device.copy(add(a, 1), a);
    return [first, second, a.item()];
  });
  assertEquals(await Promise.all(reads), [1, 2, 3]);
});

gpuTest(
  "an upload into memory that a kernel of the same step still uses waits for it",
  async (device) => {
    const size = 4096;
    const one = device.full([size], 1);
    await device.sync();
    const submits = device.stats.submits;
    const reads = await device.step(() => {
      const sums: Promise<ArrayLike<number>>[] = [];
      for (let i = 0; i < 5; i++) {
        // Released at once: the next round's upload gets the same memory back from the pool.
        sums.push(
          device.tidy(() => add(device.tensor(new Float32Array(size).fill(i)), one).data()),
        );
      }
      return sums;
    });
    for (const [i, read] of reads.entries()) {
      const values = await read;
      assertEquals([values[0], values[size - 1]], [i + 1, i + 1]);
    }
    assert(
      device.stats.submits - submits > 1,
      "the memory was not reused: this test proves nothing",
    );
  },
);

gpuTest("every dispatch of a long step sees its own parameters", async (device) => {
  const last = await device.step(() => {
    const parts = Array.from({ length: 1500 }, (_, i) => device.full([1], i));
    return parts.map((part) => part.item());
  });
  const values = await Promise.all(last);
  assertEquals(values, values.map((_, i) => i));
});

gpuTest("steps that are not awaited run in order", async (device) => {
  const a = device.tensor([1]);
  const steps = Array.from({ length: 10 }, () => device.step(() => device.copy(add(a, a), a)));
  assertEquals(await a.item(), 1024);
  await Promise.all(steps);
});

// ---- memory within a step

test("planReleases() ends a buffer's life at its last use, not where it is released", () => {
  const [a, b, unused] = ["a", "b", "unused"].map((label) => new VirtualBuffer(16, label));
  const range = (buffer: VirtualBuffer) => ({ buffer, offset: 0, bytes: 16 });
  const records: EngineRecord[] = [
    { kind: "upload", target: range(a), data: new Uint8Array(16) },
    { kind: "copy", source: range(a), target: range(b) },
    { kind: "read", source: range(b), resolve: () => {}, reject: () => {} },
    { kind: "release", buffer: a },
    { kind: "release", buffer: unused },
    { kind: "release", buffer: b },
  ];
  const plan = planReleases(records);
  assertEquals([...plan.keys()].sort(), [1, 2, 4]);
  assert(plan.get(1)![0] === a && plan.get(2)![0] === b && plan.get(4)![0] === unused);
});

gpuTest("the peak of a chain of ops does not grow with its length", async (device) => {
  const x = device.full([65536], 1);
  const peaks: number[] = [];
  for (const length of [4, 64]) {
    await device.sync();
    device.resetPeak();
    const before = device.memory.liveBytes;
    const sum = await device.step(() => {
      let y: Tensor = x;
      for (let i = 0; i < length; i++) y = add(y, x);
      return y.data();
    });
    assertEquals(sum[65535], length + 1);
    peaks.push(device.memory.peakBytes - before);
  }
  assertEquals(peaks, [2 * 65536 * 4, 2 * 65536 * 4]);
}, OWN_DEVICE);

// ---- counters

gpuTest("a step reads nothing back unless asked", async (device) => {
  const a = device.tensor([1, 2, 3], [3], { requiresGrad: true });
  const before = device.stats.readbacks;
  for (let i = 0; i < 5; i++) {
    await device.step(() => {
      mul(a, a).backward(device.full([3], 1));
      device.copy(add(a, a.grad!), a);
      a.grad = null;
    });
  }
  await device.sync();
  assertEquals(device.stats.readbacks - before, 0);
  await device.step(() => a.data());
  assertEquals(device.stats.readbacks - before, 1);
});

// ---- errors

/** A kernel that the GPU refuses: a dimension holds at most 65,535 workgroups. */
function tooManyWorkgroups(): Kernel {
  return { ...fill(4, floatBits(7)), workgroups: [65_536, 1, 1] };
}

/** A kernel whose shader is wrong. */
function doesNotCompile(): Kernel {
  const program = defineProgram({
    name: "planted",
    params: { count: "u32" },
    bindings: { y: "write f32" },
    workgroupSize: 1,
    code: "@compute @workgroup_size(WORKGROUP_SIZE)\nfn main() { y[0] = no_such_function(); }",
  });
  return { ...fill(4, 0), program };
}

/** Runs a bad kernel in a step between good ones; checks who fails and who stays whole. */
async function checkFailure(device: Device, bad: () => Kernel, message: string): Promise<void> {
  const before = device.tensor([1, 2, 3, 4]);
  await device.sync();
  let made: Tensor | undefined, after: Tensor | undefined;
  const read = await assertRejects(
    async () => {
      await device.step(() => {
        made = device.keep(device.empty([4]));
        run(bad(), { y: made });
        after = device.keep(add(made, before));
        device.copy(add(before, 1), before);
      });
    },
    GpuError,
    message,
  );
  assertEquals(read.code, "gpu");
  await assertRejects(async () => await made!.data(), GpuError, message);
  await assertRejects(async () => await after!.data(), GpuError, message);
  await assertRejects(
    () => device.step(() => add(after!, 1).data()),
    GpuError,
    message,
  );
  assertEquals(await before.data(), Float32Array.of(1, 2, 3, 4), "an earlier tensor");
  // What is written anew is whole again, and the device works on.
  device.write(made!, Float32Array.of(5, 6, 7, 8));
  assertEquals(await device.step(() => add(made!, before).data()), Float32Array.of(6, 8, 10, 12));
}

gpuTest(
  "a dispatch that the GPU refuses rejects the step, names the kernel and spoils its results",
  async (device) => {
    await checkFailure(device, tooManyWorkgroups, "fill[readable] (y: 16 bytes), made ");
  },
);

gpuTest(
  "a shader that does not compile rejects the step with the line in question",
  async (device) => {
    const error = await assertRejects(
      () => device.step(() => run(doesNotCompile(), { y: device.empty([4]) })),
      GpuError,
      "planted (readable) does not compile",
    );
    assert(error.message.includes("| fn main() { y[0] = no_such_function(); }"), error.message);
    const broken = () => run(doesNotCompile(), { y: device.empty([4]) });
    for (const way of [() => device.capture(broken)(), () => device.warmUp(broken)]) {
      const { message } = await assertRejects(way, GpuError, "planted (readable) does not compile");
      assert(/, asked for at .+:\d+:\d+/.test(message), message);
    }
    assert(/, asked for at .+:\d+:\d+/.test(error.message), error.message);
    await checkFailure(device, doesNotCompile, "planted (readable) does not compile");
  },
);

gpuTest(
  "an error of work that nobody awaited rejects the next awaited call, once",
  async (device) => {
    run(tooManyWorkgroups(), { y: device.empty([4]) });
    await assertRejects(() => device.sync(), GpuError, "fill[readable]");
    await device.sync();
    run(tooManyWorkgroups(), { y: device.empty([4]) });
    await assertRejects(() => device.step(() => 1), GpuError, "fill[readable]");
    assertEquals(await device.step(() => 1), 1);
  },
);

gpuTest("an error that a rejected read has told is not told again", async (device) => {
  const y = device.empty([4]);
  run(tooManyWorkgroups(), { y });
  await assertRejects(() => y.data(), GpuError, "fill[readable]");
  await device.sync();
});

gpuTest("run() refuses wrong tensors before anything is recorded", (device) => {
  const kernel = fill(4, 0);
  device.tidy(() => {
    for (const count of [0, NaN, 1.5, -1]) {
      assertThrows(
        () => run({ ...kernel, workgroups: [1, count, 1] }, { y: device.empty([4]) }),
        ShapeError,
        `fill: 1 x ${count} x 1 workgroups`,
      );
    }
    assertThrows(
      () => run(kernel, { y: device.empty([5]) }),
      ShapeError,
      "has 5 elements, needs 4",
    );
    assertThrows(() => run(kernel, {} as Record<string, Tensor>), Error);
  });
});

test("tensors of two devices do not mix", async () => {
  const one = await requestDevice(), other = await requestDevice();
  try {
    const a = one.tensor([1]), b = other.tensor([2]);
    assertThrows(() => add(a, b), ShapeError, "another device");
    assertThrows(() => one.copy(b, a), ShapeError, "another device");
    assertThrows(() => one.write(b, Float32Array.of(3)), ShapeError, "another device");
    assertThrows(() => one.keep(b), ShapeError, "another device");
    assertEquals([await a.item(), await b.item()], [1, 2]);
    // A value may be here before the news that its submit is done, which Deno would count as a leak.
    await Promise.all([one.sync(), other.sync()]);
  } finally {
    one.destroy();
    other.destroy();
  }
});
