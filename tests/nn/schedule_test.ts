/** Schedules: values at the corners. */
import { ShapeError } from "../../engine/mod.ts";
import { constantSchedule, stepDecay, warmupCosine } from "../../nn/mod.ts";
import { assert, assertClose, assertEquals, assertThrows, test } from "../harness.ts";

test("warmupCosine rises linearly, falls along half a cosine, then stays", () => {
  const rate = warmupCosine({ lr: 1, steps: 14, warmupSteps: 4, endLr: 0.2 });
  assertClose([0, 1, 2, 3, 4].map(rate), [0.2, 0.4, 0.6, 0.8, 1], { rtol: 1e-12 });
  assertClose([9, 14, 100].map(rate), [0.6, 0.2, 0.2], { rtol: 1e-12 });
  for (let step = 4; step < 14; step++) assert(rate(step) > rate(step + 1));
  assertClose([warmupCosine({ lr: 1, steps: 2, warmupSteps: 1, startLr: 0.5 })(0)], [0.5], {});
  assertThrows(() => warmupCosine({ lr: 1, steps: 4, warmupSteps: 4 }), ShapeError, "4 steps");
});

test("stepDecay multiplies at milestones and warms up", () => {
  const rate = stepDecay({ lr: 1, milestones: [10, 20], warmupSteps: 4, warmupFactor: 0.1 });
  assertClose([0, 2, 4, 9, 10, 19, 20].map(rate), [0.1, 0.55, 1, 1, 0.1, 0.1, 0.01], {
    rtol: 1e-12,
  });
  assertEquals(constantSchedule(0.3)(1000), 0.3);
});
