import type { Device, Target } from "../../engine/mod.ts";
import { run } from "../../engine/dispatch.ts";
import type { AxisView } from "../../kernels/axis_view.ts";
import { planReduce, reduce, type ReducePass, reduceReference } from "../../kernels/reduce.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, gpuTest, test } from "../harness.ts";

const VIEWS: AxisView[] = [
  { outer: 1, n: 1, inner: 1 },
  { outer: 3, n: 31, inner: 1 },
  { outer: 3, n: 64, inner: 1 },
  { outer: 2, n: 1025, inner: 1 },
  { outer: 2, n: 1028, inner: 1 },
  { outer: 3, n: 37, inner: 5 },
  { outer: 3, n: 37, inner: 8 },
];

async function reduced(device: Device, x: Float32Array, f: "sum" | "max", pass: ReducePass) {
  const { view: { outer, inner }, splits } = pass;
  const y = device.empty([outer, splits, inner]);
  run(reduce(f, pass), { x: device.tensor(x), y });
  return await y.data();
}

gpuTest("reduce: every variant equals the plain loop", async (device) => {
  for (const view of VIEWS) {
    const { outer, n, inner } = view;
    const x = testValues(outer * n * inner, n);
    for (const f of ["sum", "max"] as const) {
      const { y } = reduceReference(f, x, view);
      const close = { atol: 1e-7 * n + 1e-6, name: `${f} of ${JSON.stringify(view)}` };
      assertClose(
        await reduced(device, x, f, { view, variant: "serial", splits: 1, lanes: 1 }),
        y,
        close,
      );
      if (inner === 1) {
        const pass = { view, variant: "workgroup", splits: 1, lanes: 1 } as const;
        assertClose(await reduced(device, x, f, pass), y, close);
      }
      // The second pass of the split ones is checked by a loop, so that the first is judged alone.
      for (const lanes of [1, 2, 4]) {
        const pass = { view, variant: "serial", splits: 4, lanes } as const;
        const partial = await reduced(device, x, f, pass);
        const whole = reduceReference(f, partial, { outer, n: 4, inner });
        assertClose(whole.y, y, close);
      }
    }
  }
});

gpuTest(
  "reduce: scale and accumulate finish a sum, and what is overwritten may be NaN",
  async (device) => {
    const view = { outer: 2, n: 3, inner: 1 };
    const x = device.tensor([1, 2, 3, 4, 5, 6]), y = device.full([2], NaN);
    for (const variant of ["serial", "workgroup"] as const) {
      const pass = { view, variant, splits: 1, lanes: 1 };
      run(reduce("sum", pass, { scale: 0.5, accumulate: 0 }), { x, y });
      assertEquals(await y.data(), Float32Array.of(3, 7.5));
      run(reduce("sum", pass, { scale: 2, accumulate: 1 }), { x, y });
      assertEquals(await y.data(), Float32Array.of(15, 37.5));
    }
  },
);

test("planReduce() reaches every output with passes whose shapes fit together", () => {
  const classes = ["software", "integrated", "discrete"] as const;
  for (const adapterClass of classes) {
    const target: Target = { ...DEFAULT_TARGET, adapterClass };
    for (const outer of [1, 7, 1000]) {
      for (const n of [1, 31, 33, 5000, 1_000_003]) {
        for (const inner of [1, 3, 192]) {
          const passes = planReduce({ outer, n, inner }, target);
          let entries = n;
          for (const { view, splits, lanes } of passes) {
            assertEquals(splits % lanes, 0);
            assertEquals(view, { outer, n: entries, inner });
            entries = splits;
          }
          assertEquals(entries, 1);
          assertEquals(passes.every((p) => p.variant === "serial" || p.view.inner === 1), true);
        }
      }
    }
  }
});

test("planReduce() splits few long sums, and shares long rows between invocations on a GPU only", () => {
  const software: Target = { ...DEFAULT_TARGET, adapterClass: "software" };
  const plan = (view: AxisView, target: Target) => planReduce(view, target).map((p) => p.variant);
  assertEquals(plan({ outer: 1, n: 1_000_000, inner: 1 }, software), ["serial", "serial"]);
  assertEquals(plan({ outer: 1, n: 1_000_000, inner: 1 }, DEFAULT_TARGET), ["serial", "workgroup"]);
  assertEquals(plan({ outer: 1576, n: 192, inner: 1 }, software), ["serial"]);
  assertEquals(plan({ outer: 1576, n: 192, inner: 1 }, DEFAULT_TARGET), ["workgroup"]);
  assertEquals(plan({ outer: 1, n: 12_608, inner: 192 }, DEFAULT_TARGET), ["serial", "serial"]);
});
