import { assert, assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { testValues } from "../gradcheck.ts";
import { runKernel } from "./run_kernel.ts";
import type { Device } from "../../engine/mod.ts";
import { groupedMatmul, groupedMatmulFits } from "../../kernels/grouped_matmul.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import { matmulReadable, matmulReference } from "../../kernels/matmul.ts";
import { matmulLaunch, type MatmulVariant, matmulVariant } from "../../kernels/matmul_select.ts";
import type { MatmulEpilogue, MatmulShape } from "../../kernels/matmul_shape.ts";
import { matmulTiled, registerTileFits } from "../../kernels/matmul_tiled.ts";
import { matmulWorkgroup } from "../../kernels/matmul_workgroup.ts";
import { DEFAULT_TARGET, type Target } from "../../kernels/target.ts";

const SOFTWARE: Target = { ...DEFAULT_TARGET, adapterClass: "software" };

function inputsOf(shape: MatmulShape, epilogue: MatmulEpilogue) {
  const { batch, m, n, k } = shape;
  return {
    a: testValues((shape.sharedA ? 1 : batch) * m * k, 1),
    b: testValues((shape.sharedB ? 1 : batch) * k * n, 2),
    bias: testValues(epilogue.bias === "batched" ? batch * n : n, 3),
    y: testValues(batch * m * n, 4),
    residual: testValues(batch * m * n, 5),
  };
}

/** Runs a kernel on seeded inputs and compares every result with the plain loop. */
async function check(device: Device, kernel: Kernel, shape: MatmulShape, epilogue: MatmulEpilogue) {
  const inputs = inputsOf(shape, epilogue);
  const { y: before, bias, residual, ...factors } = inputs;
  const hasBias = (epilogue.bias ?? "none") !== "none";
  const read = { ...factors, ...(hasBias && { bias }), ...(epilogue.residual && { residual }) };
  const want = matmulReference(shape, epilogue, { ...read, y: before });
  const got = await runKernel(device, kernel, {
    ...read,
    ...(epilogue.accumulate && { y: before }),
  });
  const name = `${kernel.program.variant} ${JSON.stringify(shape)} ${JSON.stringify(epilogue)}`;
  const tolerance = { atol: 2e-6 * Math.sqrt(shape.k) + 2e-6, rtol: 1e-5 };
  assertClose(got.y, want.y, { ...tolerance, name });
  if (epilogue.keepPre) assertClose(got.pre, want.pre, { ...tolerance, name: `pre of ${name}` });
}

const TRANSPOSES = [[false, false], [false, true], [true, false], [true, true]];
/** One, primes, a tile, a tile and one, multiples of 4 in some lengths only. */
const SIZES = [[1, 1, 1], [2, 9, 3], [16, 16, 16], [17, 33, 5], [20, 16, 10], [13, 12, 8], [
  70,
  36,
  18,
]];

/** Every variant that can compute a shape. */
function variants(shape: MatmulShape, epilogue: MatmulEpilogue): Kernel[] {
  return [
    matmulReadable(shape, epilogue),
    ...[[16, 16], [8, 8], [4, 4], [2, 8], [1, 8], [1, 4]].map(([tm, tn]) => ({ tm, tn }))
      .filter((tile) => registerTileFits(shape, tile))
      .map((tile) => matmulTiled(shape, epilogue, tile)),
    matmulWorkgroup(shape, epilogue, 32),
    matmulWorkgroup(shape, epilogue, 64),
    ...(groupedMatmulFits(shape) ? [groupedMatmul(shape, epilogue)] : []),
  ];
}

for (const [transposeA, transposeB] of TRANSPOSES) {
  const letters = `${transposeA ? "T" : "N"}${transposeB ? "T" : "N"}`;
  gpuTest(
    `matmul ${letters}: every variant equals the plain loop at awkward sizes`,
    async (device) => {
      for (const [m, n, k] of SIZES) {
        const shape = { batch: 2, m, n, k, transposeA, transposeB };
        for (const kernel of variants(shape, {})) await check(device, kernel, shape, {});
      }
    },
    { timeout: 300 },
  );
}

gpuTest("matmul: every variant serves shared factors", async (device) => {
  for (const shared of [{ sharedA: true }, { sharedB: true }]) {
    const shape = { batch: 3, m: 8, n: 8, k: 12, transposeB: true, ...shared };
    for (const kernel of variants(shape, {})) await check(device, kernel, shape, {});
  }
});

gpuTest("matmul: every variant finishes with bias, residual, activation, sum", async (device) => {
  const epilogues: MatmulEpilogue[] = [
    { bias: "shared", activation: "gelu", keepPre: true },
    { bias: "batched", activation: "silu" },
    { bias: "batched", activation: "relu", keepPre: true },
    { bias: "shared", residual: true, activation: "relu" },
    { accumulate: 0 },
    { accumulate: 1, bias: "shared" },
  ];
  for (const epilogue of epilogues) {
    // the second shape's rows end within a tile and its columns are no multiple of 4
    for (const [m, n] of [[8, 16], [17, 18]]) {
      const shape = { batch: 2, m, n, k: 8, transposeB: true };
      for (const kernel of variants(shape, epilogue)) await check(device, kernel, shape, epilogue);
    }
  }
}, { timeout: 300 });

gpuTest("matmul: one to eight rows are streamed, more steps than invocations", async (device) => {
  for (const m of [1, 2, 3, 5, 8]) {
    for (const k of [4, 300]) {
      const shape = { batch: 3, m, n: 12, k, transposeB: true };
      const epilogue: MatmulEpilogue = { bias: "batched", activation: "gelu" };
      await check(device, groupedMatmul(shape, epilogue), shape, epilogue);
    }
  }
});

gpuTest(
  "matmul: products split along k add up, into a gradient or over old values",
  async (device) => {
    const variants: MatmulVariant[] = [
      { kind: "tiled", tile: { tm: 8, tn: 8 }, splits: 3 },
      { kind: "workgroup", tile: 32, splits: 4 },
    ];
    for (const variant of variants) {
      for (const k of [200, 203]) {
        for (const accumulate of [0, 1] as const) {
          const shape = { batch: 1, m: 12, n: 20, k, transposeA: true };
          const { a, b, y } = inputsOf(shape, {});
          const { product, sum } = matmulLaunch(shape, { accumulate }, variant);
          const { y: partial } = await runKernel(device, product, { a, b });
          const got = await runKernel(device, sum!, { x: partial, ...(accumulate && { y }) });
          const want = matmulReference(shape, { accumulate }, { a, b, y }).y;
          assertClose(got.y, want, { atol: 1e-4, rtol: 1e-5, name: JSON.stringify(variant) });
        }
      }
    }
  },
);

gpuTest("matmul: more than 65,535 workgroups", async (device) => {
  const wide = { batch: 1, m: 2100, n: 2000, k: 1 };
  await check(device, matmulReadable(wide, {}), wide, {});
  const many = { batch: 65540, m: 1, n: 4, k: 4, transposeB: true };
  await check(device, groupedMatmul(many, {}), many, {});
  await check(device, matmulWorkgroup(many, {}, 32), many, {});
  const tiles = { batch: 8 * 65536 + 8, m: 1, n: 4, k: 1 };
  await check(device, matmulTiled(tiles, {}, { tm: 1, tn: 4 }), tiles, {});
}, { timeout: 300 });

test("matmulVariant() gives each regime its kernel, on software and on GPUs", () => {
  const kind = (shape: Partial<MatmulShape>, target: Target, epilogue: MatmulEpilogue = {}) => {
    const variant = matmulVariant({ batch: 1, m: 64, n: 64, k: 64, ...shape }, epilogue, target);
    if (variant.kind === "tiled") {
      return `${variant.tile.tm}x${variant.tile.tn}/${variant.splits}`;
    }
    return variant.kind === "workgroup" ? `${variant.tile}/${variant.splits}` : variant.kind;
  };
  const square = { m: 1024, n: 1024, k: 1024 };
  const gradient = { m: 64, n: 64, k: 3136, transposeA: true };
  const token = { batch: 98, m: 1, n: 192, k: 768, transposeB: true };
  assertEquals(kind(square, SOFTWARE), "16x16/1");
  assertEquals(kind(gradient, SOFTWARE), "16x16/1");
  assertEquals(kind({ ...gradient, m: 32 }, SOFTWARE), "16x16/2");
  assertEquals(kind(token, SOFTWARE), "1x8/1");
  assertEquals(kind({ m: 3, n: 3 }, SOFTWARE), "readable");
  assertEquals(kind(square, DEFAULT_TARGET), "64/1");
  assertEquals(kind(gradient, DEFAULT_TARGET), "32/32");
  assertEquals(kind({ m: 64, n: 64, k: 64 }, DEFAULT_TARGET), "32/1");
  assertEquals(kind(token, DEFAULT_TARGET), "streamed");
  assertEquals(kind({ ...token, transposeB: false }, DEFAULT_TARGET), "1x4/1");
  // an epilogue needs finished sums, so k stays whole
  assertEquals(kind({ ...gradient, m: 32 }, SOFTWARE, { bias: "shared" }), "8x8/1");
  assertEquals(kind({ ...gradient, m: 32 }, SOFTWARE, { residual: true }), "8x8/1");
});

test("matmulVariant() chooses something that fits for every small shape", () => {
  for (const target of [SOFTWARE, DEFAULT_TARGET]) {
    for (const [transposeA, transposeB] of TRANSPOSES) {
      for (let m = 1; m < 20; m++) {
        for (let n = 1; n < 20; n++) {
          const shape = { batch: 2, m, n, k: 7, transposeA, transposeB };
          const variant = matmulVariant(shape, {}, target);
          const fits = variant.kind !== "tiled" || registerTileFits(shape, variant.tile);
          assert(fits, `${JSON.stringify(variant)} for ${JSON.stringify(shape)}`);
          matmulLaunch(shape, {}, variant);
        }
      }
    }
  }
});
