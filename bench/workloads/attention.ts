/**
 * Attention of ViT-Tiny at batch 8, from packed queries, keys and values.
 * @module
 */
import { attention } from "../../mod.ts";
import { uniform } from "../host_tensor.ts";
import { type ForwardWork, type GradientWork, once, type Workload } from "../workload.ts";
import { forwardRun, gradientRun } from "./ours.ts";

/** Forward, and forward with backward, for [batch, tokens, 3 heads dim]. */
export function attentionWorkloads(
  batch: number,
  heads: number,
  tokens: number,
  dim: number,
): Workload[] {
  const shape = `${batch}x${heads}x${tokens}x${dim}`;
  const products = 2 * batch * heads * tokens * tokens * dim;
  const forward = once((): ForwardWork => ({
    kind: "forward",
    inputs: { qkv: uniform([batch, tokens, 3 * heads * dim], 1, 2) },
    weights: {},
    compute: (ops, { qkv }) => ({ y: ops.attention(qkv, heads) }),
  }));
  const gradient = once((): GradientWork => ({
    ...forward(),
    kind: "gradient",
    dOut: uniform([batch, tokens, heads * dim], 2),
    wrt: ["qkv"],
  }));
  const io = 4 * batch * tokens * heads * dim;
  return [{
    name: "attention forward",
    shape,
    flops: 2 * products,
    bytes: 4 * io,
    tolerance: 1e-4,
    work: forward,
    wgrad: (device) => forwardRun(device, forward(), ({ qkv }) => ({ y: attention(qkv, heads) })),
  }, {
    name: "attention forward+backward",
    shape,
    // Forward has two products; backward four, and needs the scores, which are not stored, again.
    flops: 2 * products * 3.5,
    bytes: 12 * io,
    tolerance: 1e-4,
    work: gradient,
    wgrad: (device) => gradientRun(device, gradient(), ({ qkv }) => attention(qkv, heads)),
  }];
}

/** ViT-Tiny's. */
export const ATTENTION: readonly Workload[] = attentionWorkloads(8, 3, 197, 64);
