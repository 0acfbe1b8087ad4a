import { DTypeError, ShapeError } from "../../engine/mod.ts";
import { run } from "../../engine/dispatch.ts";
import { crossEntropy } from "../../engine/ops/cross_entropy.ts";
import { mul } from "../../engine/ops/arithmetic.ts";
import { elementsOf } from "../../io/named_array.ts";
import { readSafetensors } from "../../io/safetensors.ts";
import {
  crossEntropy as kernel,
  crossEntropyReference,
  crossEntropyVariant,
} from "../../kernels/cross_entropy.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertThrows,
  gpuTest,
  loadFixture,
  test,
} from "../harness.ts";

const SHAPES = [[1, 1], [1, 2], [5, 10], [65, 3], [130, 37], [7, 1000]];

for (const [batch, classes] of SHAPES) {
  for (const smoothing of [0, 0.1]) {
    const name = `[${batch}, ${classes}] with smoothing ${smoothing}`;
    gpuTest(
      `crossEntropy() of ${name} equals a loop, both kinds of target, both ways`,
      async (device) => {
        const labels = Int32Array.from({ length: batch }, (_, r) => (r * 7 + 3) % classes);
        const shape = { batch, classes, smoothing };
        await checkGradients({
          device,
          inputs: { x: { shape: [batch, classes] } },
          op: ({ x }) => crossEntropy(x, device.tensor(labels), { labelSmoothing: smoothing }),
          reference: ({ x }) => [crossEntropyReference({ ...shape, soft: false }, x, labels).loss],
        });
        const weights = testValues(batch * classes, 9).map(Math.abs);
        await checkGradients({
          device,
          inputs: { x: { shape: [batch, classes] } },
          op: ({ x }) =>
            crossEntropy(x, device.tensor(weights, [batch, classes]), {
              labelSmoothing: smoothing,
            }),
          reference: ({ x }) => [crossEntropyReference({ ...shape, soft: true }, x, weights).loss],
        });
      },
    );
  }
}

gpuTest("crossEntropy: every variant equals the plain loop", async (device) => {
  for (const [batch, classes] of [[1, 1], [67, 13], [3, 200]]) {
    for (const soft of [false, true]) {
      const shape = { batch, classes, soft, smoothing: 0.2 };
      const x = testValues(batch * classes, 3);
      const targets = soft
        ? testValues(batch * classes, 4).map(Math.abs)
        : Uint32Array.from({ length: batch }, (_, r) => r % classes);
      const want = crossEntropyReference(shape, x, targets).loss;
      for (const variant of ["rows", "workgroup", "fused"] as const) {
        const losses = device.empty([variant === "fused" ? 1 : batch]);
        run(kernel(shape, variant), {
          x: device.tensor(x),
          targets: device.tensor(targets),
          stats: device.empty([batch, 4]),
          losses,
        });
        const got = Array.from(await losses.data());
        const mean = got.reduce((a, b) => a + b, 0) / got.length;
        assertClose([mean], [want], { rtol: 1e-5, atol: 1e-6, name: `${variant} ${batch}` });
      }
    }
  }
});

gpuTest(
  "crossEntropy() agrees with mmpretrain's LabelSmoothLoss (golden case 15)",
  async (device) => {
    const file = await readSafetensors(
      await loadFixture("golden/moe_15_label_smooth_ce.safetensors"),
    );
    const golden = (name: string) => {
      const array = file.tensors.get(name)!;
      return device.tensor(elementsOf(array) as Float32Array | Int32Array, array.shape);
    };
    const score = golden("input.score"), score2 = golden("input.score2");
    score.requiresGrad = score2.requiresGrad = true;
    const byIndex = crossEntropy(score, golden("input.label"), { labelSmoothing: 0.1 });
    const bySoft = crossEntropy(score2, golden("input.soft_label"), { labelSmoothing: 0.1 });
    byIndex.backward();
    bySoft.backward();
    const pairs = [
      [byIndex, "output.loss_index"],
      [bySoft, "output.loss_soft"],
      [score.grad!, "grad.input.score"],
      [score2.grad!, "grad.input.score2"],
    ] as const;
    for (const [got, name] of pairs) {
      assertClose(await got.data(), await golden(name).data(), { atol: 1e-6, rtol: 1e-5, name });
    }
  },
);

gpuTest("crossEntropy() keeps its digits for logits far from 0 and far apart", async (device) => {
  const x = Float32Array.of(10_000, 10_001, 10_002, -1e38, 0, 1e38);
  const logits = device.tensor(x, [2, 3], { requiresGrad: true });
  const loss = crossEntropy(logits, device.tensor(Uint32Array.of(2, 2)));
  loss.backward();
  const low = Math.log(1 + Math.exp(-1) + Math.exp(-2));
  assertClose([await loss.item()], [low / 2], { atol: 1e-6 });
  const p = [-2, -1, 0].map((v) => Math.exp(v - low));
  assertClose(await logits.grad!.data(), [p[0] / 2, p[1] / 2, (p[2] - 1) / 2, 0, 0, 0], {
    atol: 1e-6,
  });
});

gpuTest("crossEntropy() passes on the gradient of what was computed from it", async (device) => {
  const shape = { batch: 3, classes: 4, soft: false, smoothing: 0 };
  const labels = Uint32Array.of(0, 3, 1);
  await checkGradients({
    device,
    inputs: { x: { shape: [3, 4] } },
    op: ({ x }) => mul(crossEntropy(x, device.tensor(labels)), -2.5),
    reference: ({ x }) => [-2.5 * crossEntropyReference(shape, x, labels).loss],
  });
});

gpuTest(
  "crossEntropy() reads no label out of range: it counts as the last class",
  async (device) => {
    const x = device.tensor(testValues(6), [2, 3]);
    const wild = crossEntropy(x, device.tensor(Int32Array.of(-1, 3)));
    const last = crossEntropy(x, device.tensor(Int32Array.of(2, 2)));
    assertEquals(await wild.item(), await last.item());
  },
);

gpuTest("crossEntropy() works beyond 65,535 workgroups", async (device) => {
  const batch = 65_536 * 64 + 5;
  const x = device.zeros([batch, 2]);
  x.requiresGrad = true;
  const loss = crossEntropy(x, device.zeros([batch], "u32"));
  loss.backward(device.full([], batch));
  assertClose([await loss.item()], [Math.log(2)], { rtol: 1e-6 });
  const gradient = await x.grad!.data();
  assert(
    gradient.every((v, i) => Math.abs(v - (i % 2 === 0 ? -0.5 : 0.5)) < 1e-6),
    "a wrong gradient",
  );
});

test("crossEntropyVariant() fuses small work and shares long rows on a GPU only", () => {
  const software = { ...DEFAULT_TARGET, adapterClass: "software" } as const;
  assertEquals(crossEntropyVariant({ batch: 64, classes: 10 }, DEFAULT_TARGET), "fused");
  assertEquals(crossEntropyVariant({ batch: 64, classes: 1000 }, DEFAULT_TARGET), "workgroup");
  assertEquals(crossEntropyVariant({ batch: 64, classes: 1000 }, software), "rows");
  assertEquals(crossEntropyVariant({ batch: 4096, classes: 10 }, DEFAULT_TARGET), "rows");
});

gpuTest("crossEntropy() names what does not fit", (device) => {
  const x = device.zeros([4, 3]);
  const labels = device.zeros([4], "i32");
  assertThrows(() => crossEntropy(x, device.zeros([5], "i32")), ShapeError, "needs [4]");
  assertThrows(() => crossEntropy(x, device.zeros([4, 2])), ShapeError, "needs [4, 3]");
  assertThrows(() => crossEntropy(x, device.zeros([4])), DTypeError, "make it i32 or u32");
  assertThrows(() => crossEntropy(device.zeros([4]), labels), ShapeError, "needs [B, C]");
  assertThrows(
    () => crossEntropy(device.zeros([0, 3]), device.zeros([0], "i32")),
    ShapeError,
    "no rows or no classes",
  );
  assertThrows(
    () => crossEntropy(x, labels, { labelSmoothing: 1.5 }),
    ShapeError,
    "labelSmoothing is 1.5, needs [0, 1]",
  );
});
