/**
 * Whole models: ViT-Tiny forward, and training steps of a small ViT and of the demo's dense and MoE ViT.
 * @module
 */
import {
  AdamW,
  crossEntropy,
  type MoeVitOptions,
  noGrad,
  VisionTransformer,
  VisionTransformerMoe,
  VIT_PRESETS,
  type VitConfig,
  vitConfig,
  type VitOptions,
} from "../../mod.ts";
import { imageSize } from "../../models/vit_config.ts";
import { DENSE, MOE } from "../../cli/demo/recipe.ts";
import { spheroMoeProducts } from "../equations/sphero_moe.ts";
import { vit, vitProducts } from "../equations/vit.ts";
import { elements, generator, type HostTensor, uniform, weightsFor } from "../host_tensor.ts";
import {
  type AdamWSettings,
  type ForwardWork,
  type GradientWork,
  once,
  type TrainingWork,
  type Workload,
} from "../workload.ts";
import { free, place, shapesOf, upload } from "./ours.ts";

/** The forward pass of a dense model. */
export function vitForwardWorkload(name: string, options: VitOptions, batch: number): Workload {
  const model = () => new VisionTransformer(options);
  const { config } = model();
  const shapes = shapesOf(model());
  const work = once((): ForwardWork => ({
    kind: "forward",
    inputs: { images: imagesFor(batch, config) },
    weights: weightsFor(shapes),
    compute: (ops, p) => ({ logits: vit(ops, p, p.images, config) }),
  }));
  const weightBytes = 4 * shapes.reduce((sum, [, shape]) => sum + elements(shape), 0);
  return {
    name: `${name} forward`,
    shape: [batch, config.inChans, ...imageSize(config)].join("x"),
    flops: 2 * batch * vitProducts(config),
    bytes: weightBytes,
    tolerance: 1e-4,
    work,
    wgrad: async (device) => {
      const placed = (await place(device, model(), work().weights)).eval();
      const { images } = upload(device, work().inputs);
      return {
        step: () => ({ logits: noGrad(() => placed.forward(images)) }),
        dispose: () => (placed.dispose(), free({ images })),
      };
    },
  };
}

const OPTIMIZER: AdamWSettings = {
  lr: 1e-3,
  weightDecay: 0.05,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
};

/** A training step: forward, cross-entropy, backward, AdamW. */
export function trainingWorkload(
  name: string,
  options: VitOptions | MoeVitOptions,
  batch: number,
): Workload {
  const isMoe = "moeLayers" in options;
  const model = () => isMoe ? new VisionTransformerMoe(options) : new VisionTransformer(options);
  const { config } = model();
  const { numClasses } = config;
  const work = once((): TrainingWork => ({
    kind: "training",
    inputs: { images: imagesFor(batch, config), target: oneHot(batch, numClasses) },
    weights: weightsFor(shapesOf(model())),
    compute: (ops, p) => ({
      loss: ops.crossEntropy(vit(ops, p, p.images, config), p.target, 0),
    }),
    optimizer: OPTIMIZER,
  }));
  return {
    name: `${name} training step`,
    shape:
      `${batch}x${config.inChans}x${config.imgSize}x${config.imgSize}, patch ${config.patchSize}`,
    flops: 6 * batch * productsOf(options, model()),
    bytes: null,
    tolerance: 1e-4,
    work,
    wgrad: async (device) => {
      const placed = await place(device, model(), work().weights);
      const { lr, weightDecay, beta1, beta2, eps } = OPTIMIZER;
      const settings = { lr, weightDecay, betas: [beta1, beta2] as const, eps };
      const optimizer = new AdamW(placed.namedParameters(), settings);
      const tensors = upload(device, work().inputs);
      const step = () => {
        optimizer.zeroGrad();
        const loss = crossEntropy(placed.forward(tensors.images), tensors.target);
        loss.backward();
        optimizer.step();
        return { loss };
      };
      return {
        step,
        dispose: () => (optimizer.dispose(), placed.dispose(), free(tensors)),
      };
    },
  };
}

/** Forward, then the gradients of all parameters for a given one of the logits: a training step without its optimiser. */
export function vitGradientWorkload(
  name: string,
  options: VitOptions | MoeVitOptions,
  batch: number,
): Workload {
  const model = () =>
    "moeLayers" in options ? new VisionTransformerMoe(options) : new VisionTransformer(options);
  const { config } = model();
  const shapes = shapesOf(model());
  const weightBytes = 4 * shapes.reduce((sum, [, shape]) => sum + elements(shape), 0);
  const work = once((): GradientWork => ({
    kind: "gradient",
    inputs: { images: imagesFor(batch, config) },
    weights: weightsFor(shapes),
    compute: (ops, p) => ({ y: vit(ops, p, p.images, config) }),
    dOut: uniform([batch, config.numClasses], 2),
    wrt: shapes.map(([name]) => name),
  }));
  return {
    name: `${name} forward+backward`,
    shape: [batch, config.inChans, ...imageSize(config)].join("x"),
    flops: 6 * batch * productsOf(options, model()),
    bytes: 3 * weightBytes,
    tolerance: 1e-4,
    work,
    wgrad: async (device) => {
      // Without noise and dropped paths, so that its gradients are those of the reference.
      const placed = (await place(device, model(), work().weights)).eval();
      const tensors = upload(device, { ...work().inputs, dOut: work().dOut });
      const step = () => {
        placed.zeroGrad();
        const y = placed.forward(tensors.images);
        y.backward(tensors.dOut);
        const gradients = placed.namedParameters().map(([name, { grad }]) => [`d ${name}`, grad!]);
        return { y, ...Object.fromEntries(gradients) };
      };
      return { step, dispose: () => (placed.dispose(), free(tensors)) };
    },
  };
}

/** Multiply-adds of a forward pass on one image. */
function productsOf(options: VitOptions | MoeVitOptions, model: VisionTransformer): number {
  const dense = vitProducts(vitConfig(options));
  if (!(model instanceof VisionTransformerMoe)) return dense;
  const { embedDim: dim, moeLayers, coreExperts: core, univExperts: univ, mlpRatio } = model.config;
  const tokens = model.posEmbed.shape[1];
  const layer = spheroMoeProducts({
    batch: 1,
    tokens,
    dim,
    core,
    univ,
    coreHidden: 4 * dim,
    univHidden: dim,
  });
  return dense + moeLayers.length * (layer - 2 * mlpRatio * tokens * dim * dim);
}

function imagesFor(batch: number, config: VitConfig): HostTensor {
  return uniform([batch, config.inChans, ...imageSize(config)], 1, 2);
}

function oneHot(batch: number, classes: number): HostTensor {
  const next = generator(4), data = new Float32Array(batch * classes);
  for (let i = 0; i < batch; i++) data[i * classes + Math.floor(next() * classes)] = 1;
  return { shape: [batch, classes], data };
}

/** The small ViT of the issue: 16 tokens. */
export const SMALL_VIT: VitOptions = {
  imgSize: 28,
  patchSize: 7,
  inChans: 1,
  numClasses: 10,
  embedDim: 64,
  depth: 4,
  numHeads: 4,
  globalPool: "avg",
  classToken: false,
};

/** At full size. */
export const MODELS: readonly Workload[] = [
  vitForwardWorkload("ViT-Tiny", VIT_PRESETS.vit_tiny_patch16_224, 1),
  trainingWorkload("small ViT", SMALL_VIT, 64),
  trainingWorkload("demo's dense ViT", DENSE, 64),
  trainingWorkload("demo's MoE ViT", MOE, 64),
];
