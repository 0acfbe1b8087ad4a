/**
 * Convolutions of a ResNet's first group, for a clip of seven frames.
 * @module
 */
import { conv2d } from "../../mod.ts";
import { uniform } from "../host_tensor.ts";
import { type ForwardWork, once, type Workload } from "../workload.ts";
import { forwardRun } from "./ours.ts";

/** Maps of so many images, rows and columns. */
export type MapSize = readonly [batch: number, height: number, width: number];

/** A convolution with bias, stride 1, whose result is as large as its input. @param kernel its side, odd */
export function convolutionWorkload(
  [batch, height, width]: MapSize,
  channels: number,
  outChannels: number,
  kernel: number,
): Workload {
  const padding = (kernel - 1) / 2, inputs = channels * kernel ** 2;
  const pixels = batch * height * width;
  const work = once((): ForwardWork => ({
    kind: "forward",
    inputs: { x: { ...uniform([batch, height, width, channels], 1), role: "maps" } },
    weights: {
      filter: {
        ...uniform([outChannels, channels, kernel, kernel], 2, Math.sqrt(3 / inputs)),
        role: "filter",
      },
      bias: uniform([outChannels], 3, 0.1),
    },
    compute: (ops, { x, filter, bias }) => ({
      y: ops.conv2d(x, filter, bias, { stride: 1, padding }),
    }),
  }));
  return {
    name: `conv ${kernel}x${kernel}`,
    shape: `${batch}x${height}x${width}x${channels} to ${outChannels}`,
    flops: 2 * pixels * inputs * outChannels,
    bytes: 4 * (pixels * (channels + outChannels) + inputs * outChannels),
    tolerance: 1e-5,
    work,
    wgrad: (device) =>
      forwardRun(device, work(), ({ x, filter, bias }) => ({
        y: conv2d(x, filter, bias, { padding }),
      })),
  };
}

/** Those of the issue. */
export const CONVOLUTIONS: readonly Workload[] = [
  convolutionWorkload([7, 56, 56], 64, 64, 3),
  convolutionWorkload([7, 56, 56], 256, 64, 1),
];
