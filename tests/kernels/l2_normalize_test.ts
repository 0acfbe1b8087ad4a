import {
  l2NormalizeBackward,
  l2NormalizeBackwardReference,
  l2NormalizeForward,
  l2NormalizeReference,
  type L2NormalizeVariant,
  l2NormalizeVariant,
} from "../../kernels/l2_normalize.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

gpuTest("l2_normalize agrees with the plain loop in all variants", async (device) => {
  for (const [rows, n] of [[1, 1], [33, 7], [24, 64], [65, 192], [3, 577]]) {
    const variants: L2NormalizeVariant[] = ["readable", "workgroup"];
    if (n % 4 === 0) variants.push("vec4");
    const shape = { rows, n, eps: 1e-6 };
    const x = testValues(rows * n), dOut = testValues(rows * n, 2);
    x.fill(0, 0, n); // a zero row: finite, forward and backward
    const want = l2NormalizeReference(shape, x).y;
    const back = l2NormalizeBackwardReference(shape, x, dOut).dx;
    for (const variant of variants) {
      const name = `${variant} [${rows}, ${n}]`;
      const { y } = await runKernel(device, l2NormalizeForward(shape, variant), { x });
      assertClose(y, want, { atol: 1e-6, rtol: 1e-5, name });
      const { dx } = await runKernel(device, l2NormalizeBackward(shape, variant), { x, dOut });
      // n = 1: dx is the difference of two equal numbers of size 1 / |x|
      assertClose(dx, back, { atol: n === 1 ? 1e-4 : 2e-6, rtol: 1e-5, name: `${name} backward` });
    }
  }
});

test("l2_normalize chooses by adapter class and width", () => {
  const software = { ...DEFAULT_TARGET, adapterClass: "software" as const };
  assertEquals(l2NormalizeVariant({ n: 192 }, software), "vec4");
  assertEquals(l2NormalizeVariant({ n: 7 }, software), "readable");
  assertEquals(l2NormalizeVariant({ n: 192 }, DEFAULT_TARGET), "workgroup");
});
