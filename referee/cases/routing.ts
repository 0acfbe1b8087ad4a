/**
 * Kind 1: the cosine routing logits of a SpheroMoE layer.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { cosineScores, div, l2Normalize, reshape, sphereQueries } from "../../engine/ops/mod.ts";
import { type GoldenCase, NotUnderstoodError, type Results } from "../case.ts";
import { pick, runDifferentiated, uploadAll } from "../results.ts";

/** Runs a case of kind 1. */
export function routingCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const l2Eps = config.number("l2norm_eps", 1e-6);
  const normEps = config.number("slot_layernorm_eps", 1e-5);
  if (l2Eps !== 1e-6) throw new NotUnderstoodError(`l2norm_eps ${l2Eps}; the routing has 1e-6`);
  return runDifferentiated(golden, device, () => {
    const leaves = {
      ...uploadAll(golden, device, "input."),
      ...uploadAll(golden, device, "param."),
    };
    const x = pick(leaves, "input.x"), phi = pick(leaves, "param.phi");
    const [experts, slots, dim] = phi.shape;
    const [batch, tokens] = x.shape;
    const query = sphereQueries(
      phi,
      leaves["param.slot_norm.weight"],
      leaves["param.slot_norm.bias"],
      normEps,
    );
    const scores = cosineScores(x, reshape(query, [experts * slots, dim]));
    const logits = reshape(scores, [batch, tokens, experts, slots]);
    const outputs = {
      key: l2Normalize(x),
      query,
      logits,
      dispatch_logits: div(logits, pick(leaves, "param.scales.0")),
      combine_logits: div(logits, pick(leaves, "param.scales.1")),
    };
    return { outputs, leaves };
  });
}
