import {
  asMerge,
  cosineScoresReadable,
  cosineScoresReference,
  queryStrips,
} from "../../kernels/cosine_routing.ts";
import { dotsTiled } from "../../kernels/soft_merge_tiled.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

gpuTest("cosine_routing agrees with the plain loop in all variants", async (device) => {
  for (const [tokens, slots, dim] of [[1, 1, 1], [17, 9, 12], [50, 24, 64], [3, 131, 7]]) {
    const shape = { tokens, slots, dim }, eps = 1e-6;
    const x = testValues(tokens * dim), v = testValues(slots * dim, 2);
    if (tokens > 1) x.fill(0, 0, dim); // a zero token scores zero
    const want = cosineScoresReference(shape, eps, x, v);
    const kernels = [cosineScoresReadable(shape, eps)];
    if (dim % 4 === 0) {
      kernels.push(dotsTiled(asMerge(shape), { rows: 8, columns: 8, size: 8 }, eps));
      kernels.push(dotsTiled(asMerge(shape), { rows: 4, columns: 4, size: 64 }, eps));
    }
    for (const kernel of kernels) {
      const { g, scale } = await runKernel(device, kernel, { x, v });
      const name = `${kernel.program.variant} [${tokens}, ${slots}, ${dim}]`;
      assertClose(g, want.scores, { atol: 1e-6, rtol: 1e-5, name });
      assertClose(scale, want.scale, { rtol: 1e-5, name: `${name} scale` });
    }
  }
});

test("cosine_routing cuts the sum over tokens into strips that cover them", () => {
  for (const adapterClass of ["discrete", "software"] as const) {
    for (const tokens of [1, 63, 65, 1576, 3136]) {
      const target = { ...DEFAULT_TARGET, adapterClass };
      const cut = queryStrips({ tokens, slots: 24, dim: 64 }, target);
      assert(cut.strips * cut.tokens >= tokens && (cut.strips - 1) * cut.tokens < tokens);
    }
  }
});
