/** Settings that are read off weights: the model made of them has the same weights. */
import { CheckpointError } from "../../engine/errors.ts";
import {
  inferMoeVitOptions,
  type MoeVitOptions,
  visionModel,
  type VisionTransformer,
  vitPrefix,
} from "../../models/mod.ts";
import { assertEquals, assertThrows, test } from "../harness.ts";

const BASE: MoeVitOptions = {
  imgSize: 12,
  patchSize: 4,
  inChans: 1,
  numClasses: 3,
  embedDim: 20,
  depth: 3,
  numHeads: 4,
};

function shapesOf(model: VisionTransformer): Map<string, readonly number[]> {
  return new Map([...model.namedParameters()].map(([name, { shape }]) => [name, shape]));
}

test("inferMoeVitOptions() finds dense models, SpheroMoE and Soft MoE", () => {
  const models: MoeVitOptions[] = [
    BASE,
    { ...BASE, classToken: false, globalPool: "avg" },
    { ...BASE, moeLayers: [1, 2], coreExperts: 3, univExperts: 5, slotLayernorm: true },
    {
      ...BASE,
      moeLayers: [2],
      coreExperts: 2,
      univExperts: 4,
      univFactor: 0.3,
      compressRatio: 0.7,
      slotsPerExpert: 2,
    },
    { ...BASE, moeLayers: [0], ifDualpath: false, numExperts: 6, layerScale: true },
  ];
  for (const options of models) {
    const shapes = shapesOf(visionModel(options));
    const found = inferMoeVitOptions(shapes, 5);
    assertEquals(shapesOf(visionModel(found)), shapes);
    assertEquals(found.moeLayers ?? [], options.moeLayers ?? []);
    assertEquals(found.numHeads, 4);
  }
});

test("inferMoeVitOptions() refuses routing without experts", () => {
  const shapes = shapesOf(visionModel({ ...BASE, moeLayers: [1], coreExperts: 2, univExperts: 2 }));
  for (const name of shapes.keys()) if (name.includes("univ_experts")) shapes.delete(name);
  assertThrows(() => inferMoeVitOptions(shapes), CheckpointError, "not the experts");
});

test("vitPrefix() is what stands before the patches' weights", () => {
  assertEquals(vitPrefix(["a.b", "module.patch_embed.proj.weight"]), "module.");
  assertEquals(vitPrefix(["patch_embed.proj.weight"]), "");
  assertEquals(vitPrefix(["backbone.other"]), "");
});
