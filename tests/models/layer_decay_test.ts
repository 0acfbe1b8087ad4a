import { ShapeError } from "../../engine/errors.ts";
import { jetpackDecay, layerDecay } from "../../models/layer_decay.ts";
import { assertClose, assertEquals, assertThrows, test } from "../harness.ts";

const settings = (names: readonly string[], depth = 12, shape = [4, 4]) =>
  layerDecay(names.map((name) => [name, { shape }] as const), depth, jetpackDecay([6, 7]));

test("layerDecay() lowers the rate towards the embeddings", () => {
  const found = settings(["cls_token", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"]);
  assertEquals(found.map(({ layerId }) => layerId), [0, 0, 1]);
  assertClose(found.map(({ lr }) => lr), [4e-3 * 0.6 ** 13, 4e-3 * 0.6 ** 13, 4e-3 * 0.6 ** 12], {
    rtol: 1e-12,
  });
  assertEquals(settings(["head.weight"])[0].lr, 4e-3);
});

test("layerDecay() gives experts and routing the full rate", () => {
  const names = ["phi", "scales.0", "slot_norm.bias", "univ_experts.vit_fc1.weight"];
  for (const { layerId } of settings(names.map((name) => `blocks.2.mlp.${name}`))) {
    assertEquals(layerId, 13);
  }
});

test("layerDecay() keeps the authors' list of second norms, as part of the name", () => {
  const ids = (depth: number, ...blocks: number[]) =>
    settings(blocks.map((i) => `blocks.${i}.norm2.weight`), depth).map(({ layerId }) => layerId);
  assertEquals(ids(12, 5, 6, 11), [6, 13, 13]);
  assertEquals(ids(4, 2, 3), [3, 4]); // MoE layers of a small model are not on it
  assertEquals(ids(24, 15, 16, 17), [16, 25, 25]); // "16.norm2" contains "6.norm2"
});

test("layerDecay() decays what the authors decay", () => {
  const decay = (name: string) => settings([name])[0].weightDecay;
  assertEquals(decay("cls_token"), 0.05);
  assertEquals(decay("pos_embed"), 0);
  assertEquals(decay("blocks.0.norm1.weight"), 0);
  assertEquals(decay("fc_norm.bias"), 0);
  assertEquals(decay("blocks.6.mlp.core_experts.vit_fc1.bias"), 0);
  assertEquals(decay("blocks.6.mlp.core_experts.vit_fc1.weight"), 0.05);
  assertEquals(decay("blocks.6.mlp.scales.1"), 0);
  assertEquals(decay("blocks.6.mlp.phi"), 0.05);
  // Their custom key sets nothing, and still hides the rules for norms and biases.
  assertEquals(decay("blocks.6.mlp.slot_norm.weight"), 0.05);
  assertEquals(decay("blocks.6.mlp.slot_norm.bias"), 0.05);
  assertEquals(decay("blocks.8.mlp.slot_norm.bias"), 0); // not in moeLayers: no custom key
});

test("layerDecay() without options treats all alike, and knows flat parameters", () => {
  const plain = { baseLr: 1, weightDecay: 0.1 };
  const [norm] = layerDecay([["blocks.0.norm1.weight", { shape: [4] }]], 2, plain);
  assertEquals([norm.lr, norm.weightDecay], [1, 0.1]);
  const flat = { ...plain, flatDecayMult: 0.5 };
  assertEquals(layerDecay([["a.gamma", { shape: [4] }]], 2, flat)[0].weightDecay, 0.05);
});

test("layerDecay() refuses a block that the model does not have", () => {
  assertThrows(() => settings(["blocks.4.attn.qkv.bias"], 4), ShapeError, "none of 4 blocks");
});
