/** Settings of layers, schedules and training that make no sense: each is named where it is given. */
import { DTypeError, ShapeError } from "../../engine/errors.ts";
import { VisionTransformer, VisionTransformerMoe } from "../../models/mod.ts";
import {
  AdamW,
  Attention,
  constantSchedule,
  Experts,
  init,
  LayerNorm,
  Linear,
  Mlp,
  Parameter,
  PatchEmbed,
  SoftMoe,
  SpheroMoe,
  stepDecay,
  train,
  type TrainOptions,
  warmupCosine,
} from "../../nn/mod.ts";
import { assertRejects, assertThrows, gpuTest, test } from "../harness.ts";

const SPHERO = { coreExperts: 1, univExperts: 2 };
const CASES: [string, () => unknown][] = [
  ["Parameter: [2, 0] is no shape", () => new Parameter([2, 0], init.zeros)],
  ["Linear: inputs is NaN, needs a whole number of 1 or more", () => new Linear(NaN, 2)],
  ["Linear: outputs is 1.5", () => new Linear(2, 1.5)],
  ["LayerNorm: dim is -1", () => new LayerNorm(-1)],
  ["LayerNorm: eps is -1, needs a finite number of 0 or more", () => new LayerNorm(2, -1)],
  ["Linear: outputs is 0", () => new Mlp(4, 0)],
  ["Attention: heads is 0", () => new Attention(4, 0)],
  ["Attention: dim 6 is not divisible by 4 heads", () => new Attention(6, 4)],
  [
    "Attention: attnDrop is 2, needs a number in [0, 1]",
    () => new Attention(4, 2, { attnDrop: 2 }),
  ],
  ["PatchEmbed: patchSize is 0", () => new PatchEmbed(1, 0, 4)],
  ["Experts: count is 0", () => new Experts(0, 4, 4)],
  ["SoftMoe: experts is 0", () => new SoftMoe(4, { experts: 0 })],
  ["SpheroMoe: coreExperts is 0", () => new SpheroMoe(4, { ...SPHERO, coreExperts: 0 })],
  ["SpheroMoe: slotsPerExpert is 0.5", () => new SpheroMoe(4, { ...SPHERO, slotsPerExpert: 0.5 })],
  ["SpheroMoe: noiseMult is NaN", () => new SpheroMoe(4, { ...SPHERO, noiseMult: NaN })],
  ["hidden neurons of an MLP is 0", () => new VisionTransformer({ mlpRatio: 0 })],
  ["VisionTransformer: normEps is -1", () => new VisionTransformer({ normEps: -1 })],
  ["VisionTransformerMoe: noiseMult is -1", () => new VisionTransformerMoe({ noiseMult: -1 })],
  ["warmupCosine(): lr is NaN", () => warmupCosine({ lr: NaN, steps: 5 })],
  ["stepDecay(): factor is -1", () => stepDecay({ lr: 1, milestones: [], factor: -1 })],
  ["constantSchedule(): lr is Infinity", () => constantSchedule(Infinity)],
];

test("settings that make no sense are ShapeErrors that name them", () => {
  for (const [message, make] of CASES) assertThrows(make, ShapeError, message);
});

test("a state dict must be a map of f32 values", () => {
  const model = new Linear(1, 1, { bias: false });
  // deno-lint-ignore no-explicit-any -- what the compiler would refuse
  const load = (values: any) => () => model.loadStateDict(values);
  assertThrows(load({ weight: 1 }), DTypeError, "Linear.loadStateDict(): needs a Map");
  const doubles = new Map([["weight", { shape: [1, 1], data: new Float64Array(1) }]]);
  assertThrows(load(doubles), DTypeError, `the data of "weight" must be a Float32Array`);
});

gpuTest("train() and clipGradNorm() refuse numbers that are none", async (device) => {
  const model = await new Linear(1, 1).to(device);
  const optimizer = new AdamW(model.namedParameters());
  assertThrows(() => optimizer.clipGradNorm(-1), ShapeError, "AdamW.clipGradNorm(): maxNorm is -1");
  const options = {
    device,
    model,
    optimizer,
    steps: 1,
    batches: noBatches(),
    loss: (x) => x,
  } as TrainOptions;
  const checkpoint = { every: 0, save: () => Promise.resolve() };
  const cases: [Partial<TrainOptions>, string][] = [
    [{ steps: NaN }, "train(): steps is NaN, needs a whole number of 0 or more"],
    [{ reportEvery: 0 }, "train(): reportEvery is 0"],
    [{ accumulate: 0 }, "train(): accumulate is 0"],
    [{ checkpoint }, "train(): checkpoint.every is 0"],
  ];
  for (const [change, message] of cases) {
    await assertRejects(() => train({ ...options, ...change }), ShapeError, message);
  }
  optimizer.dispose();
  model.dispose();
});

async function* noBatches(): TrainOptions["batches"] {}
