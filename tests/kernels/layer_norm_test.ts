import { columnSumReference } from "../../kernels/column_sum.ts";
import {
  layerNormBackwardReference,
  layerNormBackwardStrips,
  layerNormPerInvocation,
  layerNormReference,
  type LayerNormShape,
} from "../../kernels/layer_norm.ts";
import {
  layerNormBackwardPerWorkgroup,
  layerNormPerWorkgroup,
  layerNormVariant,
} from "../../kernels/layer_norm_workgroup.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

const VARIANTS = {
  "a row per invocation": [layerNormPerInvocation, layerNormBackwardStrips],
  "a row per workgroup": [layerNormPerWorkgroup, layerNormBackwardPerWorkgroup],
} as const;

for (const [title, [forward, backward]] of Object.entries(VARIANTS)) {
  gpuTest(`layer_norm agrees with the plain loop, ${title}`, async (device) => {
    const sizes = [[1, 1], [1, 5], [65, 13], [64, 64], [197, 192], [33, 577], [700, 4]];
    for (const [rows, n] of sizes) {
      for (const affine of [true, false]) {
        const shape: LayerNormShape = { rows, n, eps: 1e-5, weight: affine, bias: affine };
        const x = testValues(rows * n).map((v) => 2 * v + 5);
        const dOut = testValues(rows * n, 2);
        const weight = affine ? testValues(n, 3) : undefined;
        const bias = affine ? testValues(n, 4) : undefined;
        const name = `${title} [${rows}, ${n}]`;
        const want = layerNormReference(shape, x, weight, bias);
        const got = await runKernel(device, forward(shape), {
          x,
          ...(affine ? { weight: weight!, bias: bias! } : {}),
        });
        assertClose(got.y, want.y, { atol: 1e-5, rtol: 1e-5, name });
        assertClose(got.stats, want.stats, { atol: 1e-5, rtol: 1e-5, name: `${name} stats` });

        const back = layerNormBackwardReference(shape, x, want.stats, dOut, weight);
        const kernel = backward(shape, affine);
        const grads = await runKernel(device, kernel, {
          x,
          stats: want.stats,
          dOut,
          ...(affine ? { weight: weight! } : {}),
        });
        // with one column dx is 0 times rstd = 1 / sqrt(eps): what is left of x - mean is scaled up by 316
        assertClose(grads.dx, back.dx, { atol: n === 1 ? 1e-3 : 2e-5, rtol: 1e-4, name });
        if (!affine) continue;
        const strips = kernel.sizes.dWeight / n;
        const dWeight = columnSumReference(strips, n, grads.dWeight).y;
        const dBias = columnSumReference(strips, n, grads.dBias).y;
        const atol = 1e-5 * Math.sqrt(rows);
        assertClose(dWeight, back.dWeight, { atol, rtol: 1e-5, name: `${name} dw` });
        assertClose(dBias, back.dBias, { atol, rtol: 1e-5, name: `${name} db` });
      }
    }
  });
}

gpuTest("layer_norm covers more rows than one dimension of workgroups holds", async (device) => {
  const shape = { rows: 66001, n: 2, eps: 1e-5, weight: false, bias: false };
  const x = testValues(2 * shape.rows);
  const { y } = await runKernel(device, layerNormPerWorkgroup(shape), { x });
  // two nearly equal numbers: their difference is exact, their mean is not
  assertClose(y, layerNormReference(shape, x).y, { atol: 2e-4 });
});

test("layer_norm chooses by adapter class and width", () => {
  const software = { ...DEFAULT_TARGET, adapterClass: "software" as const };
  assertEquals(layerNormVariant({ n: 192 }, software), "invocation");
  assertEquals(layerNormVariant({ n: 192 }, DEFAULT_TARGET), "workgroup");
  assertEquals(layerNormVariant({ n: 5000 }, DEFAULT_TARGET), "invocation");
});
