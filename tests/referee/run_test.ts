/**
 * The referee with cases beyond those of tests/golden: settings they do not have, and cases that cannot be run.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { namedArray } from "../../io/named_array.ts";
import { writeSafetensors } from "../../io/safetensors_write.ts";
import type { JsonObject } from "../../io/json.ts";
import { CaseConfig } from "../../referee/case.ts";
import { labelSmoothing } from "../../referee/cases/losses.ts";
import type { Verdict } from "../../referee/compare.ts";
import { modelOptions } from "../../referee/model.ts";
import { openGolden, runCase } from "../../referee/run.ts";
import { deterministicFill } from "../../referee/fill.ts";
import { assert, assertEquals, gpuTest, test } from "../harness.ts";

/** Runs one case whose tensors are given by shape, filled by name, or else by their values. */
async function judge(
  device: Device,
  entry: { name: string; config?: JsonObject },
  shapes: Record<string, readonly number[]>,
  values: Record<string, Float32Array | Int32Array> = {},
): Promise<Verdict> {
  const arrays = Object.entries(shapes).map(([name, shape]) =>
    [name, namedArray(values[name] ?? deterministicFill(name, shape), shape)] as const
  );
  const tensors = arrays.map(([name, { dtype, shape }]) => ({ name, dtype, shape, tol_abs: 1e-5 }));
  const manifest = JSON.stringify({ cases: [{ file: "a", tensors, ...entry }] });
  const bytes = writeSafetensors(new Map(arrays));
  const folder = await openGolden((file) =>
    Promise.resolve(file === "a" ? bytes : new TextEncoder().encode(manifest))
  );
  return await runCase(folder, folder.manifest.cases[0], device);
}

const LAYER = {
  "param.phi": [3, 1, 4],
  "param.scale": [],
  "param.experts.vit_fc1.weight": [3, 16, 4],
  "param.experts.vit_fc1.bias": [3, 16],
  "param.experts.vit_fc2.weight": [3, 4, 16],
  "param.experts.vit_fc2.bias": [3, 4],
};

gpuTest("a map comes out of a golden layer as high as the authors make it", async (device) => {
  const run = (input: readonly number[], output: readonly number[]) =>
    judge(device, { name: "moe_04_map", config: { num_experts: 3 } }, {
      ...LAYER,
      "input.x": input,
      "probe.y": output,
      "output.y": output,
    });
  // The values are not the layer's: what fails is where they are compared, not the shape.
  for (const [height, width] of [[2, 8], [8, 2], [4, 4]]) {
    const { what } = await run([2, height, width, 4], [2, 4, 4, 4]);
    assert(what?.startsWith("output.y: 128 of 128 off"), what);
  }
  const { what } = await run([2, 2, 8, 4], [2, 2, 8, 4]);
  assertEquals(what, "ShapeError: output.y has shape [2,4,4,4], want [2,2,8,4]");
});

gpuTest("cases that cannot be run fail with the reason on one line", async (device) => {
  const fails = async (
    name: string,
    message: string,
    config: JsonObject = {},
    shapes: Record<string, readonly number[]> = { "output.y": [1] },
  ) => {
    const { ok, what } = await judge(device, { name, config }, shapes);
    assert(!ok && what?.includes(message) && !what.includes("\n"), what);
  };
  await fails("mc_99_other", "not understood: there is no code for cases of kind mc_99");
  await fails("constructor", "no code for cases of kind constructor");
  await fails("moe_02_sparsemax", "neither entmax nor softmax");
  await fails("moe_02_entmax", "DataError: there is no input.x");
  await fails("moe_01_routing", "DataError: there is no input.x");
  await fails("moe_15_other", "not understood: label smoothing of mode hard", { mode: "hard" });
  await fails("moe_09_steps", "the schedule cosine", { lr_schedule: "cosine" }, {
    "input.images": [1],
  });
  const config = { num_experts: 3, layer_scale: true };
  const stored = { ...LAYER, "input.x": [1, 2, 4], "output.y": [1, 2, 4] };
  await fails("moe_04_keys", "missing (4): experts.scale_in.gamma", config, stored);
});

test("modelOptions() takes None for the default, and a height and width", () => {
  const options = modelOptions(
    new CaseConfig("a", { fc_norm: null, init_values: null, weight_init: "", img_size: [8, 12] }),
  );
  assertEquals(options, { ifDualpath: false, imgSize: [8, 12] });
});

test("labelSmoothing() looks among the settings, then in the description", () => {
  const found = (config: JsonObject, what = "") => {
    const entry = { name: "a", kind: "moe_07", file: "", what, config, data: {}, tensors: [] };
    return labelSmoothing({ config: new CaseConfig("a", config), entry }, 0.1);
  };
  assertEquals(found({ label_smoothing: 0.3 }), 0.3);
  assertEquals(found({ label_smooth_val: 0 }, "LabelSmoothLoss(0.2, original)"), 0);
  assertEquals(found({}, "logits, LabelSmoothLoss(0.2, original), gradients"), 0.2);
  assertEquals(found({}), 0.1);
});
