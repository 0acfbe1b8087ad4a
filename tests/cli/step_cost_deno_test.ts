/** What `task step-cost` measures and says. */
import { measureStep, type StepCosts } from "../../cli/step_cost/measure.ts";
import { stepCostMarkdown, stepCostTable } from "../../cli/step_cost/summary.ts";
import { add, requestDevice } from "../../engine/mod.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

denoTest("a step is measured both ways, its time and its memory", async () => {
  using device = await requestDevice();
  const costs = await measureStep(device, {
    name: "a chain",
    inputs: [[new Float32Array(64), [64]]],
    run: (x) => {
      for (let i = 0; i < 60; i++) x = add(x, x);
      return x;
    },
  }, 5);
  const { eager, replayed } = costs;
  assertEquals([eager.dispatches, replayed.dispatches], [60, 60]);
  assert(eager.peakBytes > 0 && replayed.peakBytes > 0, JSON.stringify(costs));
  assert(replayed.milliseconds > 0, JSON.stringify(costs));
});

denoTest("the summary of step costs says how they were taken", () => {
  const cost = { milliseconds: 2, dispatches: 100, peakBytes: 3 << 20 };
  const costs: StepCosts[] = [
    {
      name: "a step",
      eager: { ...cost, milliseconds: 8 },
      replayed: { ...cost, peakBytes: 1 << 20 },
    },
  ];
  const row =
    "| a step | 100 | 8.00 ms, 80.0 µs each | 2.00 ms, 20.0 µs each | 4.0 | 3.00 MiB | 1.00 MiB |";
  assertEquals(stepCostTable(costs).split("\n")[2], row);
  const text = stepCostMarkdown(costs, {
    batch: 4,
    rounds: 30,
    adapter: "an adapter [software]",
    runtime: "Deno",
    date: "2025-01-01",
    clock: "by a clock",
  });
  for (const part of ["batch 4", "30 steps each way", "by a clock", "2025-01-01", row]) {
    assert(text.includes(part), `${part} is not in ${text}`);
  }
});
