/**
 * Backbone and pyramid of MCGaze as ONNX nodes; the equations are those of models/resnet.ts and models/fpn.ts. Maps have
 * their channels first here, as ONNX wants them.
 * @module
 */
import type { ResNetConfig } from "../models/mod.ts";
import type { Scope } from "./scope.ts";

/** Maps [N, C, height, width]. */
export interface Maps {
  readonly value: string;
  readonly height: number;
  readonly width: number;
}

/** A convolution by its name, with zeros around the map so that only the stride makes it smaller. */
function conv(at: Scope, name: string, { value, height, width }: Maps, stride = 1): Maps {
  const layer = at.in(name);
  const kernel = layer.shapeOf("weight")[2], padding = (kernel - 1) >> 1;
  const bias = layer.has("bias") ? [layer.weight("bias")] : [];
  return {
    value: layer.node("Conv", [value, layer.weight("weight"), ...bias], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
    }),
    height: Math.ceil(height / stride),
    width: Math.ceil(width / stride),
  };
}

function batchNorm(at: Scope, name: string, { value, ...size }: Maps): Maps {
  const norm = at.in(name);
  const parameters = ["weight", "bias", "running_mean", "running_var"].map((n) => norm.weight(n));
  const attributes = { epsilon: { float: 1e-5 } };
  return { value: norm.node("BatchNormalization", [value, ...parameters], attributes), ...size };
}

function relu(at: Scope, { value, ...size }: Maps): Maps {
  return { value: at.relu(value), ...size };
}

/** Images to the four maps. */
export function resNetNodes(at: Scope, images: Maps, { blocks, bottleneck }: ResNetConfig): Maps[] {
  const stem = relu(at, batchNorm(at, "bn1", conv(at, "conv1", images, 2)));
  let x: Maps = {
    value: at.node("MaxPool", [stem.value], {
      kernel_shape: [3, 3],
      strides: [2, 2],
      pads: [1, 1, 1, 1],
    }),
    height: Math.ceil(stem.height / 2),
    width: Math.ceil(stem.width / 2),
  };
  return blocks.map((count, group) => {
    for (let i = 0; i < count; i++) {
      const stride = i === 0 && group > 0 ? 2 : 1;
      x = block(at.in(`layer${group + 1}.${i}`), x, stride, bottleneck);
    }
    return x;
  });
}

function block(at: Scope, x: Maps, stride: number, bottleneck: boolean): Maps {
  const shortcut = at.has("downsample.0.weight")
    ? batchNorm(at, "downsample.1", conv(at, "downsample.0", x, stride))
    : x;
  const strides = bottleneck ? [1, stride, 1] : [stride, 1];
  let y = x;
  strides.forEach((stride, i) => {
    y = batchNorm(at, `bn${i + 1}`, conv(at, `conv${i + 1}`, y, stride));
    if (i < strides.length - 1) y = relu(at, y);
  });
  return relu(at, { ...y, value: at.add(y.value, shortcut.value) });
}

/** Maps to the levels of the pyramid, finest first. */
export function pyramidNodes(at: Scope, maps: readonly Maps[]): Maps[] {
  const inner = maps.map((map, i) => conv(at, `lateral_convs.${i}.conv`, map));
  for (let i = inner.length - 2; i >= 0; i--) {
    const fine = inner[i], coarse = stretched(at, inner[i + 1], fine);
    inner[i] = { ...fine, value: at.add(fine.value, coarse) };
  }
  return inner.map((map, i) => conv(at, `fpn_convs.${i}.conv`, map));
}

/** A map with the rows and columns of another one: each repeats the nearest pixel, index floor(i from / to). */
function stretched(at: Scope, from: Maps, to: Maps): string {
  const places = (size: number, wanted: number) =>
    at.integers(Array.from({ length: wanted }, (_, i) => Math.floor(i * size / wanted)));
  const rows = at.node("Gather", [from.value, places(from.height, to.height)], { axis: 2 });
  return at.node("Gather", [rows, places(from.width, to.width)], { axis: 3 });
}
