import { assertEquals, assertThrows, gpuTest } from "../harness.ts";
import { checkGradients } from "../gradcheck.ts";
import { DTypeError, ShapeError } from "../../engine/errors.ts";
import { matmul } from "../../engine/ops/matmul.ts";
import { matmulReference } from "../../kernels/matmul.ts";

const BOTH = [false, true];

for (const transposeA of BOTH) {
  for (const transposeB of BOTH) {
    const letters = `${transposeA ? "T" : "N"}${transposeB ? "T" : "N"}`;
    gpuTest(
      `matmul() ${letters}: values and gradients, batched and shared factors`,
      async (device) => {
        const sizes = [[1, 1, 1], [3, 5, 7], [17, 12, 8], [8, 9, 33]];
        for (const [m, n, k] of sizes) {
          for (const [leadA, leadB] of [[[], []], [[3], [3]], [[3], []], [[], [3]], [[1], [2]]]) {
            const batch = Math.max(1, ...leadA, ...leadB);
            const shape = {
              batch,
              m,
              n,
              k,
              transposeA,
              transposeB,
              sharedA: leadA.every((d) => d === 1),
              sharedB: leadB.every((d) => d === 1),
            };
            await checkGradients({
              device,
              inputs: {
                a: { shape: [...leadA, ...(transposeA ? [k, m] : [m, k])] },
                b: { shape: [...leadB, ...(transposeB ? [n, k] : [k, n])] },
              },
              op: ({ a, b }) => matmul(a, b, { transposeA, transposeB }),
              reference: ({ a, b }) => matmulReference(shape, {}, { a, b }).y,
              entries: 8,
            });
          }
        }
      },
    );
  }
}

gpuTest("matmul() broadcasts leading axes in both directions", async (device) => {
  await checkGradients({
    device,
    inputs: { a: { shape: [2, 1, 3, 4] }, b: { shape: [5, 4, 2] } },
    op: ({ a, b }) => {
      const y = matmul(a, b);
      assertEquals([...y.shape], [2, 5, 3, 2]);
      return y;
    },
    reference: ({ a, b }) => {
      const y: number[] = [];
      for (let p = 0; p < 2; p++) {
        for (let q = 0; q < 5; q++) {
          const shape = { batch: 1, m: 3, n: 2, k: 4 };
          const part = { a: a.slice(12 * p, 12 * p + 12), b: b.slice(8 * q, 8 * q + 8) };
          y.push(...matmulReference(shape, {}, part).y);
        }
      }
      return y;
    },
  });
});

gpuTest(
  "matmul() of empty matrices: an empty result, or zeros for an empty sum",
  async (device) => {
    const zeros = await device.step(() => {
      assertEquals([...matmul(device.empty([0, 3]), device.zeros([3, 2])).shape], [0, 2]);
      return matmul(device.empty([2, 0]), device.empty([0, 3])).data();
    });
    assertEquals([...zeros], [0, 0, 0, 0, 0, 0]);
  },
);

gpuTest("matmul() refuses sizes, leading axes and dtypes that do not fit", async (device) => {
  await device.step(() => {
    const at = (...shape: number[]) => device.zeros(shape);
    assertThrows(() => matmul(at(2, 3), at(4, 5)), ShapeError, "3 columns");
    assertThrows(() => matmul(at(3), at(3, 2)), ShapeError, "has 1 axes, needs 2");
    assertThrows(() => matmul(at(2, 2, 3), at(3, 3, 4)), ShapeError, "do not broadcast");
    assertThrows(() => matmul(device.zeros([2, 2], "i32"), at(2, 2)), DTypeError, "matmul: a");
  });
});
