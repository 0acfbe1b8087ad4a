import {
  supportBySlot,
  supportByToken,
  supportMerge,
  supportScores,
} from "../../kernels/entmax_support.ts";
import {
  entmaxCombineVariant,
  mergePerWorkgroup,
  scoresPerWorkgroup,
} from "../../kernels/entmax_support_workgroup.ts";
import {
  routingBackwardReference,
  routingPerInvocation,
  routingReference,
} from "../../kernels/routing_weights.ts";
import {
  dotsReference,
  type MergeShape,
  mergeSizes,
  toSlotsReference,
  toTokensReference,
} from "../../kernels/soft_merge.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

const SHAPES: MergeShape[] = [
  { batch: 1, tokens: 1, slots: 1, perExpert: 1, dim: 1 },
  { batch: 2, tokens: 9, slots: 12, perExpert: 2, dim: 16 },
  { batch: 3, tokens: 7, slots: 65, perExpert: 1, dim: 67 },
  { batch: 1, tokens: 530, slots: 20, perExpert: 20, dim: 4 }, // more tokens than one list of a workgroup holds
  { batch: 1, tokens: 5, slots: 600, perExpert: 4, dim: 300 }, // more slots, and long rows
];

/** Inputs and wanted results of one shape, with or without noise. */
function wanted(shape: MergeShape, noisy: boolean, t = 0.3) {
  const { tokenRows, slotRows, weights: size } = mergeSizes(shape);
  const view = { outer: shape.batch * shape.tokens, n: shape.slots, inner: 1 };
  const c = testValues(size), noise = noisy ? testValues(size, 4) : undefined;
  const v = testValues(slotRows, 2), dOut = testValues(tokenRows, 3);
  const { weights } = routingReference(view, "entmax15", c, t, noise);
  const { g } = dotsReference(shape, dOut, v);
  const { dc, dt } = routingBackwardReference(view, "entmax15", c, t, weights, g);
  return {
    logits: { c, temperature: [t], ...(noise && { noise }) },
    view,
    v,
    dOut,
    o: toTokensReference(shape, weights, v).o,
    dv: toSlotsReference(shape, weights, dOut).u,
    dc,
    dt,
    t,
  };
}

function compareScores(
  shape: MergeShape,
  got: Record<string, Float32Array>,
  want: ReturnType<typeof wanted>,
): void {
  const name = JSON.stringify(shape);
  // dot products of dim numbers, divided by the temperature
  const atol = 2e-5 * Math.sqrt(shape.dim);
  assertClose(got.dc, want.dc, { atol, rtol: 1e-4, name: `${name} dc` });
  const dt = -got.partials.reduce((a, b) => a + b, 0) / want.t;
  const terms = want.dc.reduce((sum, value) => sum + Math.abs(value), 0) / want.t;
  assertClose([dt], [want.dt], { atol: 1e-6 * terms + 1e-5, name: `${name} dt` });
}

const noises = [false, true];

/** The members of every list, up to its end; what stands behind an end means nothing. */
function members(support: Float32Array, { batch, tokens, slots }: MergeShape): number[][] {
  return Array.from({ length: batch * tokens }, (_, n) => {
    const list = support.subarray(2 * n * slots, 2 * (n + 1) * slots);
    const end = list.findIndex((d, i) => i % 2 === 1 && d === 0);
    return [...list.subarray(0, end < 0 ? list.length : end - 1)];
  });
}

gpuTest("entmax_support, listed in memory, agrees with dense products", async (device) => {
  for (const shape of SHAPES) {
    for (const noisy of noises) {
      const want = wanted(shape, noisy), { logits, v, dOut } = want;
      const name = JSON.stringify(shape);
      const first = await runKernel(device, supportByToken(shape, noisy, true), logits);
      const { stats, support } = first;
      const again = await runKernel(device, supportByToken(shape, noisy, false), {
        ...logits,
        stats,
      });
      assertEquals(
        members(again.support, shape),
        members(support, shape),
        "the backward's lists are the forward's",
      );

      const o = await runKernel(device, supportMerge(shape, "tokens"), { support, source: v });
      assertClose(o.y, want.o, { atol: 1e-5, rtol: 1e-5, name: `${name} to tokens` });
      const columns = await runKernel(device, supportBySlot(shape, noisy), { ...logits, stats });
      const slots = { support: columns.support, source: dOut };
      const dv = await runKernel(device, supportMerge(shape, "slots"), slots);
      assertClose(dv.y, want.dv, { atol: 2e-5, rtol: 1e-5, name: `${name} to slots` });

      const { c, temperature } = logits;
      const inputs = { support, c, temperature, dOut, v };
      compareScores(shape, await runKernel(device, supportScores(shape), inputs), want);
    }
  }
});

gpuTest("entmax_support, a workgroup per row, agrees with dense products", async (device) => {
  for (const shape of SHAPES) {
    for (const noisy of noises) {
      const want = wanted(shape, noisy), { logits, v, dOut } = want;
      const name = JSON.stringify(shape);
      const options = { kind: "entmax15", noise: noisy, weights: false } as const;
      const statistics = routingPerInvocation(want.view, options, "one");
      const { stats } = await runKernel(device, statistics, logits);

      const forward = mergePerWorkgroup(shape, "tokens", noisy);
      const o = await runKernel(device, forward, { ...logits, stats, source: v });
      assertClose(o.y, want.o, { atol: 1e-5, rtol: 1e-5, name: `${name} to tokens` });
      const backward = mergePerWorkgroup(shape, "slots", noisy);
      const dv = await runKernel(device, backward, { ...logits, stats, source: dOut });
      assertClose(dv.y, want.dv, { atol: 2e-5, rtol: 1e-5, name: `${name} to slots` });

      const inputs = { ...logits, stats, dOut, v };
      compareScores(shape, await runKernel(device, scoresPerWorkgroup(shape, noisy), inputs), want);
    }
  }
});

gpuTest(
  "entmax_support: a low temperature's gradient is as exact as the scores",
  async (device) => {
    const shape = { batch: 2, tokens: 31, slots: 11, perExpert: 1, dim: 5 };
    const { logits, view, v, dOut, dt, t } = wanted(shape, false, Math.fround(0.01));
    const { stats } = await runKernel(
      device,
      routingPerInvocation(view, { kind: "entmax15", noise: false }, "one"),
      logits,
    );
    const list = supportByToken(shape, false, false);
    const { support } = await runKernel(device, list, { ...logits, stats });
    const inputs = { ...logits, stats, support, dOut, v };
    for (const kernel of [supportScores(shape), scoresPerWorkgroup(shape, false)]) {
      const { partials } = await runKernel(device, kernel, inputs);
      const got = -partials.reduce((a, b) => a + b, 0) / t;
      assertClose([got], [dt], { atol: 0, rtol: 1e-5, name: kernel.program.variant });
    }
  },
);

test("the entmax combine is dense for few slots, else sparse by adapter class", () => {
  const software = { ...DEFAULT_TARGET, adapterClass: "software" as const };
  const shape = { batch: 8, tokens: 197, slots: 294 };
  assertEquals(entmaxCombineVariant({ ...shape, slots: 24 }, software), "dense");
  assertEquals(entmaxCombineVariant({ ...shape, slots: 24 }, DEFAULT_TARGET), "dense");
  assertEquals(entmaxCombineVariant(shape, software), "lists");
  assertEquals(entmaxCombineVariant(shape, DEFAULT_TARGET), "workgroup");
  assertEquals(entmaxCombineVariant({ ...shape, batch: 2 ** 17 }, software), "workgroup");
});
