/**
 * Zeros behind the last axis, for kernels that load four channels at a time.
 *
 *     y[..., c] = x[..., c] for c < C, else 0      dx = the first C channels of dy
 * @module
 */
import { embedRows } from "../../kernels/concat.ts";
import { record } from "../autograd.ts";
import { run } from "../dispatch.ts";
import type { Tensor } from "../tensor.ts";
import { slice } from "./shape_ops.ts";

/** x [..., C] with zeros up to `channels`: [..., channels]. */
export function padChannels(x: Tensor, channels: number): Tensor {
  const piece = x.shape[x.rank - 1];
  const y = x.device.empty([...x.shape.slice(0, -1), channels], x.dtype, "padded channels");
  if (y.size > 0) {
    run(embedRows({ rows: x.size / piece, length: channels, begin: 0, piece }), { x, y });
  }
  record("padChannels", {
    inputs: { x },
    outputs: [y],
    saved: {},
    backward: ({ dOut }) => ({ x: slice(dOut, -1, 0, piece) }),
  });
  return y;
}
