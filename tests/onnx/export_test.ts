/** What stands in an exported file, and what is refused. What the files compute is in runtime_deno_test.ts. */
import { CheckpointError, ShapeError } from "../../engine/mod.ts";
import {
  McGaze,
  MCGAZE_PRESETS,
  MOE_VIT_PRESETS,
  visionModel,
  VisionTransformer,
} from "../../models/mod.ts";
import type { StateSource } from "../../nn/mod.ts";
import { exportOnnx } from "../../onnx/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertEquals, assertRejects, assertThrows, gpuTest, test } from "../harness.ts";
import { GAZES, placed, VITS } from "./models.ts";
import { readOnnx } from "./read_onnx.ts";

/** Values for a model that is on no device: f32, of the given shapes. */
function sourceOf(shapes: ReadonlyMap<string, readonly number[]>): StateSource {
  const size = (name: string) => shapes.get(name)!.reduce((a, b) => a * b, 1);
  return { shapes, read: (name) => Promise.resolve(testValues(size(name))) };
}

gpuTest("weights are in the file under the names of the state dict, bit by bit", async (device) => {
  const models = [
    await placed(visionModel(VITS.SpheroMoE), device),
    await placed(new McGaze(GAZES["two layers a block"]), device),
  ];
  for (const model of models) {
    const state = await model.stateDict();
    const { weights } = readOnnx(await exportOnnx(model).bytes());
    for (const [name, { shape, data }] of state) {
      // Layers that no forward pass uses are left out.
      if (/bbox_head\.\d\.fc_(cls|reg)\./.test(name)) assert(!weights.has(name), name);
      // Of the stages' gazes the last one is exported.
      else if (name.startsWith("roi_head.gaze_head.0.")) assert(!weights.has(name), name);
      else assertEquals(weights.get(name), { shape, data }, name);
    }
    model.dispose();
  }
});

test("a file says its operators, its inputs and outputs, and which sizes are free", async () => {
  const vit = new VisionTransformer(VITS["class token"]);
  const state = sourceOf(vit.stateShapes());
  for (const [opset, irVersion, gelu] of [[17, 8, "Erf"], [20, 9, "Gelu"], [21, 10, "Gelu"]]) {
    const file = readOnnx(await exportOnnx(vit, { opset: opset as number, state }).bytes());
    assertEquals([file.irVersion, file.opsets], [irVersion, { "": opset }]);
    assert(file.nodes.some(({ type }) => type === gelu), `${opset}: ${gelu}`);
    assertEquals(file.inputs, { images: ["batch", 2, 8, 12] });
    assertEquals(file.outputs, { logits: ["batch", 5] });
  }
  const gaze = new McGaze(GAZES["bottlenecks, two clues, none sees another or another frame"]);
  const options = { state: sourceOf(gaze.stateShapes()), frames: 2, imgSize: [64, 96] } as const;
  const { inputs, outputs, nodes } = readOnnx(await exportOnnx(gaze, options).bytes());
  assertEquals(inputs, { images: ["frames", 3, 64, 96] });
  assertEquals(outputs, {
    gaze: ["frames", 3],
    gaze_eyes: ["frames", 3],
    gaze_head: ["frames", 3],
    boxes: ["frames", 2, 4],
    scores: ["frames", 2, 1],
  });
  const scales = nodes.filter(({ type }) => type === "RoiAlign")
    .map(({ attributes }) => attributes.spatial_scale);
  assertEquals(scales, [1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 4, 1 / 8, 1 / 16, 1 / 32]);
});

test("every value is made once and before it is used, and nodes say where they belong", async () => {
  for (const options of Object.values(VITS)) {
    const model = visionModel(options), state = sourceOf(model.stateShapes());
    const { nodes, weights, inputs, outputs } = readOnnx(
      await exportOnnx(model, { state }).bytes(),
    );
    const known = new Set([...weights.keys(), ...Object.keys(inputs)]);
    for (const { name, inputs, outputs } of nodes) {
      for (const value of inputs) {
        assert(known.has(value) || /^(integers|index|axis)_\d+$/.test(value), `${name}: ${value}`);
      }
      for (const value of outputs) {
        assert(!known.has(value), `${value} is made twice`);
        known.add(value);
      }
    }
    for (const output of Object.keys(outputs)) assert(known.has(output), output);
    assertEquals(new Set(nodes.map(({ name }) => name)).size, nodes.length);
    assert(nodes.some(({ name }) => name.startsWith("blocks/1/attn/qkv/MatMul")));
  }
});

test("the size is known before a weight is read, and chunks add up to it", async () => {
  const model = new McGaze(MCGAZE_PRESETS.mcgaze_small);
  let reads = 0;
  const { shapes, read } = sourceOf(model.stateShapes());
  const file = exportOnnx(model, { state: { shapes, read: (name) => (reads++, read(name)) } });
  assertEquals(reads, 0);
  let bytes = 0;
  for await (const chunk of file.chunks()) bytes += chunk.length;
  assertEquals(bytes, file.byteLength);
  assertEquals((await file.bytes()).length, file.byteLength);
});

test("what no file can hold, and what does not fit, is refused by name", async () => {
  const large = visionModel(MOE_VIT_PRESETS["V-JetMoE-S"]);
  const size = assertThrows(() => exportOnnx(large), CheckpointError);
  for (const told of ["VisionTransformerMoe", "4.23 GB", "2.15 GB", "safetensors"]) {
    assert(size.message.includes(told), size.message);
  }
  // Three quarters of a gigabyte less than the limit fits.
  assert(exportOnnx(visionModel(MOE_VIT_PRESETS["V-JetMoE-T"])).byteLength > 1e9);

  const vit = new VisionTransformer(VITS["class token"]), shapes = vit.stateShapes();
  const fewer = new Map(shapes);
  fewer.delete("blocks.0.attn.qkv.bias");
  fewer.set("head.bias", [6]);
  const misfit = assertThrows(() => exportOnnx(vit, { state: sourceOf(fewer) }), CheckpointError);
  assert(/missing \(1\): blocks\.0\.attn\.qkv\.bias/.test(misfit.message), misfit.message);
  assert(/head\.bias is \[6\], needs \[5\]/.test(misfit.message), misfit.message);

  const short = { shapes, read: () => Promise.resolve(new Float32Array(1)) };
  await assertRejects(() => exportOnnx(vit, { state: short }).bytes(), CheckpointError);

  const gaze = new McGaze(GAZES["two layers a block"]);
  assertThrows(() => exportOnnx(vit, { opset: 16 }), ShapeError);
  assertThrows(() => exportOnnx(vit, { opset: 22 }), ShapeError);
  assertThrows(() => exportOnnx(vit, { frames: 3 }), ShapeError);
  assertThrows(() => exportOnnx(vit, { imgSize: 16 }), ShapeError);
  assertThrows(() => exportOnnx(gaze, { frames: 0 }), ShapeError);
  assertThrows(() => exportOnnx(gaze, { imgSize: 0 }), ShapeError);
});
