/**
 * Multi-head self-attention on packed q, k and v; forward and backward maths in kernels/attention.ts.
 *
 * What is kept for the backward: the packed input, the output and one number a row (its logsumexp), never N x N.
 * @module
 */
import {
  attentionInputBackward,
  attentionScores,
  attentionScoresBackward,
  attentionSoftmax,
  attentionValues,
} from "../../kernels/attention.ts";
import { type AttentionShape, attentionSizes } from "../../kernels/attention_reference.ts";
import {
  attentionOnline,
  attentionOnlineBackwardKV,
  attentionOnlineBackwardQ,
} from "../../kernels/attention_online.ts";
import { attentionVariant } from "../../kernels/attention_variant.ts";
import { record } from "../autograd.ts";
import { autocastCopy } from "../cast.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectFloat, expectShape, type Tensor } from "../tensor.ts";

/** Options of `attention`. */
export interface AttentionOptions {
  /** Factor of the scores; default 1 / sqrt(channels of a head). */
  scale?: number;
}

/**
 * softmax(scale q k^T) v for each head (arXiv:1706.03762, eq. 1), heads side by side in the result.
 *
 * Gradient: with P = softmax(scale q k^T) and dS = P (dy v^T - the row sums of dy y), a head at a time:
 * dqkv = [dq, dk, dv], dq = scale dS k, dk = scale dS^T q, dv = P^T dy.
 * @param qkv [B, N, 3 D], packed as timm does: channels are [3, heads, D / heads], q before k before v
 * @param heads how many heads share the D channels
 * @returns [B, N, D]
 * @throws {ShapeError} when qkv is not [B, N, 3 D], D is not a multiple of `heads` or the scale not a number
 */
export function attention(qkv: Tensor, heads: number, options: AttentionOptions = {}): Tensor {
  expectFloat("attention: qkv", qkv);
  const [batch, tokens, width] = expectShape("attention: qkv", qkv, ["B", "N", "3 D"]);
  if (!Number.isInteger(heads) || heads < 1 || width % (3 * heads) !== 0 || width === 0) {
    throw new ShapeError(
      `attention(): qkv has ${width} channels, needs a positive multiple of 3 * heads (heads = ${heads})`,
    );
  }
  const shape: AttentionShape = { batch, tokens, heads, headDim: width / 3 / heads };
  const scale = options.scale ?? 1 / Math.sqrt(shape.headDim);
  if (!Number.isFinite(scale)) throw new ShapeError(`attention(): scale is ${scale}`);
  const { device } = qkv, input = qkv;
  qkv = autocastCopy(qkv);
  const out = device.empty([batch, tokens, width / 3], qkv.dtype, "attention");
  const lse = device.empty([batch, heads, tokens], "f32", "attention logsumexp");
  if (out.size > 0) forward(shape, scale, qkv, out, lse);
  record("attention", {
    inputs: { qkv: input },
    outputs: [out],
    saved: { qkv, out, lse },
    backward: ({ saved, dOut }) => {
      const dqkv = dOut.device.empty(saved.qkv.shape, saved.qkv.dtype, "attention gradient");
      if (dqkv.size > 0) backward(shape, scale, { ...saved, dOut, dqkv });
      return { qkv: dqkv };
    },
  });
  return out;
}

function forward(
  shape: AttentionShape,
  scale: number,
  qkv: Tensor,
  out: Tensor,
  lse: Tensor,
): void {
  const { device } = qkv;
  const variant = attentionVariant(shape, device.target);
  if (variant.kind === "online") {
    return run(attentionOnline(shape, scale, variant.forward), { qkv, out, lse });
  }
  const s = device.empty([attentionSizes(shape).pairs], "f32", "attention scores");
  run(attentionScores(shape, scale), { qkv, s });
  run(attentionSoftmax(shape), { s, lse });
  run(attentionValues(shape), { qkv, p: s, out });
}

function backward(
  shape: AttentionShape,
  scale: number,
  tensors: { qkv: Tensor; out: Tensor; lse: Tensor; dOut: Tensor; dqkv: Tensor },
): void {
  const { qkv, out, lse, dOut, dqkv } = tensors;
  const { device } = qkv;
  const variant = attentionVariant(shape, device.target);
  if (variant.kind === "online") {
    const delta = device.empty(lse.shape, "f32", "attention delta");
    const { backwardQ, backwardKV } = variant;
    run(attentionOnlineBackwardQ(shape, scale, backwardQ), { qkv, out, dOut, lse, delta, dqkv });
    return run(attentionOnlineBackwardKV(shape, scale, backwardKV), {
      qkv,
      dOut,
      lse,
      delta,
      dqkv,
    });
  }
  const { pairs } = attentionSizes(shape);
  const p = device.empty([pairs], "f32", "attention probabilities");
  const ds = device.empty([pairs], "f32", "attention score gradients");
  run(attentionScoresBackward(shape, scale), { qkv, out, dOut, lse, p, ds });
  run(attentionInputBackward(shape, scale), { qkv, dOut, p, ds, dqkv });
}
