/** Expert and mixture-of-experts layers against the authors' code: outputs and every gradient. */
import type { Device, Tensor } from "../../engine/mod.ts";
import { ShapeError } from "../../engine/mod.ts";
import { permute, reshape } from "../../engine/ops/mod.ts";
import { Experts, type Module, SoftMoe, SpheroMoe } from "../../nn/mod.ts";
import { GoldenCase } from "../../referee/case.ts";
import { compareCase } from "../../referee/compare.ts";
import { type Manifest, parseManifest } from "../../referee/manifest.ts";
import { stateUnder } from "../../referee/model.ts";
import { runDifferentiated } from "../../referee/results.ts";
import { testValues } from "../gradcheck.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertThrows,
  gpuTest,
  loadFixture,
} from "../harness.ts";

let manifest: Promise<Manifest> | undefined;

async function load(name: string): Promise<GoldenCase> {
  manifest ??= loadFixture("golden/manifest.json")
    .then((bytes) => parseManifest(new TextDecoder().decode(bytes)));
  const entry = (await manifest).cases.find((c) => c.name === name)!;
  return await GoldenCase.read(entry, await loadFixture(`golden/${entry.file}`));
}

async function check(
  device: Device,
  golden: GoldenCase,
  layer: Module,
  forward: (x: Tensor) => Tensor,
): Promise<void> {
  layer.loadStateDict(stateUnder(golden, "param."));
  await layer.to(device);
  const results = await runDifferentiated(golden, device, () => {
    const x = golden.upload(device, "input.x");
    const parameters = layer.namedParameters().map(([name, p]) => [`param.${name}`, p]);
    return {
      outputs: { y: forward(x) },
      leaves: { "input.x": x, ...Object.fromEntries(parameters) },
    };
  });
  const verdict = compareCase(golden, results);
  assert(verdict.ok, verdict.what);
  layer.dispose();
}

for (const name of ["moe_03_experts", "moe_03_experts_1slot"]) {
  gpuTest(`Experts gives the authors' outputs and gradients: ${name}`, async (device) => {
    const golden = await load(name), { config } = golden;
    const [batch, experts, slots, dim] = golden.shape("input.x");
    const layer = new Experts(experts, dim, config.number("hidden"));
    await check(device, golden, layer, (x) => {
      const rows = reshape(permute(x, [1, 0, 2, 3]), [experts, batch * slots, dim]);
      return permute(reshape(layer.forward(rows), [experts, batch, slots, dim]), [1, 0, 2, 3]);
    });
  });
}

for (const name of ["moe_04_softmoe_keyproj", "moe_04_softmoe_l2", "moe_04_softmoe_slotln"]) {
  gpuTest(`SoftMoe gives the authors' outputs and gradients: ${name}`, async (device) => {
    const golden = await load(name), { json } = golden.config;
    const dim = golden.shape("input.x")[2];
    const layer = new SoftMoe(dim, {
      experts: Number(json.num_experts),
      slotsPerExpert: Number(json.slots_per_expert),
      hidden: Math.trunc(4 * Number(json.compress_ratio ?? 1) * dim),
      slotLayernorm: json.slot_layernorm === true,
      keyProj: json.key_proj === true,
      queryProj: json.query_proj === true,
      layerScale: json.layer_scale === true,
    });
    await check(device, golden, layer, (x) => layer.forward(x));
  });
}

for (const which of ["ln_s1", "ln_s2_c05", "noln_s1", "noln_s2", "multihead"]) {
  gpuTest(`SpheroMoe gives the authors' outputs and gradients: ${which}`, async (device) => {
    const golden = await load(`moe_05_dual_${which}`), { json } = golden.config;
    const dim = golden.shape("input.x")[2];
    const hidden = 4 * Number(json.compress_ratio ?? 1) * dim;
    const layer = new SpheroMoe(dim, {
      coreExperts: Number(json.core_experts),
      univExperts: Number(json.univ_experts),
      coreHidden: Math.trunc(hidden),
      univHidden: Math.trunc(Number(json.univ_factor) * hidden),
      slotsPerExpert: Number(json.slots_per_expert),
      slotLayernorm: json.slot_layernorm === true,
      heads: json.multi_head === true ? Number(json.num_heads) : 1,
    });
    await check(device, golden, layer, (x) => layer.forward(x));
  });
}

const small = { coreExperts: 2, univExperts: 3, univHidden: 4 };

gpuTest("MoE layers take maps of any height and width", async (device) => {
  const layer = await new SpheroMoe(8, small).to(device, { seed: 1 });
  const x = testValues(2 * 6 * 8);
  const [tokens, map] = await device.step(() => [
    layer.forward(device.tensor(x, [2, 6, 8])).data(),
    layer.forward(device.tensor(x, [2, 2, 3, 8])).data(),
  ]);
  assertEquals(await map, await tokens);
});

gpuTest(
  "addNoise acts in evaluation too and is the same for equal seed and step",
  async (device) => {
    const layers = [
      await new SpheroMoe(8, { ...small, addNoise: true }).to(device),
      await new SoftMoe(8, { experts: 3, addNoise: true, noiseMult: 2 }).to(device),
    ];
    for (const layer of layers) {
      layer.eval();
      const run = (step: number) => {
        device.stepIndex = step;
        return device.step(() => layer.forward(device.tensor(testValues(40), [1, 5, 8])).data());
      };
      const first = await run(7);
      assertEquals(await run(7), first);
      const other = await run(8);
      assert(first.some((v, i) => v !== other[i]));
    }
  },
);

gpuTest('noise "training" is there in training only', async (device) => {
  for (
    const layer of [
      await new SpheroMoe(8, { ...small, addNoise: "training", noiseMult: 2 }).to(device),
      await new SoftMoe(8, { experts: 3, addNoise: "training", noiseMult: 2 }).to(device),
    ]
  ) {
    const run = (step: number) => {
      device.stepIndex = step;
      return device.step(() => layer.forward(device.tensor(testValues(40), [1, 5, 8])).data());
    };
    const noisy = await run(7), other = await run(8);
    assert(noisy.some((v, i) => v !== other[i]));
    layer.eval();
    const clean = await run(7);
    assertEquals(await run(8), clean);
    assert(noisy.some((v, i) => v !== clean[i]));
  }
});

gpuTest(
  "routing weights are shares: of the tokens to dispatch, of the slots to combine",
  async (device) => {
    const sphero = await new SpheroMoe(8, { ...small, temperatures: [0.1, -0.2] }).to(device);
    const soft = await new SoftMoe(8, { experts: 3, slotsPerExpert: 2, slotLayernorm: true }).to(
      device,
    );
    assertEquals(
      await Promise.all(sphero.scales.map((t) => t.item())),
      [0.1, -0.2].map(Math.fround),
    );
    for (const layer of [sphero, soft]) {
      const { dispatch, combine, slots } = await device.step(() => {
        const x = device.tensor(testValues(80), [2, 5, 8]);
        const [dispatch, combine] = [layer.dispatchWeights(x), layer.combineWeights(x)];
        return { dispatch: dispatch.data(), combine: combine.data(), slots: dispatch.shape[2] };
      });
      const d = await dispatch, c = await combine as Float32Array;
      for (let b = 0; b < 2; b++) {
        for (let s = 0; s < slots; s++) {
          let sum = 0;
          for (let n = 0; n < 5; n++) sum += d[(b * 5 + n) * slots + s];
          assertClose([sum], [1], { atol: 1e-6 });
        }
        for (let n = 0; n < 5; n++) {
          const row = c.subarray((b * 5 + n) * slots, (b * 5 + n + 1) * slots);
          assertClose([row.reduce((x, y) => x + y)], [1], { atol: 1e-6 });
        }
      }
    }
    for (const temperatures of [[0, 1], [1, NaN]] as const) {
      assertThrows(
        () => new SpheroMoe(8, { ...small, temperatures }),
        ShapeError,
        "a temperature is",
      );
    }
  },
);

gpuTest("dropPath drops all experts of a sample, in training only", async (device) => {
  const layer = await new SpheroMoe(8, { ...small, dropPath: 0.5 }).to(device);
  const x = testValues(32 * 4 * 8);
  const run = () => device.step(() => layer.forward(device.tensor(x, [32, 4, 8])).data());
  const trained = await run();
  layer.eval();
  const whole = await run();
  let dropped = 0;
  for (let b = 0; b < 32; b++) {
    const got = trained.subarray(b * 32, (b + 1) * 32), full = whole.subarray(b * 32, (b + 1) * 32);
    const factor = got.every((v) => v === 0) ? 0 : 2;
    if (factor === 0) dropped++;
    assertClose(got, Float32Array.from(full, (v) => factor * v), { rtol: 1e-5, atol: 1e-6 });
  }
  assert(dropped > 4 && dropped < 28, `${dropped} of 32`);
});

gpuTest("MoE layers refuse what does not fit", async (device) => {
  assertThrows(() => new SpheroMoe(8, { ...small, heads: 3 }), ShapeError, "3 heads");
  assertThrows(
    () => new SpheroMoe(8, { ...small, heads: 2, queryProj: true }),
    ShapeError,
    "one head",
  );
  const layer = await new SpheroMoe(8, small).to(device);
  const x = device.zeros([2, 6, 9]);
  assertThrows(() => layer.forward(x), ShapeError, "needs [B, N, 8] or [B, H, W, 8]");
});
