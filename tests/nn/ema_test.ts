/** The average of a model's weights: its rule, in captured steps too, and going on with it. */
import { CheckpointError, ShapeError } from "../../engine/errors.ts";
import { mul, sum } from "../../engine/ops/mod.ts";
import { Ema, Linear, SGD } from "../../nn/mod.ts";
import { assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

gpuTest("Ema follows the weights by its rule, eagerly and in replays", async (device) => {
  const model = await new Linear(3, 2, { bias: false }).to(device, { seed: 4 });
  const optimizer = new SGD(model.namedParameters(), { lr: 0.1 });
  const ema = new Ema(optimizer, 0.3);
  const values = async () => [...(await model.stateDict()).get("weight")!.data];
  const average = async () => [...(await ema.state()).tensors.get("weight")!.data];
  let want = await values();
  assertEquals(await average(), want, "it starts at the weights");
  const step = device.capture(() => {
    optimizer.zeroGrad();
    sum(mul(model.weight, model.weight)).backward();
    optimizer.step();
    ema.update();
  });
  for (let t = 0; t < 4; t++) {
    await step();
    const decay = Math.min(0.3, (1 + t) / (10 + t)), now = await values();
    want = want.map((old, i) => decay * old + (1 - decay) * now[i]);
    assertClose(await average(), want, { rtol: 1e-6, atol: 1e-7 });
  }
  step.dispose();

  const before = await values(), kept = await average();
  ema.swap();
  assertEquals([await values(), await average()], [kept, before]);
  ema.swap();
  assertEquals([await values(), await average()], [before, kept]);

  const state = await ema.state();
  const other = new Ema(optimizer, 0.3);
  other.loadState(state);
  assertEquals((await other.state()).updates, 4);
  assertEquals([...(await other.state()).tensors.get("weight")!.data], kept);
  assertThrows(
    () => other.loadState({ ...state, updates: NaN }),
    CheckpointError,
    "updates is NaN",
  );
  assertThrows(
    () => other.loadState({ updates: 1, tensors: new Map() }),
    CheckpointError,
    "missing",
  );
  assertThrows(() => new Ema(optimizer, 1), ShapeError, "decay must be in [0, 1)");
  for (const one of [ema, other]) one.dispose();
  optimizer.dispose();
  model.dispose();
});
