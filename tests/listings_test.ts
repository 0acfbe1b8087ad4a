/**
 * What small models run, kernel by kernel: a lost fusion, a longer life or a dispatch more is a changed line.
 *
 * Kernels are chosen by the class of the adapter, so the listings are made for two classes with the specification's
 * limits, on any machine: recording needs no GPU work.
 * @module
 */
import type { Device } from "../engine/device.ts";
import type { Tensor } from "../engine/tensor.ts";
import { noGrad } from "../engine/autograd.ts";
import { type AdapterClass, DEFAULT_TARGET } from "../kernels/target.ts";
import { VisionTransformerMoe } from "../models/moe_vit.ts";
import type { MoeVitOptions } from "../models/moe_vit_config.ts";
import { VisionTransformer } from "../models/vit.ts";
import { crossEntropy } from "../nn/losses.ts";
import { AdamW } from "../nn/optim/adamw.ts";
import { VISION_IMAGES, VisionStep } from "./engine/vision_step.ts";
import { gpuTest, pretendTarget } from "./harness.ts";
import { assertSnapshot } from "./snapshot.ts";

const SMALL: MoeVitOptions = {
  imgSize: 8,
  patchSize: 4,
  inChans: 1,
  embedDim: 16,
  depth: 2,
  numHeads: 2,
  numClasses: 10,
};
const MOE: MoeVitOptions = { ...SMALL, moeLayers: [1], coreExperts: 2, univExperts: 4 };
const BATCH = 4;

type Step = (device: Device) => Promise<() => unknown>;

function inputs(device: Device): [images: Tensor, labels: Tensor] {
  const images = device.tensor(new Float32Array(BATCH * 64), [BATCH, 1, 8, 8], { label: "images" });
  return [images, device.tensor(new Uint32Array(BATCH), [BATCH], { label: "labels" })];
}

async function training(device: Device, model: VisionTransformer): Promise<() => unknown> {
  await model.to(device);
  const [images, labels] = inputs(device);
  const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3 });
  return () => {
    optimizer.zeroGrad();
    crossEntropy(model.forward(images), labels).backward();
    optimizer.step();
  };
}

async function inference(device: Device, model: VisionTransformer): Promise<() => unknown> {
  await model.eval().to(device);
  const [images] = inputs(device);
  return () => noGrad(() => model.forward(images));
}

async function detector(device: Device): Promise<() => unknown> {
  const model = await new VisionStep().to(device);
  const images = device.tensor(VISION_IMAGES.values, VISION_IMAGES.shape, { label: "images" });
  return () => {
    model.zeroGrad();
    model.forward(images).backward();
  };
}

const STEPS: Readonly<Record<string, Step>> = {
  vit_forward: (device) => inference(device, new VisionTransformer(SMALL)),
  vit_training: (device) => training(device, new VisionTransformer(SMALL)),
  moe_vit_forward: (device) => inference(device, new VisionTransformerMoe(MOE)),
  moe_vit_training: (device) => training(device, new VisionTransformerMoe(MOE)),
  detector_training: detector,
};

for (const adapterClass of ["discrete", "software"] as AdapterClass[]) {
  for (const [name, step] of Object.entries(STEPS)) {
    gpuTest(
      `the listing of ${name} on a ${adapterClass} adapter is as committed`,
      async (device) => {
        pretendTarget(device, { ...DEFAULT_TARGET, adapterClass });
        await assertSnapshot(
          await device.explain(await step(device)),
          `listings/${name}.${adapterClass}.txt`,
        );
      },
      { device: {} },
    );
  }
}
