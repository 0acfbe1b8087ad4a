/**
 * Models beyond the golden cases: the settings those leave at their defaults, against PyTorch; names, sizes, errors.
 * @module
 */
import { ShapeError } from "../../engine/errors.ts";
import { noGrad } from "../../engine/autograd.ts";
import type { Device } from "../../engine/device.ts";
import type { Tensor } from "../../engine/tensor.ts";
import type { MoeVitOptions } from "../../models/moe_vit_config.ts";
import { type PresetName, presetNamed, PRESETS, visionModel } from "../../models/presets.ts";
import { VisionTransformerMoe } from "../../models/moe_vit.ts";
import { VisionTransformer } from "../../models/vit.ts";
import { imageSize, vitConfig, type VitOptions } from "../../models/vit_config.ts";
import { deterministicFill } from "../../referee/fill.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertRejects,
  assertThrows,
  gpuTest,
  test,
} from "../harness.ts";

const BASE: MoeVitOptions = {
  imgSize: 12,
  patchSize: 4,
  inChans: 2,
  embedDim: 12,
  depth: 2,
  numHeads: 3,
  numClasses: 5,
};

/** Settings and the logits of a plain PyTorch model in float64, weights and image by `deterministicFill`. */
const TORCH: readonly (readonly [string, MoeVitOptions, readonly number[]])[] = [
  ["average pooling without a class token", { globalPool: "avg", classToken: false }, [
    1.073544,
    -0.938439,
    -1.698605,
    -0.837011,
    0.24328,
  ]],
  ["positions for patches only", { globalPool: "token", noEmbedClass: true }, [
    -0.21573,
    -1.40165,
    -0.976469,
    -0.33621,
    -0.603374,
  ]],
  ["average pooling after the norm", { globalPool: "avg", fcNorm: false }, [
    0.225851,
    -0.505343,
    -0.600481,
    0.070744,
    -0.001389,
  ]],
  ["the norm after taking the class token", { globalPool: "token", fcNorm: true }, [
    -0.221536,
    -1.171178,
    -0.762376,
    0.04475,
    -0.204463,
  ]],
  ["images that are not square", { globalPool: "token", imgSize: [8, 12] }, [
    -0.332594,
    -1.319499,
    -1.442473,
    0.847679,
    -0.792281,
  ]],
  ["learned scales of the branches", { globalPool: "token", initValues: 1.0 }, [
    1.203191,
    -0.319074,
    -0.644353,
    0.814152,
    0.504532,
  ]],
  ["no bias on queries, keys and values, a narrow MLP", {
    globalPool: "avg",
    qkvBias: false,
    mlpRatio: 1.5,
  }, [-0.103212, -0.660948, 0.623657, 0.474642, 0.526489]],
  ["Soft MoE with layer scale", {
    globalPool: "avg",
    moeLayers: [1],
    ifDualpath: false,
    numExperts: 3,
    slotsPerExpert: 2,
    layerScale: true,
    slotLayernorm: true,
  }, [0.466282, -1.254869, -0.733274, 0.763012, 0.286702]],
  ["SpheroMoE with plain slots, compressed", {
    globalPool: "token",
    moeLayers: [0, 1],
    ifDualpath: true,
    coreExperts: 2,
    univExperts: 3,
    univFactor: 0.5,
    slotsPerExpert: 2,
    compressRatio: 0.5,
  }, [-1.100013, -0.758557, 0.986787, 2.750944, -0.022177]],
];

function build(options: MoeVitOptions): VisionTransformer {
  return options.moeLayers ? new VisionTransformerMoe(options) : new VisionTransformer(options);
}

async function filled(options: MoeVitOptions, device: Device): Promise<VisionTransformer> {
  const model = build({ ...BASE, ...options });
  model.loadStateDict(
    new Map(
      model.namedParameters().map(([name, { shape }]) => [
        name,
        { shape, data: deterministicFill(name, shape) },
      ]),
    ),
  );
  return await model.to(device);
}

/** An image of the model's size. */
function image(model: VisionTransformer, device: Device): Tensor {
  const shape = [1, 2, ...imageSize(model.config)];
  return device.tensor(deterministicFill("input.image", shape), shape);
}

function logits(model: VisionTransformer, device: Device): Promise<ArrayLike<number>> {
  return device.step(() => noGrad(() => model.forward(image(model, device)).data()));
}

for (const [name, options, want] of TORCH) {
  gpuTest(`VisionTransformer: ${name} gives PyTorch's logits`, async (device) => {
    const model = (await filled(options, device)).eval();
    assertClose(await logits(model, device), want, { atol: 1e-5, rtol: 1e-5 });
    model.dispose();
  });
}

test("VisionTransformer has timm's names", () => {
  const names = (options: VitOptions) =>
    new VisionTransformer({ ...BASE, depth: 1, ...options }).namedParameters().map(([n]) => n);
  assertEquals(names({ initValues: 0.1 }).sort(), [
    "blocks.0.attn.proj.bias",
    "blocks.0.attn.proj.weight",
    "blocks.0.attn.qkv.bias",
    "blocks.0.attn.qkv.weight",
    "blocks.0.ls1.gamma",
    "blocks.0.ls2.gamma",
    "blocks.0.mlp.fc1.bias",
    "blocks.0.mlp.fc1.weight",
    "blocks.0.mlp.fc2.bias",
    "blocks.0.mlp.fc2.weight",
    "blocks.0.norm1.bias",
    "blocks.0.norm1.weight",
    "blocks.0.norm2.bias",
    "blocks.0.norm2.weight",
    "cls_token",
    "head.bias",
    "head.weight",
    "norm.bias",
    "norm.weight",
    "patch_embed.proj.bias",
    "patch_embed.proj.weight",
    "pos_embed",
  ]);
  const others = names({ globalPool: "avg", classToken: false, qkvBias: false });
  assert(others.includes("fc_norm.weight") && !others.includes("norm.weight"));
  assert(!others.includes("cls_token") && !others.includes("blocks.0.attn.qkv.bias"));
});

test("the presets have the papers' sizes", () => {
  for (const [name, { options, parameters }] of Object.entries(PRESETS)) {
    assertEquals(visionModel(options).learnedSize, parameters, name);
  }
  const millions = (name: PresetName) => Math.round(PRESETS[name].parameters / 1e6);
  assertEquals(millions("vit_small_patch16_224"), 22);
  assertEquals(millions("V-JetMoE-T"), 265);
  assertEquals(millions("V-JetMoE-T-32-64"), 89);
  assertEquals(millions("V-JetMoE-S"), 1058);
  assertThrows(() => presetNamed("V-JetMoE"), ShapeError, "there are vit_tiny_patch16_224, vit_");
});

test("vitConfig() names a setting that makes no model", () => {
  const fails = (options: VitOptions, message: string) =>
    assertThrows(() => vitConfig(options), ShapeError, message);
  fails({ imgSize: [32, 40] }, "imgSize 40 is not a multiple of patchSize 16");
  fails({ imgSize: [32] as unknown as [number, number] }, "imgSize is undefined");
  fails({ imgSize: 30 }, "imgSize 30 is not a multiple of patchSize 16");
  fails({ embedDim: 10, numHeads: 3 }, "embedDim 10 is not divisible by numHeads 3");
  fails({ depth: 0 }, "depth is 0");
  fails({ dropRate: 1 }, "dropRate is 1");
  fails({ classToken: false }, "globalPool token needs classToken true");
  fails({ globalPool: "max" as "avg" }, "globalPool is max");
  assertEquals(vitConfig({ fcNorm: undefined, globalPool: "avg" }).fcNorm, true);
});

test("VisionTransformerMoe names a setting that makes no model", () => {
  const fails = (options: MoeVitOptions, message: string) =>
    assertThrows(() => new VisionTransformerMoe({ ...BASE, ...options }), ShapeError, message);
  fails({ moeLayers: [2] }, "moeLayers names block 2, there are blocks 0 to 1");
  fails({ moeLayers: [1], coreExperts: 0 }, "coreExperts is 0");
  fails({ moeLayers: [1], univFactor: 0.01 }, "hidden neurons of a universal expert is 0");
  fails({ moeLayers: [1], moeDroprate: 1.5 }, "moeDroprate is 1.5");
});

gpuTest(
  "VisionTransformer refuses images of another size or number of channels",
  async (device) => {
    const model = await filled({}, device);
    for (const shape of [[1, 2, 8, 8], [1, 3, 12, 12], [2, 12, 12]]) {
      const error = await assertRejects(
        () => device.step(() => model.forward(device.zeros(shape))),
        ShapeError,
      );
      assert(error.message.includes("needs [B, 2, 12, 12]"), error.message);
    }
    model.dispose();
  },
);

gpuTest("VisionTransformer drops while training only", async (device) => {
  const rates = { dropRate: 0.5, posDropRate: 0.3, projDropRate: 0.3, dropPathRate: 0.5 };
  const model = await filled({ ...rates, attnDropRate: 0.3 }, device);
  const plain = await filled({}, device);
  const want = await logits(plain.eval(), device);
  assertEquals(await logits(model.eval(), device), want);
  model.train();
  const a = await logits(model, device), b = await logits(model, device);
  assert(String(a) !== String(want) && String(a) !== String(b), "two steps drop differently");
  model.dispose();
  plain.dispose();
});

gpuTest("VisionTransformerMoe adds noise while evaluating too, when told to", async (device) => {
  const options = { moeLayers: [1], coreExperts: 2, univExperts: 3 };
  const noisy = (await filled({ ...options, addNoise: true, noiseMult: 0.1 }, device)).eval();
  const quiet = (await filled(options, device)).eval();
  const [a, b] = [await logits(noisy, device), await logits(noisy, device)];
  assert(String(a) !== String(b), "the published configuration is random at test time");
  assertEquals(await logits(quiet, device), await logits(quiet, device));
  noisy.dispose();
  quiet.dispose();
});

gpuTest("VisionTransformer hands out what it computes on its way", async (device) => {
  const model = (await filled({ moeLayers: [1], coreExperts: 2, univExperts: 3 }, device)).eval();
  const seen = await device.step(() =>
    noGrad(() => {
      const seen: string[] = [];
      model.forward(image(model, device), {
        onBlock: (tokens, block) => seen.push(`block ${block} [${tokens.shape}]`),
        onSite: (site, x, block) => seen.push(`${site} ${block} [${x.shape}]`),
      });
      return seen;
    })
  );
  // The second block has experts in place of a dense MLP.
  assertEquals(seen, [
    "attn.proj 0 [1,10,12]",
    "norm2 0 [1,10,12]",
    "mlp.act 0 [1,10,48]",
    "mlp.fc2 0 [1,10,12]",
    "block 0 [1,10,12]",
    "attn.proj 1 [1,10,12]",
    "norm2 1 [1,10,12]",
    "block 1 [1,10,12]",
  ]);
  model.dispose();
});
