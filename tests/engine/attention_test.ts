import { attention, type Device, DTypeError, ShapeError, type Tensor } from "../../engine/mod.ts";
import { attentionReference } from "../../kernels/attention_reference.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

interface Case {
  batch: number;
  tokens: number;
  heads: number;
  headDim: number;
  scale?: number;
  entries?: number;
}

function check(device: Device, c: Case): Promise<void> {
  const { batch, tokens, heads, headDim } = c;
  const scale = c.scale ?? 1 / Math.sqrt(headDim);
  return checkGradients({
    device,
    inputs: { qkv: { shape: [batch, tokens, 3 * heads * headDim] } },
    op: ({ qkv }) => attention(qkv, heads, { scale: c.scale }),
    reference: ({ qkv }) => attentionReference(qkv, { batch, tokens, heads, headDim }, scale).out,
    entries: c.entries,
  });
}

const CASES: Case[] = [
  { batch: 2, tokens: 1, heads: 1, headDim: 1 }, // one token: out = v whatever the score
  { batch: 3, tokens: 2, heads: 2, headDim: 5 },
  { batch: 2, tokens: 3, heads: 3, headDim: 8 },
  { batch: 1, tokens: 17, heads: 3, headDim: 7 },
  { batch: 5, tokens: 17, heads: 1, headDim: 16, scale: 0.7 },
  { batch: 3, tokens: 49, heads: 4, headDim: 16 },
  { batch: 1, tokens: 65, heads: 2, headDim: 64, entries: 12 },
  { batch: 1, tokens: 131, heads: 1, headDim: 20, entries: 12 },
  { batch: 1, tokens: 9, heads: 1, headDim: 67 }, // too wide for registers: the readable kernels
];

for (const c of CASES) {
  const { batch, tokens, heads, headDim } = c;
  gpuTest(
    `attention() and its gradient match float64: B ${batch}, N ${tokens}, H ${heads}, Dh ${headDim}`,
    (device) => check(device, c),
  );
}

gpuTest("attention() does not overflow with logits of 50 and more", async (device) => {
  const shape = { batch: 1, tokens: 33, heads: 2, headDim: 8 };
  const data = testValues(33 * 48).map((x) => 6 * x); // scores: +-50 where not scaled down
  const want = attentionReference(data, shape, 1).out;
  const got = await device.step(() =>
    attention(device.tensor(data, [1, 33, 48]), 2, { scale: 1 }).data()
  );
  // An error of 1e-6 in a score of 100 is one of 1e-4 in its exponential, relative to values of 10.
  assertClose(got, want, { atol: 1e-3, rtol: 1e-4 });
});

gpuTest("attention() gives bit-equal values and gradients when run again", async (device) => {
  const data = testValues(2 * 49 * 96);
  const once = () =>
    device.step(() => {
      const qkv = device.tensor(data, [2, 49, 96], { requiresGrad: true });
      const y = attention(qkv, 2);
      y.backward(device.tensor(testValues(y.size, 2), y.shape));
      return [y.data(), qkv.grad!.data()] as [
        Promise<ArrayLike<number>>,
        Promise<ArrayLike<number>>,
      ];
    });
  const [first, second] = [await once(), await once()];
  assertEquals(await first[0], await second[0]);
  assertEquals(await first[1], await second[1]);
});

gpuTest("attention() leaves no hole that anomaly mode would take for a NaN", async (device) => {
  for (const headDim of [8, 67]) {
    const data = testValues(2 * 5 * 6 * headDim);
    await device.detectAnomaly(() => {
      const qkv = device.tensor(data, [2, 5, 6 * headDim], { requiresGrad: true });
      const y = attention(qkv, 2);
      y.backward(device.full(y.shape, 1));
    });
  }
});

gpuTest("attention() of an empty batch is empty", async (device) => {
  const y = await device.step(() => attention(device.zeros([0, 4, 12]), 2).data());
  assertEquals(y.length, 0);
});

gpuTest("attention() names bad shapes and dtypes", (device) => {
  device.tidy(() => {
    const bad = (x: Tensor, heads: number) => () => attention(x, heads);
    assertThrows(bad(device.zeros([2, 12]), 2), ShapeError, "attention: qkv has shape [2, 12]");
    assertThrows(bad(device.zeros([1, 2, 20]), 2), ShapeError, "20 channels");
    assertThrows(bad(device.zeros([1, 2, 12]), 0), ShapeError, "heads = 0");
    assertThrows(bad(device.zeros([1, 2, 12]), 1.5), ShapeError, "heads = 1.5");
    assertThrows(bad(device.zeros([1, 2, 12], "i32"), 2), DTypeError, "attention: qkv is i32");
  });
});
