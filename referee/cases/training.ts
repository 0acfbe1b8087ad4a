/**
 * Kind 9: learning rate and weight decay of every parameter, and a few AdamW steps of a small MoE ViT.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { DataError } from "../../engine/errors.ts";
import { add, crossEntropy, mul, sum } from "../../engine/ops/mod.ts";
import type { Tensor } from "../../engine/tensor.ts";
import {
  layerDecay,
  type LayerDecayOptions,
  type ParameterSettings,
} from "../../models/layer_decay.ts";
import type { VisionTransformer } from "../../models/vit.ts";
import { AdamW } from "../../nn/optim/adamw.ts";
import { parameterGroups } from "../../nn/optim/param_groups.ts";
import { type CaseConfig, type GoldenCase, NotUnderstoodError, type Results } from "../case.ts";
import { visionModel } from "../../models/presets.ts";
import { modelOptions, placedModel } from "../model.ts";
import { labelSmoothing } from "./losses.ts";

/** Runs a case of kind 9: training where it holds images, otherwise the settings alone. */
export function trainingCase(golden: GoldenCase, device: Device): Promise<Results> | Results {
  return golden.has("input.images") ? stepsCase(golden, device) : settingsCase(golden);
}

/** The settings of all parameters, in the order that the case gives. */
function settingsCase(golden: GoldenCase): Results {
  const names = golden.data.parameter_names;
  if (!Array.isArray(names)) throw new DataError(`${golden.name}: no data.parameter_names`);
  const model = visionModel(modelOptions(golden.config.object("model")));
  const settings = new Map(settingsOf(golden.config, model).map((s) => [s.name, s]));
  const inOrder = names.map((name) => {
    const found = settings.get(String(name));
    if (found === undefined) throw new DataError(`${golden.name}: the model has no ${name}`);
    return found;
  });
  return new Map([
    ["output.lr", inOrder.map(({ lr }) => lr)],
    ["output.weight_decay", inOrder.map(({ weightDecay }) => weightDecay)],
    ["output.layer_id", inOrder.map(({ layerId }) => layerId)],
  ]);
}

/** Trains on the stored batches; then, from the start, one step with the stored gradients alone. */
async function stepsCase(golden: GoldenCase, device: Device): Promise<Results> {
  const schedule = golden.config.text("lr_schedule", "constant");
  if (schedule !== "constant") throw new NotUnderstoodError(`the schedule ${schedule}`);
  const results: Results = new Map();
  const finals = await trained(golden, device, async (model, optimizer) => {
    const losses: number[] = [], norms: number[] = [];
    const [steps] = golden.shape("input.images");
    for (let i = 0; i < steps; i++) {
      const reads = await device.step(() => {
        optimizer.zeroGrad();
        const loss = lossOn(golden, device, model, i);
        loss.backward();
        const gradients = i > 0 ? [] : model.namedParameters()
          .map(([name, { grad }]) => [name, grad!.data()] as const);
        const norm = optimizer.clipGradNorm(golden.config.number("clip_grad_max_norm", Infinity));
        optimizer.step();
        return { loss: loss.item(), norm: norm.item(), gradients };
      });
      losses.push(await reads.loss);
      norms.push(await reads.norm);
      for (const [name, read] of reads.gradients) results.set(`grad.step0.${name}`, await read);
    }
    const after = await device.step(() => lossOn(golden, device, model, 0).item());
    results.set("output.loss_per_step", losses);
    results.set("output.grad_norm_per_step", norms);
    results.set("output.loss_after", [after]);
  });
  for (const [name, { data }] of finals) results.set(`output.final.${name}`, data);

  const firsts = await trained(golden, device, async (model, optimizer) => {
    await device.step(() => {
      // The gradient of sum(p g) by p is g, to the bit.
      const terms = model.namedParameters().map(([name, parameter]) =>
        sum(mul(parameter, device.tensor(golden.floats(`grad.step0.${name}`), parameter.shape)))
      );
      terms.reduce((a, b) => add(a, b)).backward();
      optimizer.clipGradNorm(golden.config.number("clip_grad_max_norm", Infinity));
      optimizer.step();
    });
  });
  for (const [name, { data }] of firsts) results.set(`output.step1.${name}`, data);
  return results;
}

/** Runs a training on a fresh model with the case's optimiser; returns the parameters after it. */
async function trained(
  golden: GoldenCase,
  device: Device,
  train: (model: VisionTransformer, optimizer: AdamW) => Promise<void>,
): Promise<ReadonlyMap<string, { readonly data: Float32Array }>> {
  const { config } = golden;
  const model = await placedModel(golden, config.object("model"), device);
  const groups = parameterGroups(model.namedParameters(), settingsOf(config, model));
  const [beta1, beta2] = config.numbers("betas", [0.9, 0.999]);
  const optimizer = new AdamW(groups, {
    lr: config.number("base_lr"),
    betas: [beta1, beta2],
    eps: config.number("eps", 1e-8),
  });
  try {
    await train(model, optimizer);
    return await model.stateDict();
  } finally {
    optimizer.dispose();
    model.dispose();
  }
}

/** The loss on batch `i` of the case. */
function lossOn(golden: GoldenCase, device: Device, model: VisionTransformer, i: number): Tensor {
  const batch = (name: string): Tensor => {
    const [, ...shape] = golden.shape(name);
    const size = shape.reduce((a, b) => a * b, 1);
    return device.tensor(golden.values(name).subarray(i * size, (i + 1) * size), shape);
  };
  return crossEntropy(model.forward(batch("input.images")), batch("input.labels"), {
    labelSmoothing: labelSmoothing(golden, 0.1),
  });
}

/** Learning rates and decay as the case's settings ask. */
function settingsOf(config: CaseConfig, model: VisionTransformer): ParameterSettings[] {
  const optional = (key: string) => config.has(key) ? config.number(key) : undefined;
  const customKeys: Record<string, { decayMult?: number }> = {};
  if (config.has("custom_keys")) {
    const custom = config.object("custom_keys");
    for (const key of Object.keys(custom.json)) {
      const inner = custom.object(key);
      customKeys[key] = inner.has("decay_mult") ? { decayMult: inner.number("decay_mult") } : {};
    }
  }
  const options: LayerDecayOptions = {
    baseLr: config.number("base_lr"),
    weightDecay: config.number("weight_decay"),
    layerDecayRate: config.number("layer_decay_rate", 1),
    normDecayMult: optional("norm_decay_mult"),
    biasDecayMult: optional("bias_decay_mult"),
    flatDecayMult: optional("flat_decay_mult"),
    customKeys,
  };
  return layerDecay(model.namedParameters(), model.config.depth, options);
}
