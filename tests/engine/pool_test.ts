import { run } from "../../engine/dispatch.ts";
import { add, crossEntropy, type Device, matmul, mean, type Tensor } from "../../engine/mod.ts";
import { sizeClass } from "../../engine/pool.ts";
import { fill } from "../../kernels/fill.ts";
import { AdamW, Attention, LayerNorm, Linear, Mlp, Module } from "../../nn/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertEquals, assertRejects, gpuTest, test } from "../harness.ts";

test("sizeClass() wastes at most an eighth, with eight classes an octave", () => {
  const classes = new Set<number>();
  for (let bytes = 4; bytes <= 1 << 24; bytes = Math.ceil(bytes * 1.003 / 4) * 4) {
    const size = sizeClass(bytes);
    assert(size >= bytes && size % 4 === 0, `${bytes} -> ${size}`);
    assert(size <= Math.max(256, bytes * 1.125), `${bytes} -> ${size}`);
    assertEquals(sizeClass(size), size, "a class is its own");
    classes.add(size);
  }
  assertEquals(classes.size, 1 + 8 * 16); // 256, then eight up to each power of two up to 2^24
  const large = (1 << 24) + 4;
  assertEquals(sizeClass(large), (1 << 24) + 256, "exact, in 256s, above 16 MiB");
});

gpuTest("the pool counts what tensors hold and what it keeps for later", async (device) => {
  const before = device.memory;
  const x = device.full([1024], 1);
  assertEquals(device.memory.liveBytes, before.liveBytes, "nothing is allocated by recording");
  await device.sync();
  assertEquals(device.memory.liveBytes - before.liveBytes, 4096);
  assertEquals(device.memory.liveBuffers - before.liveBuffers, 1);
  x.dispose();
  await device.sync();
  const { liveBytes, reservedBytes, peakBytes } = device.memory;
  assertEquals(liveBytes, before.liveBytes);
  assertEquals(reservedBytes - before.reservedBytes, 4096);
  assert(peakBytes >= liveBytes + 4096);
  device.resetPeak();
  assertEquals(device.memory.peakBytes, liveBytes);
  device.trim();
  assertEquals(device.memory.reservedBytes, device.memory.liveBytes);
}, { device: {} });

gpuTest("equal steps allocate once: the second finds the buffers of the first", async (device) => {
  const step = (): Promise<number> =>
    device.step(() => {
      const x = device.tensor(testValues(3000), [30, 100]);
      return mean(add(x, add(x, 1))).item();
    });
  const first = await step();
  const { reservedBytes, reservedBuffers } = device.memory;
  for (let i = 0; i < 5; i++) assertEquals(await step(), first);
  assertEquals(device.memory.reservedBytes, reservedBytes);
  assertEquals(device.memory.reservedBuffers, reservedBuffers);
});

gpuTest("poisoned memory shows what a kernel leaves out", async (device) => {
  device.full([64], 1).dispose();
  const values = await device.step(() => {
    const y = device.empty([64]);
    run({ ...fill(32, 0), sizes: { y: 64 } }, { y });
    return y.data();
  });
  assertEquals([...values.subarray(0, 32)], new Array(32).fill(0));
  assert(values.subarray(32).every(Number.isNaN), "the other half must be NaN");
});

gpuTest("memory of a refused step is not handed out again", async (device) => {
  const { liveBytes, liveBuffers } = device.memory;
  await assertRejects(() =>
    device.step(() => {
      const y = device.empty([5000]);
      run({ ...fill(5000, 0), workgroups: [65_536, 1, 1] }, { y });
    })
  );
  assertEquals(device.memory.liveBytes, liveBytes);
  assertEquals(device.memory.liveBuffers, liveBuffers);
  const ones = await device.step(() => device.full([5000], 1).data());
  assert(ones.every((v) => v === 1));
}, { device: {} });

gpuTest("the backward of a matmul takes inputs, outputs and a constant", async (device) => {
  const n = 256, bytes = 4 * n * n;
  const make = (seed: number): Tensor =>
    device.tensor(testValues(n * n, seed), [n, n], { requiresGrad: true });
  const a = make(1), b = make(2), dOut = device.tensor(testValues(n * n, 3), [n, n]);
  await device.sync();
  const { liveBytes } = device.memory;
  device.resetPeak();
  const dispatches = device.stats.dispatches;
  await device.step(() => matmul(a, b).backward(dOut));
  await device.sync();
  const extra = device.memory.peakBytes - liveBytes;
  assert(extra <= 3 * bytes + 65536, `${extra} bytes beside a, b and dOut, matrices have ${bytes}`);
  assert(device.stats.dispatches - dispatches <= 5, "two products and at most two splits of k");
}, { device: {} });

/** A small transformer: attention, norms, an MLP, a classifier. */
class Net extends Module {
  readonly norm: LayerNorm = this.child("norm", new LayerNorm(16));
  readonly attention: Attention = this.child("attention", new Attention(16, 2));
  readonly mlp: Mlp = this.child("mlp", new Mlp(16, 32));
  readonly head: Linear = this.child("head", new Linear(16, 5));
  forward(x: Tensor): Tensor {
    const mixed = add(x, this.attention.forward(this.norm.forward(x)));
    return this.head.forward(mean(add(mixed, this.mlp.forward(mixed)), 1));
  }
}

/** One training step; its loss, or NaN where it is not asked for. */
function trainStep(device: Device, net: Net, optimizer: AdamW, i: number): Promise<number> {
  const ask = i % 100 === 5; // before step 10 too: a read lets the loss live a little longer
  return device.step(() => {
    const x = device.tensor(testValues(4 * 9 * 16, i % 7), [4, 9, 16]);
    const loss = crossEntropy(net.forward(x), device.tensor(Uint32Array.of(0, 1, 2, i % 5)));
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return ask ? loss.item() : NaN;
  });
}

gpuTest(
  "live bytes and buffers are equal after step 10 and step 1,000, and no value is read unasked",
  async (device) => {
    const net = await new Net().to(device, { seed: 1 });
    const optimizer = new AdamW(net.namedParameters(), { lr: 1e-3, maxGradNorm: 1 });
    const readbacks = device.stats.readbacks;
    const seen: number[][] = [], losses: number[] = [];
    for (let i = 1; i <= 1000; i++) {
      const loss = await trainStep(device, net, optimizer, i);
      if (!Number.isNaN(loss)) losses.push(loss);
      if (i === 10 || i === 1000) {
        await device.sync();
        const { liveBytes, liveBuffers, reservedBytes, reservedBuffers } = device.memory;
        seen.push([liveBytes, liveBuffers, reservedBytes, reservedBuffers]);
      }
    }
    assertEquals(seen[1], seen[0]);
    assertEquals(losses.length, 10);
    assert(losses[9] < losses[0], `the losses ${losses} do not fall`);
    assertEquals(device.stats.readbacks - readbacks, 10);
  },
  { device: {} },
);
