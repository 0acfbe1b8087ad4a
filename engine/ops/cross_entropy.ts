/**
 * Cross-entropy loss: softmax, logarithm and mean in one or two dispatches, one more for the gradient
 * (kernels/cross_entropy.ts).
 * @module
 */
import {
  crossEntropy as crossEntropyKernel,
  crossEntropyBackward,
  crossEntropyVariant,
} from "../../kernels/cross_entropy.ts";
import { record } from "../autograd.ts";
import { run } from "../dispatch.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { expectDType, expectFloat, expectShape, type Tensor } from "../tensor.ts";
import { reducePasses } from "./reduce_passes.ts";

/** Options of `crossEntropy`. */
export interface CrossEntropyOptions {
  /** s in [0, 1]: each target becomes (1 - s) target + s / C; default 0. */
  labelSmoothing?: number;
}

/**
 * Mean over the batch of -sum over classes of target * log softmax(logits).
 *
 * Gradient: with the smoothed target t: dlogits = dy (softmax(logits) sum(t) - t) / B; none for target.
 * @param logits [B, C], f32 or f16
 * @param target class numbers [B] (i32 or u32, in [0, C): the caller sees to that, a GPU cannot throw), or class
 *   weights [B, C] (f32). Targets are constants: no gradient flows into them
 * @returns a scalar
 * @throws {ShapeError} when shapes do not fit, or there is no row or no class
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  { labelSmoothing = 0 }: CrossEntropyOptions = {},
): Tensor {
  expectFloat("crossEntropy: logits", logits);
  const [batch, classes] = expectShape("crossEntropy: logits", logits, ["B", "C"]);
  expectDType("crossEntropy: target", target, "i32", "u32", "f32");
  const soft = target.dtype === "f32";
  if (soft && target.rank === 1) {
    throw new DTypeError("crossEntropy: target [B] holds class numbers, make it i32 or u32");
  }
  expectShape("crossEntropy: target", target, soft ? [batch, classes] : [batch]);
  if (logits.size === 0) {
    throw new ShapeError(`crossEntropy(): ${logits.describe()} has no rows or no classes`);
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ShapeError(`crossEntropy(): labelSmoothing is ${labelSmoothing}, needs [0, 1]`);
  }
  const shape = { batch, classes, soft, smoothing: labelSmoothing };
  const { device } = logits;
  const variant = crossEntropyVariant(shape, device.target);
  const stats = device.empty([batch, 4], "f32", "crossEntropy.stats");
  const fused = variant === "fused";
  const losses = device.empty(fused ? [] : [batch], "f32", "crossEntropy");
  run(crossEntropyKernel(shape, variant), { x: logits, targets: target, stats, losses });
  const loss = fused
    ? losses
    : reducePasses("crossEntropy", "sum", losses, [0], [], { scale: 1 / batch })!;
  record("crossEntropy", {
    inputs: { logits },
    outputs: [loss],
    saved: { logits, target, stats },
    backward: ({ saved, dOut }) => {
      const { dtype } = saved.logits;
      const dx = dOut.device.empty([batch, classes], dtype, "crossEntropy.backward");
      const { logits: x, target: targets, stats } = saved;
      run(crossEntropyBackward(shape), { x, targets, stats, dOut, dx });
      return { logits: dx };
    },
  });
  return loss;
}
