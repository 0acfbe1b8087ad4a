import { type AxisLanes, axisLanes, type AxisView } from "../../kernels/axis_view.ts";
import {
  entmaxBackwardPerInvocation,
  entmaxBackwardReference,
  entmaxPerInvocation,
  entmaxReference,
  entmaxRounds,
} from "../../kernels/entmax.ts";
import { entmaxBackwardPerWorkgroup, entmaxPerWorkgroup } from "../../kernels/entmax_workgroup.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type { Device } from "../../engine/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

const VIEWS: AxisView[] = [
  { outer: 1, n: 1, inner: 1 },
  { outer: 37, n: 2, inner: 1 },
  { outer: 33, n: 294, inner: 1 },
  { outer: 5, n: 24, inner: 1 },
  { outer: 3, n: 49, inner: 8 },
  { outer: 2, n: 7, inner: 5 },
  { outer: 1, n: 2051, inner: 1 },
];

async function compare(
  device: Device,
  view: AxisView,
  forward: Kernel,
  backward: Kernel,
): Promise<void> {
  const dOut = testValues(view.outer * view.n * view.inner, 2);
  for (const spread of [0.01, 1, 30]) { // nearly flat rows, common ones, nearly one-hot ones
    const x = testValues(dOut.length).map((v) => spread * v);
    const name = `${forward.program.variant} ${JSON.stringify(view)} spread ${spread}`;
    const want = entmaxReference(view, x);
    const { y } = await runKernel(device, forward, { x });
    assertClose(y, want.y, { atol: 1e-6, rtol: 1e-5, name });
    const back = entmaxBackwardReference(view, want.y, dOut);
    const { dx } = await runKernel(device, backward, { y: want.y, dOut });
    assertClose(dx, back.dx, { atol: 2e-6, rtol: 1e-5, name: `${name} backward` });
  }
}

gpuTest("entmax15 agrees with bisection, one row or four per invocation", async (device) => {
  for (const view of VIEWS) {
    for (const lanes of new Set<AxisLanes>(["one", axisLanes(view)])) {
      await compare(
        device,
        view,
        entmaxPerInvocation(view, lanes),
        entmaxBackwardPerInvocation(view, lanes),
      );
    }
  }
});

gpuTest("entmax15 agrees with bisection, a workgroup per row", async (device) => {
  for (const view of VIEWS) {
    await compare(device, view, entmaxPerWorkgroup(view), entmaxBackwardPerWorkgroup(view));
  }
});

gpuTest("entmax15 gives exact zeros, ties equal weights and far rows one-hot", async (device) => {
  const view = { outer: 3, n: 5, inner: 1 };
  const x = [2, 2, 2, 2, 2, 1e4, 0, 0, 9e3, -1e4, 3, 3, -1, -1, -1];
  for (const kernel of [entmaxPerInvocation(view, "one"), entmaxPerWorkgroup(view)]) {
    const { y } = await runKernel(device, kernel, { x });
    assertClose(y.slice(0, 5), [0.2, 0.2, 0.2, 0.2, 0.2], { atol: 1e-7 });
    assertEquals(y.slice(5, 10), Float32Array.of(1, 0, 0, 0, 0));
    assertClose(y.slice(10), [0.5, 0.5, 0, 0, 0], { atol: 1e-7 });
    assertEquals(y.slice(12), new Float32Array(3));
  }
});

test("entmaxRounds() are enough for flat rows, where Newton is slowest", () => {
  for (const n of [1, 2, 5, 37, 294, 1000, 4096, 4097, 65536, 1048576]) {
    let threshold = -1;
    for (let round = 0; round < entmaxRounds(n); round++) {
      threshold += (n * threshold ** 2 - 1) / (2 * n * -threshold);
    }
    const error = Math.abs(n * threshold ** 2 - 1);
    assert(error < 1e-7, `${n}: the weights sum to 1 + ${error}`);
  }
});
