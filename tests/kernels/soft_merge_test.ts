import {
  dotsReadable,
  dotsReference,
  mergeFlops,
  type MergeShape,
  mergeSizes,
  slotRow,
  toSlotsReadable,
  toSlotsReference,
  toTokensReadable,
  toTokensReference,
} from "../../kernels/soft_merge.ts";
import {
  dots,
  dotsTiled,
  type MergeTile,
  mergeTile,
  toSlots,
  toSlotsTiled,
  toTokens,
  toTokensTiled,
} from "../../kernels/soft_merge_tiled.ts";
import { columnSumReference } from "../../kernels/column_sum.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

const SHAPES: MergeShape[] = [
  { batch: 1, tokens: 1, slots: 1, perExpert: 1, dim: 4 },
  { batch: 3, tokens: 17, slots: 10, perExpert: 2, dim: 12 },
  { batch: 2, tokens: 9, slots: 15, perExpert: 1, dim: 64 },
  { batch: 1, tokens: 33, slots: 9, perExpert: 9, dim: 8 },
];
const SOFTWARE = { ...DEFAULT_TARGET, adapterClass: "software" as const };
const ODD: MergeShape = { batch: 2, tokens: 7, slots: 6, perExpert: 3, dim: 5 };

function inputs(shape: MergeShape) {
  const { tokenRows, slotRows, weights } = mergeSizes(shape);
  return { x: testValues(tokenRows), v: testValues(slotRows, 2), weights: testValues(weights, 3) };
}

gpuTest("soft_merge agrees with the plain loops, one output per invocation", async (device) => {
  for (const shape of [...SHAPES, ODD]) {
    const { x, v, weights } = inputs(shape);
    const { u } = await runKernel(device, toSlotsReadable(shape), { weights, x });
    assertClose(u, toSlotsReference(shape, weights, x).u, { atol: 1e-5, name: "to slots" });
    const { o } = await runKernel(device, toTokensReadable(shape), { weights, v });
    assertClose(o, toTokensReference(shape, weights, v).o, { atol: 1e-5, name: "to tokens" });
    const { g } = await runKernel(device, dotsReadable(shape), { x, v });
    assertClose(g, dotsReference(shape, x, v).g, { atol: 2e-5, name: "dots" });
  }
});

gpuTest("soft_merge agrees with the plain loops in register tiles", async (device) => {
  const tiles: MergeTile[] = [
    { rows: 4, columns: 1, size: 64 },
    { rows: 8, columns: 2, size: 8 },
    { rows: 8, columns: 8, size: 8 },
  ];
  for (const shape of SHAPES) {
    const { x, v, weights } = inputs(shape);
    for (const tile of tiles) {
      const { g } = await runKernel(device, dotsTiled(shape, tile), { x, v });
      assertClose(g, dotsReference(shape, x, v).g, { atol: 2e-5, name: "dots" });
      if (shape.dim / 4 % tile.columns !== 0) continue;
      const { u } = await runKernel(device, toSlotsTiled(shape, tile), { weights, x });
      assertClose(u, toSlotsReference(shape, weights, x).u, { atol: 1e-5, name: "to slots" });
      const { o } = await runKernel(device, toTokensTiled(shape, tile), { weights, v });
      assertClose(o, toTokensReference(shape, weights, v).o, { atol: 1e-5, name: "to tokens" });
    }
  }
});

gpuTest("soft_merge.to_slots cuts one image into strips and scales its tokens", async (device) => {
  const tokens = 50, strips = 4;
  for (const dim of [8, 5]) {
    const strip = { batch: strips, tokens: 13, slots: 6, perExpert: 6, dim };
    const whole = { ...strip, batch: 1, tokens };
    const { x, weights } = inputs(whole);
    const scale = testValues(tokens, 4);
    const scaled = x.map((value, i) => value * scale[Math.floor(i / dim)]);
    const want = toSlotsReference(whole, weights, scaled).u;
    const options = { scaled: true, totalTokens: tokens };
    for (const adapterClass of ["discrete", "software"] as const) {
      const kernel = toSlots(strip, { ...DEFAULT_TARGET, adapterClass }, options);
      const { u } = await runKernel(device, kernel, { weights, scale, x });
      assertClose(columnSumReference(strips, 6 * dim, u).y, want, { atol: 2e-5 });
    }
  }
});

gpuTest("soft_merge covers more outputs than one dimension of workgroups holds", async (device) => {
  const shape = { batch: 1, tokens: 1_050_000, slots: 1, perExpert: 1, dim: 4 };
  const weights = testValues(shape.tokens), v = testValues(4, 2);
  for (
    const kernel of [toTokensReadable(shape), toTokensTiled(shape, mergeTile(shape, SOFTWARE)!)]
  ) {
    const { o } = await runKernel(device, kernel, { weights, v });
    assertClose(o, toTokensReference(shape, weights, v).o, { atol: 1e-6 });
  }
});

test("soft_merge keeps each expert's rows together", () => {
  const shape = { batch: 2, tokens: 1, slots: 6, perExpert: 2, dim: 1 };
  const rows = [0, 1].map((b) => [0, 1, 2, 3, 4, 5].map((s) => slotRow(shape, b, s)));
  assertEquals(rows, [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]]);
});

test("soft_merge chooses tiles that divide a row, and states what it costs", () => {
  for (const dim of [4, 12, 20, 64, 192, 384]) {
    for (const adapterClass of ["discrete", "integrated", "software"] as const) {
      const target = { ...DEFAULT_TARGET, adapterClass };
      assertEquals(dim / 4 % mergeTile({ dim }, target)!.columns, 0);
      const shape = { ...SHAPES[1], dim };
      for (const kernel of [toSlots(shape, target), toTokens(shape, target), dots(shape, target)]) {
        assert(kernel.program.code.split("\n").length < 300);
        assertEquals(kernel.flops, mergeFlops(shape));
      }
    }
  }
  assertEquals(mergeTile({ dim: 5 }, DEFAULT_TARGET), null);
});
