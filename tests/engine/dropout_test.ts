import {
  DTypeError,
  requestDevice,
  ScopeError,
  ShapeError,
  type Tensor,
} from "../../engine/mod.ts";
import type { Device } from "../../engine/mod.ts";
import { dropout, dropPath, gaussianNoise } from "../../engine/ops/dropout.ts";
import { philox4x32 } from "../../kernels/philox.ts";
import { normalFromWord } from "../../engine/random/normal.ts";
import { dropoutReference } from "../../kernels/random.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

/** The words that call `call` of step `step` gets, by the host's Philox. */
function hostWords(count: number, seed: number, call: number, step: number): Uint32Array {
  const words = new Uint32Array(Math.ceil(count / 4) * 4);
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32)] as const;
  for (let i = 0; i < words.length; i += 4) {
    philox4x32(key, [i / 4, call, step, 0], words, i);
  }
  return words.subarray(0, count);
}

async function withSeed(device: Device, seed: number, fn: () => Promise<void>): Promise<void> {
  const before = device.seed;
  device.seed = seed;
  try {
    await fn();
  } finally {
    device.seed = before;
  }
}

const SIZES = [1, 3, 4, 30, 64, 257];

gpuTest(
  "dropout() drops by the host's words for the same seed, call and step, bit for bit",
  async (device) => {
    await withSeed(device, 0x1_2345_6789, async () => {
      for (const p of [0.1, 0.5, 0.9]) {
        const { outs, step } = await device.step(() => ({
          outs: SIZES.map((size) => dropout(device.tensor(testValues(size)), p).data()),
          step: device.stepIndex,
        }));
        for (const [call, size] of SIZES.entries()) {
          const words = hostWords(size, device.seed, call, step);
          const scale = Math.fround(1 / (1 - p));
          const want = testValues(size).map((v, i) =>
            words[i] >= Math.round(p * 2 ** 32) ? v * scale : 0
          );
          assertEquals(await outs[call], want, `size ${size}, p ${p}`);
          const loop = dropoutReference(testValues(size), words, p).y;
          assertClose(want, loop, { rtol: 1e-6 });
        }
      }
    });
  },
);

gpuTest("dropout() passes gradients through the same mask", async (device) => {
  for (const size of SIZES) {
    const { y, dx } = await device.step(() => {
      const x = device.full([size], 1);
      x.requiresGrad = true;
      const y = dropout(x, 0.3);
      dropout(device.full([size], 1), 0.3); // another call in between must not shift the mask
      y.backward(device.full([size], 1));
      return { y: y.data(), dx: x.grad!.data() };
    });
    assertEquals(await dx, await y);
  }
});

gpuTest("dropout() keeps a share of 1 - p, and the mean", async (device) => {
  const size = 65_536 * 64 * 4 + 12; // beyond 65,535 workgroups
  const values = await device.step(() => dropout(device.full([size], 1), 0.25).data());
  let kept = 0;
  for (const v of values) if (v !== 0) kept++;
  // the share's standard deviation is 1.06e-4
  assertClose([kept / size], [0.75], { atol: 5e-4 });
  assert(values.every((v) => v === 0 || v === Math.fround(4 / 3)), "another value");
});

gpuTest("dropout() with p 0 is x itself, and with p 1 all zeros", async (device) => {
  const x = device.tensor([1, -2, 3]);
  assert(dropout(x, 0) === x, "a copy was made");
  assertEquals((await dropout(x, 1).data()).map(Math.abs), new Float32Array(3));
});

gpuTest(
  "masks change from call to call and from step to step, and repeat with seed and step",
  async (device) => {
    const draw = () => dropout(device.full([64], 1), 0.5).data();
    const first = await device.step(() => [draw(), draw()]);
    const [a, b] = await Promise.all(first);
    const [c] = await Promise.all(await device.step(() => [draw()]));
    assert(a.some((v, i) => v !== b[i]), "two calls drew the same mask");
    assert(a.some((v, i) => v !== c[i]), "two steps drew the same mask");
    device.stepIndex -= 2;
    const [again] = await Promise.all(await device.step(() => [draw()]));
    assertEquals(again, a);
    device.stepIndex++;
  },
);

gpuTest("a captured step draws new masks each time it runs, those of its step", async (device) => {
  const captured = device.capture((x: Tensor) => dropout(x, 0.5));
  const ones = new Float32Array(16).fill(1);
  for (let k = 0; k < 3; k++) {
    const y = await captured([ones, [16]]);
    const words = hostWords(16, device.seed, 0, device.stepIndex);
    assertEquals(await y.data(), ones.map((_, i) => words[i] >= 2 ** 31 ? 2 : 0));
  }
});

gpuTest("dropPath() keeps or drops whole samples, forward and backward", async (device) => {
  for (const shape of [[50, 3, 4], [50, 7], [50]]) {
    const rest = shape.slice(1).reduce((a, b) => a * b, 1);
    const values = testValues(50 * rest);
    const { y, dx, step } = await device.step(() => {
      const x = device.tensor(values, shape, { requiresGrad: true });
      const y = dropPath(x, 0.4);
      y.backward(device.full(shape, 1));
      return { y: y.data(), dx: x.grad!.data(), step: device.stepIndex };
    });
    const words = hostWords(50, device.seed, 0, step);
    const scale = Math.fround(1 / 0.6);
    const factor = (i: number) =>
      words[Math.floor(i / rest)] >= Math.round(0.4 * 2 ** 32) ? scale : 0;
    assertEquals(await y, values.map((v, i) => v * factor(i)));
    assertEquals(await dx, values.map((_, i) => factor(i)));
  }
});

gpuTest(
  "gaussianNoise() has the host's normals for the same words, bit for bit",
  async (device) => {
    for (const scale of [1, 0.3]) {
      const { outs, step } = await device.step(() => ({
        outs: SIZES.map((size) => gaussianNoise(device, [size], scale).data()),
        step: device.stepIndex,
      }));
      for (const [call, size] of SIZES.entries()) {
        const words = hostWords(size, device.seed, call, step);
        const want = Float32Array.from(words, (w) => Math.fround(scale) * normalFromWord(w));
        assertEquals(await outs[call], want);
      }
    }
  },
);

gpuTest("gaussianNoise() has the moments of a normal distribution", async (device) => {
  const size = 1_000_000;
  const z = Float64Array.from(await device.step(() => gaussianNoise(device, [size], 1).data()));
  const moment = (k: number) => z.reduce((sum, v) => sum + v ** k, 0) / size;
  // standard deviations of the estimates: 0.001, 0.0014, 0.0039, 0.0098; tolerances are five of them
  assertClose([moment(1), moment(2)], [0, 1], { atol: 0.007 });
  assertClose([moment(3)], [0], { atol: 0.02 });
  assertClose([moment(4)], [3], { atol: 0.05 });
  const beyond = z.filter((v) => Math.abs(v) > 3).length / size;
  assertClose([beyond], [0.0027], { atol: 0.00026 });
});

gpuTest("gaussianNoise() after a step that was only estimated finds its table", async () => {
  const device = await requestDevice({ seed: 5, poison: true });
  try {
    await device.estimate(() => gaussianNoise(device, [8], 1));
    const { out, step } = await device.step(() => ({
      out: gaussianNoise(device, [8], 1).data(),
      step: device.stepIndex,
    }));
    const words = hostWords(8, 5, 0, step);
    assertEquals(await out, Float32Array.from(words, normalFromWord));
  } finally {
    device.destroy();
  }
});

gpuTest("dropout() refuses to make a mask again in another step", async (device) => {
  const x = device.full([4], 1);
  x.requiresGrad = true;
  const y = dropout(x, 0.5);
  await device.step(() => {});
  assertThrows(() => y.backward(device.full([4], 1)), ScopeError, "another step");
});

gpuTest("dropout(), dropPath() and gaussianNoise() name what does not fit", (device) => {
  const x = device.zeros([4]);
  assertThrows(() => dropout(x, 1.1), ShapeError, "dropout(): p is 1.1");
  assertThrows(() => dropPath(x, NaN), ShapeError, "dropPath(): p is NaN");
  assertThrows(() => dropPath(device.zeros([]), 0.1), ShapeError, "dropPath(): x is a scalar");
  assertThrows(() => dropout(device.zeros([4], "u32"), 0.1), DTypeError, "dropout: x is u32");
  assertEquals(gaussianNoise(device, [0, 2], 1).shape, [0, 2]);
});
