import {
  angleLoss,
  DTypeError,
  focalLoss,
  giouLoss,
  l1Loss,
  mul,
  ShapeError,
  temporalLoss,
} from "../../engine/mod.ts";
import type { Device, Tensor } from "../../engine/mod.ts";
import { giouLossReference, l1LossReference } from "../../kernels/box_losses.ts";
import { focalLossReference } from "../../kernels/focal_loss.ts";
import type { Values } from "../../kernels/kernel.ts";
import { angleLossReference, changeLossReference } from "../../kernels/gaze_losses.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

const ROWS = [1, 3, 130];
/** Weights of which every third is 0, and the count they are divided by. */
const weightsOf = (rows: number) =>
  testValues(rows, 5).map((v, r) => r % 3 === 2 ? 0 : Math.abs(v));
const COUNT = 2.5;

/** A loss with defaults, and one with weights, a divisor on the GPU and a factor. */
function variants(device: Device, rows: number, n: number) {
  const weight = weightsOf(rows), none: Values = {};
  return [
    { options: {}, sum: { rows: n, per: 0, divisor: n, factor: 1 }, given: none },
    {
      options: {
        weight: device.tensor(weight),
        avgFactor: device.tensor(Float32Array.of(COUNT), []),
        lossWeight: 3,
      },
      sum: { rows: n, per: n / rows, divisor: "tensor" as const, factor: 3 },
      given: { weight, divisor: [COUNT] },
    },
  ];
}

for (const rows of ROWS) {
  gpuTest(`focalLoss() of ${rows} rows: values and gradients`, async (device) => {
    for (const [classes, gamma] of [[1, 2], [3, 2], [3, 0.5]]) {
      const labels = Uint32Array.from({ length: rows }, (_, r) => r % (classes + 1));
      for (const { options, sum, given } of variants(device, rows, rows * classes)) {
        const shape = { ...sum, classes, alpha: 0.3, gamma, targets: "labels" as const };
        await checkGradients({
          device,
          inputs: { pred: { shape: [rows, classes] } },
          op: ({ pred }) =>
            focalLoss(pred, device.tensor(labels), { ...options, alpha: 0.3, gamma }),
          reference: ({ pred }) => [
            focalLossReference(shape, { pred, targets: labels, ...given }).loss,
          ],
          atol: 1e-5,
        });
      }
    }
  });

  gpuTest(`l1Loss() and giouLoss() of ${rows} boxes: values and gradients`, async (device) => {
    const place = (v: number, i: number) => i % 4 < 2 ? v : v + 2;
    const pred = { shape: [rows, 4], data: testValues(4 * rows, 1).map(place) };
    const goal = testValues(4 * rows, 2).map(place);
    const target = () => device.tensor(goal, [rows, 4]);
    for (const { options, sum, given } of variants(device, rows, 4 * rows)) {
      await checkGradients({
        device,
        inputs: { pred },
        op: ({ pred }) => l1Loss(pred, target(), options),
        reference: ({ pred }) => [l1LossReference(sum, { pred, goal, ...given }).loss],
        step: 1e-5,
      });
    }
    for (const { options, sum, given } of variants(device, rows, rows)) {
      for (const eps of [1e-6, 2]) {
        await checkGradients({
          device,
          inputs: { pred },
          op: ({ pred }) => giouLoss(pred, target(), { ...options, eps }),
          reference: ({ pred }) => [
            giouLossReference({ ...sum, eps }, { pred, goal, ...given }).loss,
          ],
          step: 1e-5,
        });
      }
    }
  });

  gpuTest(`angleLoss() of ${rows} directions: values and gradients`, async (device) => {
    const goal = testValues(3 * rows, 2);
    for (const { options, sum, given } of variants(device, rows, rows)) {
      for (const clamp of [1e-6, 0.2]) {
        await checkGradients({
          device,
          inputs: { pred: { shape: [rows, 3] } },
          op: ({ pred }) => angleLoss(pred, device.tensor(goal, [rows, 3]), { ...options, clamp }),
          reference: ({ pred }) => [
            angleLossReference({ ...sum, clamp }, { pred, goal, ...given }).loss,
          ],
          step: 1e-5,
        });
      }
    }
  });
}

for (const [batch, frames] of [[1, 2], [2, 3], [3, 7]]) {
  gpuTest(`temporalLoss() of ${batch} clips of ${frames} frames: both ways`, async (device) => {
    const rows = batch * frames;
    await checkGradients({
      device,
      inputs: { pred: { shape: [batch, frames, 3] } },
      op: ({ pred }) => mul(temporalLoss(pred, { lossWeight: 2 }), 0.7),
      reference: ({ pred }) => [
        0.7 * changeLossReference({ rows, frames, divisor: rows, factor: 2 }, { pred }).loss,
      ],
      step: 1e-5,
    });
  });
}

gpuTest("rows of weight 0 may hold anything, NaN included", async (device) => {
  const weight = device.tensor(Float32Array.of(1, 0));
  const pairs: [number, (p: Tensor, goal: Tensor) => Tensor][] = [
    [4, (p, goal) => l1Loss(p, goal, { weight })],
    [4, (p, goal) => giouLoss(p, goal, { weight })],
    [3, (p, goal) => angleLoss(p, goal, { weight })],
  ];
  for (const [n, loss] of pairs) {
    const values = Float32Array.from({ length: 2 * n }, (_, i) => i < n ? i + 1 : NaN);
    const goals = Float32Array.from({ length: 2 * n }, (_, i) => i < n ? i * i + 1 : NaN);
    const p = device.tensor(values, [2, n], { requiresGrad: true });
    const y = loss(p, device.tensor(goals, [2, n]));
    y.backward();
    assertEquals(Number.isFinite(await y.item()), true);
    assertEquals([...(await p.grad!.data()).subarray(n)], Array(n).fill(0));
  }
});

gpuTest("a sum over nothing is 0", async (device) => {
  const weight = device.zeros([2]), avgFactor = device.zeros([]);
  const goal = device.tensor(Float32Array.of(1, 0, 0, 0, 1, 0), [2, 3]);
  const pred = device.tensor(Float32Array.of(0, 1, 0, 0, 0, 1), [2, 3], { requiresGrad: true });
  const loss = angleLoss(pred, goal, { weight, avgFactor });
  loss.backward();
  assertEquals(await loss.item(), 0);
  assertEquals(await pred.grad!.data(), new Float32Array(6));
});

gpuTest(
  "focalLoss() keeps the digits of easy cases, and overflows for no logit",
  async (device) => {
    const easy = [[-12, 1], [12, 0], [-30, 1], [200, 0], [200, 1], [-200, 0], [-200, 1]];
    const undecided = [[0, 1], [0, 0], [0.3, 1]]; // where the series of the logarithm is longest
    const counted = () => ({ weight: device.full([1], 1), avgFactor: device.full([], 1) });
    for (const [x, target] of [...easy, ...undecided]) {
      const shape = {
        rows: 1,
        per: 0,
        divisor: 1,
        factor: 1,
        classes: 1,
        alpha: 0.25,
        gamma: 2,
        targets: "flags" as const,
      };
      const want = focalLossReference(shape, { pred: [x], targets: [target] });
      const flag = device.tensor(Float32Array.of(target), [1, 1]);
      const label = device.tensor(Uint32Array.of(1 - target));
      for (
        const [goal, options] of [[flag, {}], [label, {}], [flag, counted()], [
          label,
          counted(),
        ]] as const
      ) {
        const pred = device.tensor(Float32Array.of(x), [1, 1], { requiresGrad: true });
        const loss = focalLoss(pred, goal, options);
        loss.backward();
        const name = `${x} with target ${target}`;
        const tolerance = { rtol: Math.abs(x) < 1 ? 1.5e-6 : 1e-5, atol: 1e-37, name };
        assertClose([await loss.item()], [want.loss], tolerance);
        assertClose(await pred.grad!.data(), want.dPred, tolerance);
      }
    }
  },
);

gpuTest("angleLoss() of small angles, right and straight ones is exact to f32", async (device) => {
  const angles = [0.002, 0.01, 0.1, 1, Math.PI / 2, 3, 3.139];
  for (const angle of angles) {
    const pred = device.tensor(Float32Array.of(5 * Math.cos(angle), 5 * Math.sin(angle), 0), [
      1,
      3,
    ]);
    const goal = device.tensor(Float32Array.of(2, 0, 0), [1, 3]);
    const loss = angleLoss(pred, goal, { lossWeight: 1 });
    assertClose([await loss.item()], [angle], { rtol: 2e-6, name: `${angle}` });
  }
  const none = angleLoss(device.zeros([1, 3]), device.full([1, 3], 1));
  assertClose([await none.item()], [Math.PI / 2], { rtol: 1e-6 });
});

gpuTest(
  "angleLoss() has no gradient next to parallel, and the angle there is that of the clamp",
  async (device) => {
    const pred = device.tensor(Float32Array.of(0, 0, 2, 0, 0, -2, 0, 2e-4, 2), [3, 3], {
      requiresGrad: true,
    });
    const goal = device.tensor(Float32Array.of(0, 0, 1, 0, 0, 1, 0, 0, 1), [3, 3]);
    const loss = angleLoss(pred, goal, { avgFactor: 1 });
    loss.backward();
    const least = Math.acos(1 - 1e-6);
    assertClose([await loss.item()], [least + (Math.PI - least) + least], { rtol: 1e-6 });
    assertEquals(await pred.grad!.data(), new Float32Array(9));
  },
);

gpuTest("losses refuse what does not fit", (device) => {
  const at = (...shape: number[]) => device.zeros(shape);
  const labels = device.zeros([3], "i32");
  assertThrows(() => focalLoss(at(3), labels), ShapeError, "focalLoss: logits");
  assertThrows(() => focalLoss(at(3, 2), device.zeros([4], "i32")), ShapeError, "needs [3]");
  assertThrows(() => focalLoss(at(3, 2), at(3)), ShapeError, "needs [3, 2]");
  assertThrows(() => focalLoss(at(3, 2), labels, { gamma: -1 }), ShapeError, "gamma is -1");
  assertThrows(() => focalLoss(at(0, 2), device.zeros([0], "i32")), ShapeError, "has no rows");
  assertThrows(
    () => focalLoss(at(3, 2), labels, { weight: at(2) }),
    ShapeError,
    "needs [3] or [3, 2]",
  );
  assertThrows(() => l1Loss(at(3, 4), at(3, 3)), ShapeError, "l1Loss: target");
  assertThrows(() => l1Loss(at(3, 4), at(3, 4), { avgFactor: at(1) }), ShapeError, "avgFactor");
  assertThrows(() => giouLoss(at(3, 3), at(3, 3)), ShapeError, "needs [..., 4]");
  assertThrows(() => giouLoss(at(3, 4), at(3, 4), { weight: at(3, 4) }), ShapeError, "needs [3]");
  assertThrows(() => angleLoss(at(3, 4), at(3, 4)), ShapeError, "needs [N, 3]");
  assertThrows(() => angleLoss(at(3, 3), at(3, 3), { clamp: 0 }), ShapeError, "clamp is 0");
  assertThrows(() => temporalLoss(at(2, 1, 3)), ShapeError, "clips of 1 frame");
  assertThrows(() => temporalLoss(at(6, 3)), ShapeError, "needs [B, T, 3]");
  assertThrows(() => l1Loss(labels, labels), DTypeError, "l1Loss: pred");
});
