/**
 * Loading checkpoints that differ from the model: names, number of patches, number of classes.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import { sizeOf } from "../../engine/tensor.ts";
import { openWeights, weightsSource } from "../../io/weights.ts";
import { loadPretrained } from "../../models/pretrained.ts";
import { resizePosEmbed } from "../../models/resize_pos_embed.ts";
import { VisionTransformer } from "../../models/vit.ts";
import { VisionTransformerMoe } from "../../models/moe_vit.ts";
import type { VitOptions } from "../../models/vit_config.ts";
import type { StateSource } from "../../nn/state_dict.ts";
import { deterministicFill } from "../../referee/fill.ts";
import { assert, assertEquals, assertRejects, gpuTest, test } from "../harness.ts";
import { dict, storage, tensor, zipCheckpoint } from "../io/torch/pickle_writer.ts";

const SMALL: VitOptions = {
  imgSize: 12,
  patchSize: 4,
  inChans: 1,
  embedDim: 6,
  depth: 1,
  numHeads: 2,
  numClasses: 5,
};

/** A checkpoint of a model with these settings; values by `deterministicFill`, names changed by `rename`. */
function checkpoint(options: VitOptions, rename = (name: string) => name): StateSource {
  const shapes = new Map<string, readonly number[]>();
  const values = new Map<string, Float32Array>();
  for (const [name, shape] of new VisionTransformer(options).stateShapes()) {
    shapes.set(rename(name), shape);
    values.set(rename(name), deterministicFill(name, shape));
  }
  return { shapes, read: (name) => Promise.resolve(values.get(name)!) };
}

/** The same with some shapes changed, added (by a shape) or taken away (by null). */
function changed(source: StateSource, changes: Record<string, number[] | null>): StateSource {
  const shapes = new Map(source.shapes);
  for (const [name, shape] of Object.entries(changes)) {
    if (shape === null) shapes.delete(name);
    else shapes.set(name, shape);
  }
  return {
    shapes,
    read: async (name) => {
      const shape = changes[name];
      return shape ? deterministicFill(name, shape) : await source.read(name);
    },
  };
}

gpuTest("loadPretrained() takes a checkpoint that fits as it is", async (device) => {
  const model = new VisionTransformer(SMALL);
  const report = await loadPretrained(model, checkpoint(SMALL));
  assertEquals([report.prefix, report.renamed, report.resized, report.head], ["", [], [], null]);
  assertEquals(report.loaded, [...model.stateShapes().keys()]);
  assertEquals(String(report), `VisionTransformer: ${report.loaded.length} tensors loaded`);
  await model.to(device);
  for (const [name, { shape, data }] of await model.stateDict()) {
    assertEquals(data, deterministicFill(name, shape));
  }
  model.dispose();
});

gpuTest(
  "loadPretrained() strips prefixes, maps old names, resizes and replaces",
  async (device) => {
    const options = { ...SMALL, initValues: 0.1 };
    const rename = (name: string) =>
      `module.backbone.${name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2")}`;
    const source = changed(checkpoint({ ...options, imgSize: 20, numClasses: 7 }, rename), {
      "module.backbone.patch_embed.proj.weight": [6, 16],
    });
    const model = await new VisionTransformer(options).to(device, { seed: 3 });
    const fresh = await model.stateDict();
    const report = await loadPretrained(model, source);
    assertEquals(String(report).split("\n"), [
      "VisionTransformer: 20 tensors loaded",
      '  prefix stripped: "module.backbone."',
      "  renamed (2): module.backbone.blocks.0.gamma_1 -> blocks.0.ls1.gamma, " +
      "module.backbone.blocks.0.gamma_2 -> blocks.0.ls2.gamma",
      "  resized: pos_embed [1, 26, 6] -> [1, 10, 6], patches 5x5 -> 3x3 (bicubic, antialiased), " +
      "prefix tokens kept: 1",
      "  head replaced: 7 -> 5 classes; head.weight, head.bias keep the model's own values",
    ]);
    const state = await model.stateDict();
    for (const [name, { shape, data }] of state) {
      if (name.startsWith("head.")) assertEquals(data, fresh.get(name)!.data);
      else if (name === "pos_embed") {
        const resize = { from: [5, 5], to: [3, 3], prefixTokens: 1, dim: 6 } as const;
        assertEquals(data, resizePosEmbed(deterministicFill(name, [1, 26, 6]), resize));
      } else if (name === "patch_embed.proj.weight") {
        assertEquals(data, deterministicFill(`module.backbone.${name}`, [6, 16]));
      } else assertEquals(data, deterministicFill(name, shape));
    }
    model.dispose();
  },
);

gpuTest("loadPretrained() reads a PyTorch file tensor by tensor", async (device) => {
  const model = await new VisionTransformer(SMALL).to(device);
  const shapes = [...model.stateShapes()];
  const data = shapes.map(([name, shape], i) =>
    [String(i), new Uint8Array(deterministicFill(name, shape).buffer)] as const
  );
  const tensors = shapes.map(([name, shape], i) =>
    [`model.${name}`, tensor(storage("FloatStorage", String(i), sizeOf(shape)), shape)] as const
  );
  const file = await zipCheckpoint(
    dict(["state_dict", dict(...tensors)]),
    Object.fromEntries(data),
  );
  const report = await loadPretrained(model, weightsSource(await openWeights(file)));
  assertEquals([report.prefix, report.loaded.length], ["model.", shapes.length]);
  for (const [name, { shape, data }] of await model.stateDict()) {
    assertEquals(data, deterministicFill(name, shape));
  }
  model.dispose();
});

test("loadPretrained() is strict: one error lists all that does not fit, and nothing is read", async () => {
  const source = changed(checkpoint({ ...SMALL, numClasses: 3 }, (name) => `model.${name}`), {
    "model.norm.bias": null,
    "model.blocks.0.norm1.weight": [7],
    "optimizer.step": [],
    "head_dist.weight": [3, 6],
  });
  const silent: StateSource = {
    ...source,
    read: () => Promise.reject(new Error("must not be read")),
  };
  const model = new VisionTransformer(SMALL);
  const error = await assertRejects(() => loadPretrained(model, silent), CheckpointError);
  assertEquals(error.message.split("\n"), [
    "loadPretrained(VisionTransformer): the state dict does not fit.",
    "  missing (1): norm.bias",
    "  unexpected (2): optimizer.step, head_dist.weight",
    "  wrong shape (1): blocks.0.norm1.weight is [7], needs [6]",
    "  Load with { strict: false } to take what fits.",
  ]);
  const report = await loadPretrained(model, source, { strict: false });
  assertEquals(report.missing, ["norm.bias"]);
  assertEquals(report.unexpected, ["optimizer.step", "head_dist.weight"]);
  assertEquals(report.wrongShape.map(({ name }) => name), ["blocks.0.norm1.weight"]);
  assertEquals(report.head, { names: ["head.weight", "head.bias"], from: 3, to: 5 });
  assert(String(report).includes("\n  unexpected (2): optimizer.step, head_dist.weight"));
});

test("loadPretrained() does not guess what a position embedding's tokens are", async () => {
  const cases: [number, Record<string, unknown>, string][] = [
    [27, {}, "without 1 prefix token its 26 tokens are not a square grid; say what they are"],
    [27, { prefixTokens: 2 }, "2 of its tokens are no patches, in the model 1"],
    [26, { grid: [4, 6] }, "its 25 tokens are not 4x6 patches"],
    [1, {}, "its 0 tokens are not a square grid"],
  ];
  for (const [tokens, options, message] of cases) {
    const source = changed(checkpoint(SMALL), { pos_embed: [1, tokens, 6] });
    await assertRejects(
      () => loadPretrained(new VisionTransformer(SMALL), source, options),
      CheckpointError,
      message,
    );
  }
  const wide = changed(checkpoint(SMALL), { pos_embed: [1, 25, 6] });
  const report = await loadPretrained(new VisionTransformer(SMALL), wide, {
    grid: [4, 6],
    antialias: false,
  });
  assertEquals(
    String(report).split("\n")[1],
    "  resized: pos_embed [1, 25, 6] -> [1, 10, 6], patches 4x6 -> 3x3 (bicubic), prefix tokens kept: 1",
  );
  // As many patches in another grid: told so, it is resampled; a checkpoint of the model itself is not.
  const tall = { ...SMALL, imgSize: [16, 4] } as const; // 4x1 patches
  const told = await loadPretrained(new VisionTransformer(tall), checkpoint(tall), {
    grid: [2, 2],
  });
  assertEquals([told.resized[0].fromGrid, told.resized[0].toGrid], [[2, 2], [4, 1]]);
  assertEquals((await loadPretrained(new VisionTransformer(tall), checkpoint(tall))).resized, []);
  // A model whose position embedding leaves the class token out has no prefix token in it.
  const options = { ...SMALL, noEmbedClass: true };
  const bare = changed(checkpoint(options), { pos_embed: [1, 16, 6] });
  const { resized } = await loadPretrained(new VisionTransformer(options), bare);
  assertEquals([resized[0].fromGrid, resized[0].prefixTokens], [[4, 4], 0]);
  // Another width is no other grid.
  const wider = changed(checkpoint(SMALL), { pos_embed: [1, 26, 8] });
  await assertRejects(
    () => loadPretrained(new VisionTransformer(SMALL), wider),
    CheckpointError,
    "pos_embed is [1, 26, 8], needs [1, 10, 6]",
  );
});

test("loadPretrained() finds prefixes by the model's names, and can be told one", async () => {
  const model = () => new VisionTransformer(SMALL);
  const some = checkpoint(SMALL, (name) => name.startsWith("head") ? name : `encoder.${name}`);
  assertEquals((await loadPretrained(model(), some)).prefix, "encoder.");
  await assertRejects(
    () => loadPretrained(model(), some, { prefix: "" }),
    CheckpointError,
    "missing",
  );
  const twice = changed(some, { "cls_token": [1, 1, 6] });
  await assertRejects(
    () => loadPretrained(model(), twice),
    CheckpointError,
    '"encoder.cls_token" and "cls_token" are both cls_token in the model',
  );
  await assertRejects(
    () => loadPretrained(model(), { ...some, shapes: new Map() }),
    CheckpointError,
  );
});

test("loadPretrained() replaces a head only where it differs in the classes alone", async () => {
  const cases: [Record<string, number[] | null>, string][] = [
    [{ "head.weight": [7, 8], "head.bias": [7] }, "head.weight is [7, 8], needs [5, 6]"],
    [{ "head.weight": [7, 6], "head.bias": [8] }, "head.bias is [8], needs [5]"],
    [{ "head.weight": null, "head.bias": null }, "missing (2): head.weight, head.bias"],
  ];
  for (const [changes, message] of cases) {
    const source = changed(checkpoint(SMALL), changes);
    await assertRejects(
      () => loadPretrained(new VisionTransformer(SMALL), source),
      CheckpointError,
      message,
    );
  }
});

test("loadPretrained() says which tensors of a mixture of experts a dense checkpoint lacks", async () => {
  const options = { ...SMALL, moeLayers: [0], coreExperts: 2, univExperts: 2 };
  const error = await assertRejects(
    () => loadPretrained(new VisionTransformerMoe(options), checkpoint(SMALL)),
    CheckpointError,
  );
  assert(error.message.includes("blocks.0.mlp.phi"), error.message);
  assert(error.message.includes("unexpected (4): blocks.0.mlp.fc1.weight"), error.message);
});
