import { CheckpointError, ShapeError } from "../../engine/errors.ts";
import { noGrad } from "../../engine/autograd.ts";
import { type SiteStats, siteStats } from "../../models/activation_stats.ts";
import { VisionTransformerMoe } from "../../models/moe_vit.ts";
import type { MoeVitOptions } from "../../models/moe_vit_config.ts";
import { recycle, recycleFrom, type RecycleOptions, recycleSites } from "../../models/recycle.ts";
import { RECYCLE_METHODS } from "../../models/expert_selector.ts";
import { formatRecycleReport, listRecycledTensors } from "../../models/recycle_report.ts";
import { stackExperts } from "../../models/take.ts";
import { VisionTransformer } from "../../models/vit.ts";
import type { VitOptions } from "../../models/vit_config.ts";
import type { StateEntry } from "../../nn/state_dict.ts";
import { testValues } from "../gradcheck.ts";
import { assertAsReported } from "./recycled.ts";
import { assert, assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

const VIT: VitOptions = {
  imgSize: 8,
  patchSize: 4,
  embedDim: 8,
  depth: 3,
  numHeads: 2,
  numClasses: 5,
  globalPool: "avg",
};
const MOE: MoeVitOptions = {
  ...VIT,
  moeLayers: [1, 2],
  coreExperts: 2,
  univExperts: 3,
  univFactor: 0.25,
  slotLayernorm: true,
};
const HIDDEN = 32;

/** Weights of a dense model in which every value is different. */
function denseWeights(options: VitOptions = VIT): Map<string, StateEntry> {
  let next = 0;
  return new Map(
    new VisionTransformer(options).namedParameters().map(([name, { shape, size }]) => [
      name,
      { shape, data: Float32Array.from({ length: size }, () => ++next) },
    ]),
  );
}

/** Statistics in which neuron i of every block has score i, and even and odd neurons fire together. */
function someStats(): SiteStats {
  const scores = Float32Array.from({ length: HIDDEN }, (_, i) => i);
  const co_act = new Float32Array(HIDDEN * HIDDEN);
  for (let u = 0; u < HIDDEN; u++) {
    for (let v = 0; v < HIDDEN; v++) {
      if (u !== v) co_act[u * HIDDEN + v] = u % 2 === v % 2 ? 1 : 0.01;
    }
  }
  const layer = { L1: scores, L2: scores, act_patrn: scores, co_act };
  return { "mlp.act": [layer, layer, layer] };
}

test("recycle() makes a complete state dict of the MoE model", () => {
  const { weights } = recycle(denseWeights(), MOE);
  const want = new VisionTransformerMoe(MOE).namedParameters();
  assertEquals([...weights.keys()], want.map(([name]) => name));
  for (const [name, { shape, size }] of want) {
    assertEquals([...weights.get(name)!.shape], [...shape], name);
    assertEquals(weights.get(name)!.data.length, size, name);
  }
});

test("recycle() copies all that is no expert, and core experts whole", () => {
  const dense = denseWeights();
  const { weights } = recycle(dense, MOE);
  for (const name of ["pos_embed", "blocks.2.attn.qkv.weight", "fc_norm.bias", "head.weight"]) {
    assertEquals(weights.get(name)!.data, dense.get(name)!.data, name);
  }
  const fc1 = dense.get("blocks.1.mlp.fc1.weight")!.data;
  const core = weights.get("blocks.1.mlp.core_experts.vit_fc1.weight")!.data;
  assertEquals(core, Float32Array.of(...fc1, ...fc1));
  weights.get("pos_embed")!.data[0] = -1;
  assert(dense.get("pos_embed")!.data[0] !== -1, "copies share no memory");
});

test("recycle() cuts universal experts along the neurons that the report names", () => {
  const dense = denseWeights();
  const { weights, report } = recycle(dense, MOE, { method: "random", seed: 3 });
  const name = "blocks.2.mlp.univ_experts.vit_fc2.weight";
  const entry = report.entries.find((e) => e.name === name)!;
  assertEquals([entry.source, entry.method], ["blocks.2.mlp.fc2.weight", "random"]);
  const { indices, total, subset, block, experts } = report.selections[entry.selection!];
  assertEquals([block, experts, total, subset], [2, "univ_experts", HIDDEN, 8]);
  assertEquals(indices.length, 3);
  const [source, cut] = [dense.get(entry.source!)!.data, weights.get(name)!.data];
  for (let e = 0; e < 3; e++) {
    for (let d = 0; d < 8; d++) {
      for (let k = 0; k < subset; k++) {
        assertEquals(cut[(e * 8 + d) * subset + k], source[d * HIDDEN + indices[e][k]]);
      }
    }
  }
});

test("recycle() starts the routing as a new layer does", () => {
  const { weights, report } = recycle(denseWeights(), MOE);
  const data = (name: string) => [...weights.get(`blocks.1.mlp.${name}`)!.data];
  assertEquals(data("scales.0"), [0.5]);
  assertEquals(data("slot_norm.weight"), Array(8).fill(1));
  assertEquals(data("slot_norm.bias"), Array(8).fill(0));
  const phi = data("phi"); // 5 experts x 1 slot: orthonormal rows
  for (let a = 0; a < 5; a++) {
    for (let b = 0; b < 5; b++) {
      let dot = 0;
      for (let d = 0; d < 8; d++) dot += phi[a * 8 + d] * phi[b * 8 + d];
      assert(Math.abs(dot - (a === b ? 1 : 0)) < 1e-5, `phi ${a} . phi ${b} = ${dot}`);
    }
  }
  const initialised = report.entries.filter(({ method }) => method === "initialised");
  assertEquals(initialised.length, 2 * 5);
});

test("recycle() gives the same weights for the same seed only", () => {
  const phi = (seed: number) =>
    recycle(denseWeights(), MOE, { seed }).weights.get("blocks.1.mlp.phi")!.data.join();
  const univ = (seed: number) =>
    recycle(denseWeights(), MOE, { seed }).report.selections[1].indices.join();
  assertEquals([phi(1), univ(1)], [phi(1), univ(1)]);
  assert(phi(1) !== phi(2) && univ(1) !== univ(2));
});

test("recycle() starts a head for other classes anew", () => {
  const { weights, report } = recycle(denseWeights(), { ...MOE, numClasses: 7 });
  assertEquals([...weights.get("head.weight")!.shape], [7, 8]);
  assert(weights.get("head.weight")!.data.some((x) => x !== 0));
  for (const name of ["head.weight", "head.bias"]) {
    assertEquals(report.entries.find((e) => e.name === name)!.method, "initialised");
  }
});

test("recycle() starts a head for as many other classes anew where it is told to", () => {
  const dense = denseWeights(), kept = dense.get("head.weight")!;
  const { weights, report } = recycle(dense, MOE, { newHead: true });
  const same = recycle(dense, MOE).weights;
  assertEquals(same.get("head.weight")!.data, kept.data);
  assertEquals(weights.get("head.weight")!.shape, kept.shape);
  assert(weights.get("head.weight")!.data[0] !== kept.data[0], "head kept");
  const heads = report.entries.filter(({ name }) => name.startsWith("head."));
  assertEquals(heads.map(({ method }) => method), ["initialised", "initialised"]);
});

test("recycle() starts the norm of another pooling anew", () => {
  const dense = denseWeights({ ...VIT, globalPool: "token" });
  const { weights, report } = recycle(dense, MOE);
  assertEquals([...weights.get("fc_norm.weight")!.data], Array(8).fill(1));
  assertEquals(report.entries.find((e) => e.name === "fc_norm.bias")!.source, null);
});

test("recycle() by each method keeps the neurons it should", () => {
  const select = (options: Parameters<typeof recycle>[2]) => {
    const { report } = recycle(denseWeights(), MOE, { stats: someStats(), ...options });
    return report.selections.filter(({ experts }) => experts === "univ_experts")[0].indices;
  };
  assertEquals(select({ method: "uniform" }), [[0, 4, 8, 13, 17, 22, 26, 31]]);
  assertEquals(select({ method: "uniform", rounding: "round" }), [[0, 4, 9, 13, 18, 22, 27, 31]]);
  assertEquals(select({ method: "importance", selectGlobal: true }), [
    [24, 25, 26, 27, 28, 29, 30, 31],
  ]);
  const drawn = select({ method: "importance", metric: "L1" });
  assert(drawn.length === 3 && drawn.flat().every((i) => i > 0), "a score of 0 is never drawn");
  for (const expert of select({ method: "graph" })) {
    assertEquals(new Set(expert.map((i) => i % 2)).size, 1, "neurons that fire together stay so");
  }
});

test("recycle() makes a single-path Soft MoE too", () => {
  const options = { ...MOE, ifDualpath: false, numExperts: 4, compressRatio: 0.5 };
  const { weights, report } = recycle(denseWeights(), options, { method: "uniform" });
  assertEquals([...weights.get("blocks.1.mlp.experts.vit_fc1.weight")!.shape], [4, 16, 8]);
  assertEquals([...weights.get("blocks.1.mlp.scale")!.data], [1]);
  assertEquals(report.selections.map(({ experts }) => experts), ["experts", "experts"]);
});

test("recycle() names what does not fit", () => {
  const without = (name: string) => {
    const dense = denseWeights();
    dense.delete(name);
    return dense;
  };
  const fails = (dense: Map<string, StateEntry>, message: string, options = MOE) =>
    assertThrows(() => recycle(dense, options), CheckpointError, message);
  fails(without("blocks.1.mlp.fc1.bias"), "needs blocks.1.mlp.fc1.bias");
  fails(without("pos_embed"), "the dense weights have no pos_embed, needs [1,5,8]");
  fails(denseWeights({ ...VIT, imgSize: 12 }), "pos_embed has shape [1,10,8]");
  fails(denseWeights({ ...VIT, embedDim: 6 }), "the dense model has 6 channels, the new one 8");
  fails(denseWeights({ ...VIT, depth: 4 }), "the dense model has 4 blocks, the new one 3");
  fails(denseWeights({ ...VIT, embedDim: 16, imgSize: 12 }), "which cut gives [1,10,8]");
  assertThrows(
    () => recycle(denseWeights(), { ...MOE, compressRatio: 2 }),
    ShapeError,
    "has 64 hidden neurons, block 1 of the dense model only 32",
  );
  assertThrows(
    () => recycle(denseWeights(), MOE, { method: "importance" }),
    ShapeError,
    "needs statistics of block 1",
  );
});

gpuTest(
  "a dense model, its statistics, and the recycled model that starts from both",
  async (device) => {
    const dense = (await new VisionTransformer(VIT).to(device, { seed: 1 })).eval();
    const images = device.tensor(testValues(4 * 3 * 64, 2), [4, 3, 8, 8]);
    const stats = await siteStats(dense, [images], ["mlp.act"]);
    const weights = await dense.stateDict();
    const features = (model: VisionTransformer) =>
      device.step(() => noGrad(() => model.forwardFeatures(images).data()));
    const before = await features(dense);
    for (const method of ["uniform", "random", "importance", "graph"] as const) {
      const recycled = new VisionTransformerMoe(MOE).eval();
      recycled.loadStateDict(recycle(weights, MOE, { method, stats }).weights);
      await recycled.to(device);
      const after = await features(recycled);
      assert(after.every(Number.isFinite), `${method}: the features are finite`);
      // The first block is the dense one, the others hold experts: related, not equal.
      let dot = 0, a = 0, b = 0;
      for (let i = 0; i < after.length; i++) {
        dot += before[i] * after[i];
        a += before[i] ** 2;
        b += after[i] ** 2;
      }
      const cosine = dot / Math.sqrt(a * b);
      assert(cosine > 0.9 && cosine < 1, `${method}: cosine with the dense features is ${cosine}`);
      recycled.dispose();
    }
    dense.dispose();
  },
);

test("stackExperts() refuses lists of different lengths and neurons that are not there", () => {
  const weight = (...shape: number[]) => ({
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b)),
  });
  const mlp = {
    fc1: { weight: weight(4, 2), bias: weight(4) },
    fc2: { weight: weight(2, 4), bias: weight(2) },
  };
  assertThrows(() => stackExperts(mlp, [[0, 1], [2]]), ShapeError, "expert 1 keeps [1,2]");
  assertThrows(() => stackExperts(mlp, [[0, 4]]), ShapeError, "4 is not one of 0 to 3");
});

test("formatRecycleReport() says what came from where", () => {
  const { report } = recycle(denseWeights(), MOE, { seed: 5 });
  const text = formatRecycleReport(report);
  assert(text.includes("recycled by random, seed 5"), text);
  assert(text.includes("blocks.1.mlp.core_experts: 32 of 32 neurons"), text);
  assert(text.includes("blocks.2.mlp.univ_experts: 8 of 32 neurons"), text);
  assert(text.includes("blocks.1,2.mlp.phi, blocks.1,2.mlp.slot_norm.weight"), text);
  assertEquals(JSON.parse(JSON.stringify(report)), report);
});

const WIDE: VitOptions = { ...VIT, embedDim: 16, numHeads: 4 };

/** Statistics of a wide model in which each neuron or channel has its own score in each block. */
function wideStats(): SiteStats {
  const layers = (width: number) =>
    Array.from({ length: 3 }, (_, block) => {
      const scores = Float32Array.from(
        { length: width },
        (_, i) => 1 + (i * 7 + block * 5) % width,
      );
      const co_act = Float32Array.from(
        { length: width * width },
        (_, i) => i % width === Math.trunc(i / width) ? 0 : 1 + (i * (block + 3)) % 5,
      );
      for (let u = 0; u < width; u++) {
        for (let v = 0; v < u; v++) co_act[u * width + v] = co_act[v * width + u];
      }
      return { L1: scores, L2: scores, act_patrn: scores, co_act };
    });
  return { "mlp.act": layers(64), norm2: layers(16), "attn.proj": layers(16) };
}

test("recycle() cuts a wider model down by every method, as the report says", () => {
  const dense = denseWeights(WIDE);
  for (const method of RECYCLE_METHODS) {
    const made = recycle(dense, MOE, { method, stats: wideStats(), seed: 2 });
    assertAsReported(made, dense);
    const { weights, report } = made;
    const want = new VisionTransformerMoe(MOE).namedParameters();
    assertEquals([...weights.keys()], want.map(([name]) => name));
    for (const [name, { shape }] of want) assertEquals([...weights.get(name)!.shape], [...shape]);
    const { selections, entries } = report;
    // One choice of channels for all, experts included; one of the attention's channels a block.
    const channels = selections.filter(({ of }) => of === "channels");
    assertEquals(channels.map(({ total, subset, indices }) => [total, subset, indices.length]), [
      [16, 8, 1],
    ]);
    assertEquals(
      selections.filter(({ of }) => of === "attention").map(({ block }) => block),
      [0, 1, 2],
    );
    const entry = (name: string) => entries.find((e) => e.name === name)!;
    assertEquals(entry("blocks.0.attn.qkv.weight").method, method);
    assertEquals(entry("head.bias").method, "copied");
    // A core expert has 32 of the wide model's 64 neurons: it is cut too.
    const core = selections[entry("blocks.1.mlp.core_experts.vit_fc1.weight").selection!];
    assertEquals([core.of, core.total, core.subset, core.method], ["neurons", 64, 32, method]);
    for (const { indices } of selections) {
      for (const list of indices) assertEquals(list, [...new Set(list)].sort((a, b) => a - b));
    }
  }
});

test("recycle() of a wider model by importance keeps the channels that respond most", () => {
  const { report } = recycle(denseWeights(WIDE), MOE, { method: "importance", stats: wideStats() });
  const scores = wideStats().norm2!.map(({ L2 }) => L2);
  const sums = Array.from({ length: 16 }, (_, i) => scores.reduce((sum, s) => sum + s[i], 0));
  const kept = report.selections.find(({ of }) => of === "channels")!.indices[0];
  const least = Math.min(...kept.map((i) => sums[i]));
  const others = sums.filter((_, i) => !kept.includes(i));
  assert(others.every((sum) => sum <= least), `kept ${kept} of ${sums}`);
});

test("recycle() takes experts from a wider model and the rest from a trunk", () => {
  const dense = denseWeights(WIDE), trunk = denseWeights();
  for (const { data } of trunk.values()) data.forEach((value, i) => data[i] = -value);
  const made = recycle(dense, MOE, { method: "importance", stats: wideStats(), trunk, seed: 4 });
  assertAsReported(made, dense, trunk);
  const { entries, selections } = made.report;
  const entry = (name: string) => entries.find((e) => e.name === name)!;
  assertEquals(entry("blocks.1.attn.qkv.weight").from, "trunk");
  assertEquals(entry("blocks.1.attn.qkv.weight").method, "copied");
  const fc2 = entry("blocks.1.mlp.univ_experts.vit_fc2.weight");
  assertEquals([fc2.from, fc2.method], ["dense", "importance"]);
  const [channels, neurons] = fc2.cuts!.map(({ selection }) => selections[selection]);
  assertEquals([channels.of, channels.subset, channels.indices.length], ["channels", 8, 3]);
  assertEquals([neurons.of, neurons.subset, neurons.indices.length], ["neurons", 8, 3]);
  assert(channels.indices[0].join() !== channels.indices[1].join(), "each expert has its own");
  const text = listRecycledTensors(made.report);
  assert(text.includes("<- trunk blocks.1.attn.qkv.weight  copied"), text);
  const line = "univ_experts.vit_fc2.weight [3, 8, 8] <- blocks.1.mlp.fc2.weight  importance; ";
  assert(text.includes(`${line}axis 0: 8 of 16 channels (`), text);
});

test("recycleSites() names what has to be measured", () => {
  assertEquals(recycleSites("uniform", { wider: true, trunk: false }), []);
  assertEquals(recycleSites("copy", { wider: true, trunk: false }), []);
  assertEquals(recycleSites("graph", { wider: false, trunk: false }), ["mlp.act"]);
  assertEquals(recycleSites("importance", { wider: true, trunk: true }), ["mlp.act", "norm2"]);
  const sites = recycleSites("importance", { wider: true, trunk: false });
  const { norm2, ...rest } = wideStats();
  assertEquals(sites.sort(), Object.keys({ ...rest, norm2 }).sort());
  const fails = (stats: SiteStats, message: string) =>
    assertThrows(
      () => recycle(denseWeights(WIDE), MOE, { method: "importance", stats }),
      ShapeError,
      message,
    );
  fails(rest, "needs statistics of block 0 at norm2, got 0 blocks");
  fails({ ...rest, norm2: rest["mlp.act"] }, "statistics at norm2 are of 64 neurons, there are 16");
});

test("recycle() by copy gives every expert the first neurons", () => {
  const dense = denseWeights();
  const made = recycle(dense, MOE, { method: "copy" });
  assertAsReported(made, dense);
  const univ = made.report.selections.find(({ experts }) => experts === "univ_experts")!;
  assertEquals([univ.method, univ.indices], ["copy", [[0, 1, 2, 3, 4, 5, 6, 7]]]);
  assertThrows(
    () => recycle(dense, MOE, { method: "best" as RecycleOptions["method"] }),
    ShapeError,
    "there is no method best, there are copy, uniform, random, importance, graph",
  );
});

test("recycleFrom() makes the same weights tensor by tensor", async () => {
  const dense = denseWeights(WIDE), trunk = denseWeights();
  const read: string[] = [];
  const source = (state: ReadonlyMap<string, StateEntry>) => ({
    shapes: new Map([...state].map(([name, { shape }]) => [name, shape])),
    read: (name: string) => {
      read.push(name);
      return Promise.resolve(state.get(name)!.data);
    },
  });
  const how = { method: "random", seed: 9 } as const;
  const want = recycle(dense, MOE, { ...how, trunk });
  const got = recycleFrom(source(dense), MOE, { ...how, trunk: source(trunk) });
  assertEquals(got.report, want.report);
  assertEquals(read, [], "the report needs no values");
  for (const [name, { shape, data }] of want.weights) {
    assertEquals([...got.weights.shapes.get(name)!], [...shape]);
    assertEquals(await got.weights.read(name), data, name);
  }
});
