import { ShapeError } from "../../engine/errors.ts";
import { noGrad } from "../../engine/autograd.ts";
import type { Device } from "../../engine/device.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { activationStats, siteStats, type StatsOptions } from "../../models/activation_stats.ts";
import { VisionTransformerMoe } from "../../models/moe_vit.ts";
import { type Site, VisionTransformer } from "../../models/vit.ts";
import type { VitOptions } from "../../models/vit_config.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertRejects, gpuTest } from "../harness.ts";

const VIT: VitOptions = {
  imgSize: 8,
  patchSize: 4,
  embedDim: 6,
  depth: 2,
  numHeads: 2,
  numClasses: 3,
  mlpRatio: 2,
};
const WIDTH = 12, TOKENS = 5;

function images(device: Device, count: number, seed: number): Tensor {
  return device.tensor(testValues(count * 3 * 64, seed), [count, 3, 8, 8]);
}

async function model(device: Device): Promise<VisionTransformer> {
  return (await new VisionTransformer(VIT).to(device, { seed: 4 })).eval();
}

/** The activations of block 0 on some images, [count * TOKENS, WIDTH]. */
async function hidden(
  vit: VisionTransformer,
  batch: Tensor,
  at: Site = "mlp.act",
): Promise<Float32Array> {
  const reads = await batch.device.step(() =>
    noGrad(() => {
      const reads: Promise<ArrayLike<number>>[] = [];
      vit.forwardFeatures(batch, {
        onSite: (site, x) => void (site === at && reads.push(x.data())),
      });
      return reads;
    })
  );
  return await reads[0] as Float32Array;
}

gpuTest("activationStats() adds up the statistics of each batch", async (device) => {
  const vit = await model(device);
  const batches = [images(device, 3, 1), images(device, 2, 2)];
  const thresholds: number[][] = [];
  const stats = await activationStats(
    vit,
    batches,
    { percentile: 60 },
    (t) => thresholds.push([...t]),
  );
  assertEquals([stats.length, thresholds.length, thresholds[0].length], [2, 2, 2]);
  const L1 = Array(WIDTH).fill(0), L2 = Array(WIDTH).fill(0), fires = Array(WIDTH).fill(0);
  const together = Array(WIDTH * WIDTH).fill(0);
  for (const [b, batch] of batches.entries()) {
    const a = await hidden(vit, batch), rows = a.length / WIDTH;
    assertEquals(rows, batch.shape[0] * TOKENS);
    const sorted = [...a].sort((x, y) => x - y), at = 0.6 * (a.length - 1);
    const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
    assertClose([thresholds[b][0]], [low + (high - low) * (at % 1)], { atol: 1e-6 });
    for (let j = 0; j < WIDTH; j++) {
      let squares = 0;
      for (let r = 0; r < rows; r++) {
        const value = a[r * WIDTH + j];
        L1[j] += Math.abs(value) / rows;
        squares += value * value;
        const on = value > thresholds[b][0];
        if (on) fires[j] += 1 / rows;
        for (let k = 0; k < WIDTH; k++) {
          if (on && k !== j && a[r * WIDTH + k] > thresholds[b][0]) {
            together[j * WIDTH + k] += 1 / rows;
          }
        }
      }
      L2[j] += Math.sqrt(squares) / rows;
    }
  }
  assertClose(stats[0].L1, L1, { atol: 1e-6, name: "L1" });
  assertClose(stats[0].L2, L2, { atol: 1e-6, name: "L2" });
  assertClose(stats[0].act_patrn, fires, { atol: 1e-6, name: "act_patrn" });
  assertClose(stats[0].co_act, together, { atol: 1e-6, name: "co_act" });
  vit.dispose();
});

gpuTest("activationStats() compares strictly with each kind of threshold", async (device) => {
  const vit = await model(device), batch = images(device, 2, 3);
  const a = await hidden(vit, batch);
  const share = async (options: StatsOptions) => {
    let threshold = NaN;
    const [{ act_patrn }] = await activationStats(vit, [batch], options, ([t]) => threshold = t);
    const mean = act_patrn.reduce((x, y) => x + y, 0) / WIDTH;
    return { threshold, mean };
  };
  const above = (t: number) => a.filter((x) => x > t).length / a.length;
  assertEquals(await share({ percentile: 100 }), { threshold: Math.max(...a), mean: 0 });
  const lowest = await share({ percentile: 0 });
  assertClose([lowest.threshold, lowest.mean], [Math.min(...a), above(Math.min(...a))], {
    atol: 1e-6,
  });
  const fixed = await share({ threshold: "fixed" });
  assertClose([fixed.threshold, fixed.mean], [0, above(0)], { atol: 1e-6 });
  const { threshold, mean } = await share({ threshold: "mean_std" });
  const average = a.reduce((x, y) => x + y, 0) / a.length;
  const variance = a.reduce((sum, x) => sum + (x - average) ** 2, 0) / a.length;
  assertClose([threshold], [average + Math.sqrt(variance)], { atol: 1e-6 });
  assertClose([mean], [above(threshold)], { atol: 1e-6 });
  vit.dispose();
});

gpuTest("siteStats() measures each site, in one go or alone", async (device) => {
  const vit = await model(device), batch = images(device, 2, 3);
  const sites = ["attn.proj", "norm2", "mlp.act", "mlp.fc2"] as const;
  const all = await siteStats(vit, [batch], sites, { coActivation: false });
  for (const site of sites) {
    const a = await hidden(vit, batch, site), width = site === "mlp.act" ? WIDTH : 6;
    const L1 = new Float64Array(width);
    a.forEach((value, i) => L1[i % width] += Math.abs(value) / (a.length / width));
    assertClose(all[site]![0].L1, L1, { atol: 1e-6, name: site });
    assertEquals(all[site]![0].co_act.length, 0);
    const alone = await activationStats(vit, [batch], { site });
    assertEquals(alone.map(({ act_patrn }) => [...act_patrn]), [
      ...all[site]!.map(({ act_patrn }) => [...act_patrn]),
    ]);
    assertEquals(alone[0].co_act.length, width * width);
  }
  vit.dispose();
});

gpuTest("activationStats() refuses what it cannot measure", async (device) => {
  const vit = await model(device), batch = images(device, 1, 3);
  const fails = (message: string, ...args: Parameters<typeof activationStats>) =>
    assertRejects(() => activationStats(...args), ShapeError, message);
  await fails("at least one batch", vit, []);
  await fails("percentile 101", vit, [batch], { percentile: 101 });
  await fails("threshold odd", vit, [batch], { threshold: "odd" as "fixed" });
  const options = { ...VIT, moeLayers: [1], coreExperts: 2, univExperts: 2 };
  const moe = await new VisionTransformerMoe(options).to(device);
  await fails("1 of 2 blocks have a dense MLP", moe, [batch]);
  assert(vit.training === false, "the model is left as it was");
  vit.dispose();
  moe.dispose();
});
