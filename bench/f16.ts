/**
 * `deno run -A bench/f16.ts [--quick]`: memory and time of training and inference in half beside f32, on the adapter at
 * hand. Each kind has a device of its own, whose pool counts its bytes; their steps take turns, so that what else the
 * machine does meets all of them. The table goes to docs/results/f16.md.
 * @module
 */
import { parseArgs } from "node:util";
import { autocast, type Device, noGrad, requestDevice, type Tensor } from "../engine/mod.ts";
import {
  MOE_VIT_PRESETS,
  type MoeVitOptions,
  VisionTransformer,
  VisionTransformerMoe,
  VIT_PRESETS,
  type VitOptions,
} from "../models/mod.ts";
import { AdamW, crossEntropy, GradScaler, type Module } from "../nn/mod.ts";
import { percentile } from "./harness/statistics.ts";

type Classifier = Module & { forward(x: Tensor): Tensor };
type Storage = "f32" | "f16";

/** The widths of a ViT-T with a third of its depth: whole models take minutes a step on a software adapter. */
const SMALL: VitOptions = {
  ...VIT_PRESETS.vit_tiny_patch16_224,
  imgSize: 112,
  patchSize: 8,
  depth: 4,
  numClasses: 100,
};
/** As V-JetMoE-T, with experts in the upper half of the blocks. */
const SMALL_MOE: MoeVitOptions = {
  ...MOE_VIT_PRESETS["V-JetMoE-T"],
  ...SMALL,
  moeLayers: [2, 3],
  coreExperts: 8,
  univExperts: 16,
  noiseMult: 1 / 24,
};
const BATCH = 4;

const MODELS: Readonly<Record<string, () => Classifier>> = {
  "ViT": () => new VisionTransformer(SMALL),
  "MoE ViT": () => new VisionTransformerMoe(SMALL_MOE),
};

/** One kind of run: a device that holds nothing else, and a step on it. */
interface Kind {
  readonly device: Device;
  /** Bytes of parameters, and of their gradients and moments where they are learned. */
  readonly lasting: number;
  readonly step: () => Promise<unknown>;
}

const images = Float32Array.from({ length: BATCH * 3 * 112 * 112 }, (_, i) => Math.sin(i));
const shape = [BATCH, 3, 112, 112];
const labels = Uint32Array.from({ length: BATCH }, (_, i) => 7 * i % 100);

async function training(make: () => Classifier, storage: Storage): Promise<Kind> {
  const device = await requestDevice(), half = storage === "f16";
  const model = await make().to(device);
  const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3 });
  const scaler = half ? new GradScaler(device) : null;
  const lasting = 16 * model.learnedSize;
  const captured = device.capture((x, y) => {
    optimizer.zeroGrad();
    const loss = crossEntropy(autocast(() => model.forward(x), { enabled: half }), y);
    (scaler?.scale(loss) ?? loss).backward();
    if (scaler === null) optimizer.step();
    else {
      scaler.step(optimizer);
      scaler.update();
    }
    return loss.detach();
  });
  return { device, lasting, step: () => captured([images, shape], [labels, [BATCH]]) };
}

async function inference(make: () => Classifier, storage: Storage): Promise<Kind> {
  const device = await requestDevice();
  const model = (await make().to(device)).eval();
  if (storage === "f16") model.half();
  await device.sync();
  device.resetPeak(); // of the f32 parameters that half() replaced
  const lasting = device.memory.liveBytes;
  const captured = device.capture((x) => noGrad(() => model.forward(x.to(storage))));
  return { device, lasting, step: () => captured([images, shape]) };
}

async function milliseconds({ device, step }: Kind): Promise<number> {
  const start = performance.now();
  await step();
  await device.sync();
  return performance.now() - start;
}

/** Times in turn; the ratio is taken within each round. */
async function measure(kinds: Record<Storage, Kind>, rounds: number) {
  const times: Record<Storage, number[]> = { f32: [], f16: [] }, ratios: number[] = [];
  const peaks: Record<Storage, number> = { f32: 0, f16: 0 };
  for (let round = -1; round < rounds; round++) {
    const order: Storage[] = round % 2 === 0 ? ["f32", "f16"] : ["f16", "f32"];
    const ms = { f32: 0, f16: 0 };
    for (const storage of order) ms[storage] = await milliseconds(kinds[storage]);
    if (round < 0) continue; // compiles
    ratios.push(ms.f16 / ms.f32);
    for (const storage of order) times[storage].push(ms[storage]);
  }
  for (const storage of ["f32", "f16"] as const) {
    peaks[storage] = kinds[storage].device.memory.peakBytes;
    kinds[storage].device.destroy();
  }
  return { peaks, times, ratios };
}

const { values: { quick } } = parseArgs({
  options: { quick: { type: "boolean", default: false } },
});
const rounds = quick ? 2 : 7;
const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
const median = (samples: readonly number[]) => percentile(samples, 0.5);

const COLUMNS = [
  "model",
  "work",
  "lasting (MiB)",
  "of the step (MiB)",
  "ratio",
  "ratio of both",
  "f32 (ms)",
  "f16 (ms)",
  "time f16 / f32 (10 to 90 %)",
];
console.log(`| ${COLUMNS.join(" | ")} |`);
console.log(`| ${COLUMNS.map(() => "---").join(" | ")} |`);
let label = "";
for (const [name, make] of Object.entries(MODELS)) {
  for (const [work, kind] of Object.entries({ training, inference })) {
    const kinds = { f32: await kind(make, "f32"), f16: await kind(make, "f16") };
    label = kinds.f32.device.label;
    const { peaks, times, ratios } = await measure(kinds, rounds);
    const own = { f32: peaks.f32 - kinds.f32.lasting, f16: peaks.f16 - kinds.f16.lasting };
    const spread = [0.1, 0.9].map((share) => percentile(ratios, share).toFixed(2)).join(" to ");
    const cells = [
      name,
      work,
      `${mib(kinds.f32.lasting)} to ${mib(kinds.f16.lasting)}`,
      `${mib(own.f32)} to ${mib(own.f16)}`,
      (own.f16 / own.f32).toFixed(2),
      (peaks.f16 / peaks.f32).toFixed(2),
      median(times.f32).toFixed(0),
      median(times.f16).toFixed(0),
      `${median(ratios).toFixed(2)} (${spread})`,
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
console.log(`${label}; ${rounds} rounds, batch ${BATCH}, 197 tokens of 192 channels`);
