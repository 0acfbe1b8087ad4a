/**
 * The SpheroMoE layer (arXiv:2406.04801, section 3.3) over `Ops`; nn/sphero_moe.ts has the same equations in wgrad.
 * @module
 */
import type { Ops } from "../ops/ops.ts";

const LAYER_NORM_EPS = 1e-5, L2_EPS = 1e-6;

/**
 * Tokens [B, N, D] to the same. One slot an expert, one head.
 * @param p parameters under MoE Jetpack's names, after `prefix`
 */
export function spheroMoe<T>(
  ops: Ops<T>,
  p: Readonly<Record<string, T>>,
  prefix: string,
  x: T,
): T {
  const at = (name: string) => p[`${prefix}${name}`];
  const [batch, , dim] = ops.shape(x);
  const [experts] = ops.shape(at("phi"));
  const slots = ops.reshape(at("phi"), [experts, dim]);
  const normed = at("slot_norm.weight") === undefined
    ? slots
    : ops.layerNorm(slots, at("slot_norm.weight"), at("slot_norm.bias"), LAYER_NORM_EPS);
  const queries = ops.l2Normalize(normed, L2_EPS);
  const keys = ops.l2Normalize(x, L2_EPS);
  const [, tokens] = ops.shape(x);
  const flat = ops.matmul(ops.reshape(keys, [batch * tokens, dim]), queries, { transposeB: true });
  const cosines = ops.reshape(flat, [batch, tokens, experts]);
  const dispatch = ops.softmax(ops.div(cosines, at("scales.0")), 1);
  const mixed = ops.matmul(dispatch, x, { transposeA: true }); // [B, E, D]
  const perExpert = ops.permute(mixed, [1, 0, 2]);
  const core = ops.shape(at("core_experts.vit_fc1.bias"))[0];
  const path = (name: string, begin: number, end: number) => {
    const layer = (i: number, what: string) => at(`${name}.vit_fc${i}.${what}`);
    const u = ops.slice(perExpert, 0, begin, end);
    const hidden = ops.groupedLinear(u, layer(1, "weight"), layer(1, "bias"), "gelu");
    return ops.groupedLinear(hidden, layer(2, "weight"), layer(2, "bias"));
  };
  const y = ops.concat([path("core_experts", 0, core), path("univ_experts", core, experts)], 0);
  const combine = ops.entmax15(ops.div(cosines, at("scales.1")));
  return ops.matmul(combine, ops.permute(y, [1, 0, 2]));
}

/** Multiply-adds of a forward pass. */
export function spheroMoeProducts(size: {
  batch: number;
  tokens: number;
  dim: number;
  core: number;
  univ: number;
  coreHidden: number;
  univHidden: number;
}): number {
  const { batch, tokens, dim, core, univ, coreHidden, univHidden } = size;
  const routing = 3 * batch * tokens * (core + univ) * dim;
  return routing + batch * 2 * dim * (core * coreHidden + univ * univHidden);
}
