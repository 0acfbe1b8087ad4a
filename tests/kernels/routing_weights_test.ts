import { type AxisLanes, axisLanes, type AxisView } from "../../kernels/axis_view.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import {
  routingBackwardPerInvocation,
  routingBackwardReference,
  type RoutingKind,
  type RoutingOptions,
  routingPerInvocation,
  routingReference,
  temperatureGradient,
} from "../../kernels/routing_weights.ts";
import {
  routingBackwardPerWorkgroup,
  routingPerWorkgroup,
  routingVariant,
} from "../../kernels/routing_weights_workgroup.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import type { Device } from "../../engine/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

const VIEWS: AxisView[] = [
  { outer: 1, n: 1, inner: 1 },
  { outer: 33, n: 31, inner: 1 },
  { outer: 9, n: 24, inner: 1 },
  { outer: 3, n: 49, inner: 24 },
  { outer: 2, n: 7, inner: 5 },
  { outer: 3, n: 294, inner: 1 },
];

async function compare(
  device: Device,
  view: AxisView,
  kind: RoutingKind,
  forward: (options: RoutingOptions) => Kernel,
  backward: (options: RoutingOptions) => Kernel,
): Promise<void> {
  const size = view.outer * view.n * view.inner, t = 0.4;
  const c = testValues(size), g = testValues(size, 2);
  for (const noise of [undefined, testValues(size, 3)]) {
    const options = { kind, noise: noise !== undefined };
    const logits = { c, temperature: [t], ...(noise && { noise }) };
    const want = routingReference(view, kind, c, t, noise).weights;
    const kernel = forward(options);
    const name = `${kind} ${kernel.program.variant} ${JSON.stringify(view)}`;
    const { weights, stats } = await runKernel(device, kernel, logits);
    assertClose(weights, want, { atol: 2e-6, rtol: 1e-5, name });
    const only = await runKernel(device, forward({ ...options, weights: false }), logits);
    assertEquals(only.stats, stats, "statistics do not depend on whether weights are written");

    const back = routingBackwardReference(view, kind, c, t, want, g);
    const got = await runKernel(device, backward(options), { ...logits, stats, g });
    assertClose(got.weights, want, { atol: 2e-6, rtol: 1e-5, name: `${name} again` });
    assertClose(got.dc, back.dc, { atol: 1e-5, rtol: 1e-4, name: `${name} dc` });
    const partials = got.partials;
    for (const [accumulate, before] of [[0, NaN], [1, 5]] as const) {
      const sum = temperatureGradient(partials.length, accumulate);
      const { dt } = await runKernel(device, sum, { partials, temperature: [t], dt: [before] });
      const wanted = back.dt + (accumulate ? before : 0);
      assertClose(dt, [wanted], { atol: 1e-5 * size ** 0.5, rtol: 1e-5, name: `${name} dt` });
    }
  }
}

for (const kind of ["softmax", "entmax15"] as const) {
  gpuTest(
    `routing_weights (${kind}) agree with the plain loop, row per invocation`,
    async (device) => {
      for (const view of VIEWS) {
        for (const lanes of new Set<AxisLanes>(["one", axisLanes(view)])) {
          await compare(
            device,
            view,
            kind,
            (options) => routingPerInvocation(view, options, lanes),
            (options) => routingBackwardPerInvocation(view, options, lanes),
          );
        }
      }
    },
  );

  gpuTest(
    `routing_weights (${kind}) agree with the plain loop, row per workgroup`,
    async (device) => {
      for (const view of VIEWS) {
        await compare(
          device,
          view,
          kind,
          (options) => routingPerWorkgroup(view, options),
          (options) => routingBackwardPerWorkgroup(view, options),
        );
      }
    },
  );
}

gpuTest(
  "the gradient of a low temperature does not drown in the scores' rounding",
  async (device) => {
    const view = { outer: 4, n: 11, inner: 6 }, size = 264, t = Math.fround(0.01);
    const c = testValues(size), g = testValues(size, 2);
    for (const kind of ["softmax", "entmax15"] as const) {
      const { weights } = routingReference(view, kind, c, t);
      const { dt } = routingBackwardReference(view, kind, c, t, weights, g);
      const logits = { c, temperature: [t] }, options = { kind, noise: false };
      const { stats } = await runKernel(device, routingPerInvocation(view, options, "one"), logits);
      const kernels = [
        routingBackwardPerInvocation(view, options, "one"),
        routingBackwardPerWorkgroup(view, options),
      ];
      for (const kernel of kernels) {
        const { partials } = await runKernel(device, kernel, { ...logits, stats, g });
        const got = -partials.reduce((a, b) => a + b, 0) / t;
        const name = `${kind} ${kernel.program.variant}`;
        // exp(l - m) has the error of l = c / T; the scores' own rounding, divided by T^2, would show as 1e-4 and more
        assertClose([got], [dt], { atol: 0, rtol: 1e-5, name });
      }
    }
  },
);

test("routing_weights choose workgroups on GPUs for rows side by side only", () => {
  const software = { ...DEFAULT_TARGET, adapterClass: "software" as const };
  assertEquals(routingVariant({ outer: 3136, n: 294, inner: 1 }, DEFAULT_TARGET), "workgroup");
  assertEquals(routingVariant({ outer: 8, n: 197, inner: 294 }, DEFAULT_TARGET), "invocation");
  assertEquals(routingVariant({ outer: 3136, n: 294, inner: 1 }, software), "invocation");
});
