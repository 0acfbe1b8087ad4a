import { Wgrad } from "../../bench/frameworks/wgrad.ts";
import { checkResults, WrongResult } from "../../bench/harness/check.ts";
import { pyramidProducts } from "../../bench/equations/pyramid.ts";
import { expectedResults } from "../../bench/reference/expected.ts";
import { runWorkload } from "../../bench/session.ts";
import type { Workload } from "../../bench/workload.ts";
import { attentionWorkloads } from "../../bench/workloads/attention.ts";
import { ALL_WORKLOADS } from "../../bench/workloads/all.ts";
import { findWorkload, nameOf } from "../../bench/workloads/find.ts";
import { convolutionWorkload } from "../../bench/workloads/convolution.ts";
import { matmulWorkload } from "../../bench/workloads/matmul.ts";
import { mcGazeWorkload, pyramidWorkload } from "../../bench/workloads/mcgaze.ts";
import { roiAlignWorkload } from "../../bench/workloads/roi_align.ts";
import {
  entmaxWorkload,
  geluWorkload,
  layerNormWorkload,
  softmaxWorkload,
} from "../../bench/workloads/rows.ts";
import { spheroMoeWorkloads } from "../../bench/workloads/sphero_moe.ts";
import { tinyOpsWorkload } from "../../bench/workloads/tiny_ops.ts";
import {
  trainingWorkload,
  vitForwardWorkload,
  vitGradientWorkload,
} from "../../bench/workloads/vit.ts";
import { RESNET50 } from "../../models/mod.ts";
import { assert, assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

const TINY_VIT = {
  imgSize: 8,
  patchSize: 4,
  inChans: 2,
  numClasses: 3,
  embedDim: 8,
  depth: 2,
  numHeads: 2,
};
const TINY_MOE = {
  ...TINY_VIT,
  globalPool: "avg" as const,
  classToken: false,
  moeLayers: [1],
  coreExperts: 2,
  univExperts: 3,
  slotLayernorm: true,
};

const TINY_GAZE = {
  backbone: { blocks: [1, 2, 1, 1] as const, bottleneck: false, width: 4, frozenStages: -1 },
  imageSize: 64,
  stages: 2,
  channels: 8,
  heads: 2,
  hidden: 8,
  dynamicChannels: 4,
  roiSize: 3,
  finestScale: 16,
};
const TINY_BOTTLENECK = {
  ...TINY_GAZE,
  imageSize: 32,
  backbone: { ...TINY_GAZE.backbone, bottleneck: true, width: 3, stemKernel: 5 },
};

/** Each workload of the table, at a size that takes no time. */
const TINY: readonly Workload[] = [
  matmulWorkload(5, 7, 3),
  softmaxWorkload(3, 5),
  layerNormWorkload(3, 7),
  geluWorkload(3, 5),
  entmaxWorkload(4, 11),
  ...attentionWorkloads(2, 2, 5, 4),
  convolutionWorkload([2, 5, 3], 4, 8, 3),
  convolutionWorkload([2, 3, 5], 3, 5, 1),
  roiAlignWorkload([2, 9, 11], 4, 3),
  ...spheroMoeWorkloads({ batch: 2, tokens: 5, dim: 8, core: 2, univ: 3 }),
  vitForwardWorkload("tiny ViT", TINY_VIT, 2),
  pyramidWorkload({ name: "tiny pyramid", model: TINY_BOTTLENECK, frames: 3 }),
  mcGazeWorkload({ name: "tiny MCGaze", model: TINY_GAZE, frames: 3 }),
  vitGradientWorkload("tiny ViT", TINY_VIT, 3),
  vitGradientWorkload("tiny MoE ViT", TINY_MOE, 3),
  trainingWorkload("tiny ViT", TINY_VIT, 3),
  trainingWorkload("tiny MoE ViT", TINY_MOE, 3),
  tinyOpsWorkload(4, false),
  tinyOpsWorkload(4, true),
];

const SETTING = { runtime: "test", adapter: "test", software: true, driver: null, date: "" };

for (const workload of TINY) {
  gpuTest(`bench: ${workload.name} passes its check before and after timing`, async (device) => {
    const effort = { rounds: 1, seconds: 0 };
    const [row, gpu] = await runWorkload(workload, [new Wgrad(device)], SETTING, effort, 0);
    assertEquals(row.error, undefined);
    assert(row.check.ok && row.median_ms !== null && row.repeats_per_sync >= 1);
    assertEquals(gpu?.clock, device.gpu.features.has("timestamp-query") ? "gpu" : undefined);
    if (gpu) assert(gpu.error === undefined && gpu.median_ms! > 0);
  });

  test(`bench: the check of ${workload.name} refuses each result that is off by a hundredth`, () => {
    const want = expectedResults(workload);
    const right = Object.fromEntries(
      Object.entries(want).map(([name, { values, at }]) => {
        const right = new Float64Array(values.length);
        for (let i = 0; i < values.length; i++) right[at ? at[i] : i] = values[i];
        return [name, right];
      }),
    );
    assertEquals(checkResults(right, want, workload.tolerance), { ok: true, max_abs: 0 });
    for (const [name, values] of Object.entries(right)) {
      const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const wrong = { ...right, [name]: values.with(0, values[0] + 0.01 * most) };
      if (most > 0) assertThrows(() => checkResults(wrong, want, workload.tolerance), WrongResult);
    }
  });
}

test("bench: the multiply-adds of a ResNet-50 are those that are published", () => {
  // 4.09 G at 224 x 224 in torchvision's table, 2 M of them in the classifier that is no part of a backbone.
  assertEquals(pyramidProducts(RESNET50, 224 ** 2, 0) / 1e9, 4.087136256);
  // Lateral convolutions, and one of 3 x 3 on each level.
  const pixels = [56, 28, 14, 7].map((side) => side ** 2), channels = [256, 512, 1024, 2048];
  const neck = pixels.reduce((sum, n, l) => sum + n * 256 * (channels[l] + 9 * 256), 0);
  assertEquals(pyramidProducts(RESNET50, 224 ** 2, 256) - 4087136256, neck);
});

test("bench: every name and shape of the table is there once", () => {
  const names = ALL_WORKLOADS.map(({ name, shape }) => `${name} ${shape}`);
  assertEquals(new Set(names).size, names.length);
});

test("findWorkload() knows the table, and its families at any shape", () => {
  for (const workload of ALL_WORKLOADS) {
    assert(findWorkload(nameOf(workload)) === workload, nameOf(workload));
  }
  const models = /^tiny |ViT|ResNet|MCGaze/;
  for (const workload of TINY.filter(({ name }) => !models.test(name))) {
    const { name, shape, flops, bytes, tolerance } = findWorkload(nameOf(workload));
    assertEquals(
      [name, shape, flops, bytes, tolerance],
      [workload.name, workload.shape, workload.flops, workload.bytes, workload.tolerance],
    );
  }
  for (
    const wrong of ["matmul 3x4", "matmul 0x4x4", "conv 3x5 1x8x8x4 to 4", "conv 2x2 1x8x8x4 to 4"]
  ) {
    assertThrows(() => findWorkload(wrong), RangeError, wrong.split(" ")[0]);
  }
});

test("bench: a product too large to check whole is checked in rows from all over it", () => {
  const { at, values } = matmulWorkload(512, 3, 5, 128 * 15).reference!().y;
  const rows = new Set(Array.from(at!, (i) => Math.floor(i / 5)));
  assertEquals([rows.size, values.length], [128, 128 * 5]);
  // A quarter of the rows by chance: every band of 64 rows, which a tile may cover, has some.
  for (let band = 0; band < 512; band += 64) {
    assert([...rows].some((row) => row >= band && row < band + 64), `rows ${band}+`);
  }
});
