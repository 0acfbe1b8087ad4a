/** Recipes: what they check, and the rates, decays and steps that they make. */
import {
  groupsOf,
  JETPACK,
  PLAIN,
  type Recipe,
  recipeWith,
  regularised,
  scheduleOf,
  stepsOf,
} from "../../cli/training/recipe.ts";
import { recipeFor, TRAINING } from "../../cli/demo/recipe.ts";
import { DataError, ShapeError } from "../../engine/mod.ts";
import { MOE_VIT_PRESETS, VisionTransformerMoe } from "../../models/mod.ts";
import { warmupCosine } from "../../nn/mod.ts";
import { assertClose, assertEquals, assertThrows, denoTest } from "../harness.ts";

const SMALL = {
  imgSize: 8,
  patchSize: 4,
  embedDim: 8,
  depth: 12,
  numHeads: 2,
  numClasses: 3,
  globalPool: "avg",
  moeLayers: [6, 7, 8, 9, 10, 11],
  coreExperts: 2,
  univExperts: 4,
  slotLayernorm: true,
} as const;

denoTest("JETPACK is the authors' configuration", () => {
  const { batchSize, gradAccumSteps, lr, weightDecay, layerDecay, clipGrad } = JETPACK;
  assertEquals([batchSize * gradAccumSteps, lr, weightDecay, layerDecay, clipGrad], [
    4096,
    4e-3,
    0.05,
    0.6,
    5,
  ]);
  const { smoothing, mixup, cutmix, mixupSwitchProb, reprob, aa, hflip } = JETPACK;
  assertEquals([smoothing, mixup, cutmix, mixupSwitchProb, reprob, aa, hflip], [
    0.1,
    0.8,
    1,
    0.5,
    0.25,
    "rand-m9-mstd0.5-inc1",
    0.5,
  ]);
  const options = regularised(JETPACK, MOE_VIT_PRESETS["V-JetMoE-T"]);
  const { dropPathRate, moeDroprate, moeDropPathRate, noiseMult, addNoise } = options;
  assertEquals([dropPathRate, moeDroprate, moeDropPathRate, noiseMult, addNoise], [
    0.1,
    0.4,
    0.1,
    1 / 294,
    "training",
  ]);
});

denoTest(
  "groupsOf() slows earlier blocks down, but not routing and experts, and decays no biases",
  () => {
    const groups = groupsOf(JETPACK, new VisionTransformerMoe(SMALL)).flatMap((
      { params, ...rest },
    ) => [...params].map(([name]) => ({ name, ...rest })));
    const of = (name: string) => {
      const { lrScale, weightDecay } = groups.find((group) => group.name === name)!;
      return [lrScale, weightDecay];
    };
    const is = (name: string, scale: number, decay: number) =>
      assertClose(of(name) as number[], [scale, decay], { rtol: 1e-12 });
    is("patch_embed.proj.weight", 0.6 ** 13, 0.05);
    is("pos_embed", 0.6 ** 13, 0);
    is("blocks.0.attn.qkv.weight", 0.6 ** 12, 0.05);
    is("blocks.11.attn.qkv.bias", 0.6, 0);
    is("blocks.6.mlp.univ_experts.vit_fc1.weight", 1, 0.05);
    is("blocks.6.mlp.core_experts.vit_fc1.bias", 1, 0);
    is("blocks.6.mlp.scales.0", 1, 0);
    is("blocks.6.mlp.phi", 1, 0.05);
    is("blocks.6.norm2.weight", 1, 0);
    is("head.weight", 1, 0.05);
  },
);

denoTest(
  "groupsOf() without a layer decay has two groups: matrices, and all that is not decayed",
  () => {
    const [decayed, kept] = groupsOf(PLAIN, new VisionTransformerMoe(SMALL));
    const names = (group: typeof kept) => [...group.params].map(([name]) => name);
    for (
      const name of [
        "pos_embed",
        "cls_token",
        "blocks.6.mlp.phi",
        "blocks.6.mlp.scales.1",
        "head.bias",
      ]
    ) {
      assertEquals(names(kept).includes(name), true, name);
    }
    assertEquals(names(decayed).includes("blocks.6.mlp.core_experts.vit_fc1.weight"), true);
    assertEquals(kept.weightDecay, 0);
  },
);

denoTest("scheduleOf() rises, and falls to the share that is told", () => {
  const recipe: Recipe = { ...JETPACK, epochs: 30, warmupEpochs: 3 };
  const rate = scheduleOf(recipe, 300);
  assertClose([0, 15, 30, 300].map(rate), [4e-6, (4e-3 + 4e-6) / 2, 4e-3, 4e-5], { rtol: 1e-9 });
  assertClose([scheduleOf({ ...PLAIN, epochs: 1, warmupEpochs: 5 }, 1)(0)], [1e-3], { rtol: 1e-9 });
  assertEquals([stepsOf(recipe, 33), stepsOf({ ...recipe, epochs: 1 }, 3)], [61, 1]);
});

denoTest("the demo's recipe is what it was before there were recipes", () => {
  const { lr, warmup } = TRAINING, steps = 160;
  const rate = scheduleOf(recipeFor(20, 2), steps);
  const old = warmupCosine({ lr, steps, warmupSteps: Math.round(warmup * steps) });
  for (let step = 0; step < steps; step++) assertEquals(rate(step), old(step));
});

denoTest("recipeWith() names what is wrong", () => {
  assertEquals(recipeWith(PLAIN, { epochs: 5, scale: [0.5, 1] }).epochs, 5);
  const bad: [unknown, string][] = [
    [[], "want an object"],
    [{ epoch: 5 }, 'no setting "epoch"; there are epochs, batchSize'],
    [{ epochs: 0.5 }, "epochs is 0.5, needs a whole number of 1 or more"],
    [{ lr: 0 }, "lr is 0, needs a number above 0"],
    [{ clipGrad: -1 }, "needs a number above 0, or null"],
    [
      { scale: [0.5, 2] },
      "scale is [0.5,2], needs two rising numbers above 0 and up to 1, or null",
    ],
    [{ mean: [] }, "mean is [], needs a list"],
    [{ std: [0] }, "std is [0]"],
    [{ smoothing: 1 }, "smoothing is 1, needs a number in [0, 1)"],
    [{ routingNoise: 1 }, "routingNoise is 1, needs true or false"],
  ];
  for (const [changes, text] of bad) {
    assertThrows(() => recipeWith(PLAIN, changes), DataError, text);
  }
  assertThrows(() => recipeWith(PLAIN, { aa: "rand" }), ShapeError, "rand-m9-mstd0.5-inc1");
});
