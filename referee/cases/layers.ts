/**
 * Kinds 3, 4 and 5: experts, the Soft MoE layer and the SpheroMoE layer, each alone.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { permute, reshape } from "../../engine/ops/mod.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { Experts } from "../../nn/experts.ts";
import type { Module } from "../../nn/module.ts";
import type { MoeConfig } from "../../nn/moe_input.ts";
import { SoftMoe } from "../../nn/soft_moe.ts";
import { SpheroMoe } from "../../nn/sphero_moe.ts";
import type { CaseConfig, GoldenCase, Results } from "../case.ts";
import { stateUnder } from "../model.ts";
import { runDifferentiated } from "../results.ts";

/** Kind 3: the slots [B, E, s, D] of each expert through its two layers. */
export function expertsCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const experts = new Experts(
    config.number("experts"),
    config.number("dim"),
    config.number("hidden"),
    { layerScale: golden.has("param.scale_in.gamma") },
  );
  return layerCase(golden, device, experts, (x) => {
    const [batch, count, slots, dim] = x.shape;
    const rows = reshape(permute(x, [1, 0, 2, 3]), [count, batch * slots, dim]);
    const y = reshape(experts.forward(rows), [count, batch, slots, dim]);
    return permute(y, [1, 0, 2, 3]);
  });
}

/** Kind 4. */
export function softMoeCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const dim = golden.shape("param.phi")[2];
  const layer = new SoftMoe(dim, {
    ...moeConfig(config),
    experts: config.number("num_experts"),
    hidden: Math.trunc(4 * config.number("compress_ratio", 1) * dim),
    layerScale: config.flag("layer_scale", false),
  });
  return layerCase(golden, device, layer, (x) => asAuthors(layer.forward(x)));
}

/** Kind 5. */
export function spheroMoeCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const dim = golden.shape("param.phi")[2];
  const compress = config.number("compress_ratio", 1);
  const layer = new SpheroMoe(dim, {
    ...moeConfig(config),
    coreExperts: config.number("core_experts"),
    univExperts: config.number("univ_experts"),
    coreHidden: Math.trunc(4 * compress * dim),
    univHidden: Math.trunc(4 * config.number("univ_factor", 1 / 4) * compress * dim),
    heads: config.flag("multi_head", false) ? config.number("num_heads", 3) : 1,
  });
  return layerCase(golden, device, layer, (x) => asAuthors(layer.forward(x)));
}

/** Gives a map the height that the authors' layers do: the whole part of sqrt(tokens). Ours keep the input's. */
function asAuthors(y: Tensor): Tensor {
  if (y.rank !== 4) return y;
  const [batch, height, width, dim] = y.shape, tokens = height * width;
  const theirs = Math.trunc(Math.sqrt(tokens));
  return reshape(y, [batch, theirs, tokens / theirs, dim]);
}

/** Settings that both MoE layers share. */
function moeConfig(config: CaseConfig): MoeConfig {
  return {
    slotsPerExpert: config.number("slots_per_expert", 1),
    slotLayernorm: config.flag("slot_layernorm", false),
    keyProj: config.flag("key_proj", false),
    queryProj: config.flag("query_proj", false),
    addNoise: config.flag("add_noise", false),
    noiseMult: config.number("noise_mult", 1),
  };
}

/** Loads a layer's parameters, runs it on `input.x` in evaluation mode and differentiates. */
async function layerCase(
  golden: GoldenCase,
  device: Device,
  layer: Module,
  forward: (x: Tensor) => Tensor,
): Promise<Results> {
  layer.loadStateDict(stateUnder(golden, "param."));
  await layer.eval().to(device);
  try {
    return await runDifferentiated(golden, device, () => {
      const x = golden.upload(device, "input.x");
      const parameters = layer.namedParameters().map(([name, p]) => [`param.${name}`, p]);
      const leaves = { "input.x": x, ...Object.fromEntries(parameters) };
      return { outputs: { y: forward(x) }, leaves };
    });
  } finally {
    layer.dispose();
  }
}
