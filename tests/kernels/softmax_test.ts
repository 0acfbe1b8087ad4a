import { type AxisLanes, axisLanes, type AxisView } from "../../kernels/axis_view.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import {
  softmaxBackwardPerInvocation,
  softmaxBackwardReference,
  softmaxPerInvocation,
  softmaxReference,
} from "../../kernels/softmax.ts";
import {
  softmaxBackwardPerWorkgroup,
  softmaxForward,
  softmaxPerWorkgroup,
  softmaxVariant,
} from "../../kernels/softmax_workgroup.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import type { Device } from "../../engine/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

const VIEWS: AxisView[] = [
  { outer: 1, n: 1, inner: 1 },
  { outer: 37, n: 1, inner: 1 },
  { outer: 33, n: 197, inner: 1 },
  { outer: 5, n: 64, inner: 1 },
  { outer: 3, n: 49, inner: 24 },
  { outer: 2, n: 7, inner: 5 },
  { outer: 1, n: 2051, inner: 2 },
  { outer: 2, n: 513, inner: 1 },
];

async function compare(
  device: Device,
  view: AxisView,
  log: boolean,
  forward: Kernel,
  backward: Kernel,
): Promise<void> {
  const x = testValues(view.outer * view.n * view.inner).map((v) => 3 * v);
  const dOut = testValues(x.length, 2);
  const name = `${forward.program.name} ${forward.program.variant} ${JSON.stringify(view)}`;
  const want = softmaxReference(view, x, { log });
  const { y } = await runKernel(device, forward, { x });
  assertClose(y, want.y, { atol: 1e-6, rtol: 1e-5, name });
  const back = softmaxBackwardReference(view, want.y, dOut, { log });
  const { dx } = await runKernel(device, backward, { y: want.y, dOut });
  // the sum over a row rounds at the size of its largest terms, about 1e-7 of each of n
  assertClose(dx, back.dx, { atol: 2e-5, rtol: 1e-5, name: `${name} backward` });
}

for (const log of [false, true]) {
  const title = log ? "log_softmax" : "softmax";
  gpuTest(`${title} agrees with the plain loop, one row or four per invocation`, async (device) => {
    for (const view of VIEWS) {
      for (const lanes of new Set<AxisLanes>(["one", axisLanes(view)])) {
        await compare(
          device,
          view,
          log,
          softmaxPerInvocation(view, { log }, lanes),
          softmaxBackwardPerInvocation(view, { log }, lanes),
        );
      }
    }
  });

  gpuTest(`${title} agrees with the plain loop, a workgroup per row`, async (device) => {
    for (const view of VIEWS) {
      await compare(
        device,
        view,
        log,
        softmaxPerWorkgroup(view, { log }),
        softmaxBackwardPerWorkgroup(view, { log }),
      );
    }
  });
}

gpuTest("softmax covers more rows than one dimension of workgroups holds", async (device) => {
  const view = { outer: 70001, n: 2, inner: 1 };
  const x = testValues(2 * view.outer);
  const { y } = await runKernel(device, softmaxPerWorkgroup(view, {}), { x });
  assertClose(y, softmaxReference(view, x).y, { atol: 1e-6 });
});

test("softmax chooses a variant that the default limits allow", () => {
  for (const view of VIEWS) {
    for (const adapterClass of ["discrete", "integrated", "software"] as const) {
      const target = { ...DEFAULT_TARGET, adapterClass };
      const { program } = softmaxForward(view, target);
      assert(program.workgroupSize <= 256 && program.workgroupBytes <= 16384);
    }
  }
  const software = { ...DEFAULT_TARGET, adapterClass: "software" as const };
  assertEquals(softmaxVariant({ outer: 4096, n: 197, inner: 1 }, software), "invocation");
  assertEquals(softmaxVariant({ outer: 4096, n: 197, inner: 1 }, DEFAULT_TARGET), "workgroup");
});
