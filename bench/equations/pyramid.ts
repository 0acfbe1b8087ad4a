/**
 * A ResNet with a feature pyramid behind it over `Ops`; models/resnet.ts and models/fpn.ts have the same equations in wgrad.
 * @module
 */
import type { HostTensor, HostTensors } from "../host_tensor.ts";
import { elements } from "../host_tensor.ts";
import type { Ops } from "../ops/ops.ts";
import { resNetChannels, type ResNetConfig } from "../../models/resnet.ts";

/** Added to a variance, as in PyTorch's batch norm. */
const BATCH_NORM_EPS = 1e-5;

/**
 * Images [N, 3, H, W] to the levels [N, h, w, C] of a pyramid, finest first.
 * @param p what `foldedPyramid` returns, as a framework's tensors
 */
export function pyramid<T>(
  ops: Ops<T>,
  p: Readonly<Record<string, T>>,
  images: T,
  { blocks, bottleneck, stemKernel }: ResNetConfig,
): T[] {
  const conv = (name: string, x: T, stride: number, padding: number, relu: boolean) =>
    ops.conv2d(x, p[`${name}.weight`], p[`${name}.bias`], { stride, padding, relu });
  let x = conv("backbone.conv1", ops.permute(images, [0, 2, 3, 1]), 2, (stemKernel - 1) >> 1, true);
  x = ops.maxPool(x);
  const maps = blocks.map((count, group) => {
    for (let i = 0; i < count; i++) {
      const block = `backbone.layer${group + 1}.${i}`, stride = i === 0 && group > 0 ? 2 : 1;
      const shortcut = p[`${block}.downsample.0.weight`] === undefined
        ? x
        : conv(`${block}.downsample.0`, x, stride, 0, false);
      const branch = bottleneck
        ? conv(
          `${block}.conv3`,
          conv(`${block}.conv2`, conv(`${block}.conv1`, x, 1, 0, true), stride, 1, true),
          1,
          0,
          false,
        )
        : conv(`${block}.conv2`, conv(`${block}.conv1`, x, stride, 1, true), 1, 1, false);
      x = ops.relu(ops.add(branch, shortcut));
    }
    return x;
  });
  const inner = maps.map((map, i) => conv(`neck.lateral_convs.${i}.conv`, map, 1, 0, false));
  for (let i = inner.length - 2; i >= 0; i--) {
    const factor = ops.shape(inner[i])[1] / ops.shape(inner[i + 1])[1];
    inner[i] = ops.add(inner[i], ops.stretch(inner[i + 1], factor));
  }
  return inner.map((map, i) => conv(`neck.fpn_convs.${i}.conv`, map, 1, 1, false));
}

/**
 * The parameters for `pyramid`: each batch norm folded into the convolution before it, once and for all, as inference
 * engines do when they load a model. Whatever is no convolution or batch norm stays as it is.
 * @param state a model's state dict
 */
export function foldedPyramid(state: HostTensors): HostTensors {
  const folded: Record<string, HostTensor> = {};
  for (const [name, value] of Object.entries(state)) {
    if (value.shape.length === 4) folded[name] = { ...value, role: "filter" };
    else if (!name.startsWith("backbone.")) folded[name] = value;
  }
  for (const name of Object.keys(state).filter((name) => name.endsWith("running_var"))) {
    const norm = name.slice(0, -".running_var".length);
    const conv = norm.replace(/bn(\d)$/, "conv$1").replace(/downsample\.1$/, "downsample.0");
    const of = (what: string) => state[`${norm}.${what}`].data;
    const rate = of("running_var").map((v, o) => of("weight")[o] / Math.sqrt(v + BATCH_NORM_EPS));
    const { shape, data } = folded[`${conv}.weight`], inputs = elements(shape.slice(1));
    folded[`${conv}.weight`] = {
      shape,
      role: "filter",
      data: data.map((v, i) => v * rate[Math.floor(i / inputs)]),
    };
    folded[`${conv}.bias`] = {
      shape: [shape[0]],
      data: of("bias").map((v, o) => v - of("running_mean")[o] * rate[o]),
    };
  }
  return folded;
}

/** Multiply-adds on one image of so many rows and columns, each a multiple of 32. */
export function pyramidProducts(config: ResNetConfig, pixels: number, channels: number): number {
  const { blocks, bottleneck, width, stemKernel } = config, outputs = resNetChannels(config);
  let products = pixels / 4 * width * 3 * stemKernel ** 2;
  blocks.forEach((count, group) => {
    const own = width * 2 ** group, out = outputs[group], size = pixels / 16 / 4 ** group;
    for (let i = 0; i < count; i++) {
      const inputs = i > 0 ? out : group > 0 ? outputs[group - 1] : width;
      // The first block of a later group is strided: in its 3 x 3 convolution, behind a bottleneck's first one.
      const before = i === 0 && group > 0 ? 4 * size : size;
      products += bottleneck
        ? before * inputs * own + size * (9 * own * own + own * out)
        : size * 9 * (inputs * own + own * out);
      if (inputs !== out || before !== size) products += size * inputs * out;
    }
    products += size * (out * channels + 9 * channels ** 2);
  });
  return products;
}
