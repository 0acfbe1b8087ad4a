/**
 * The operations as nodes of an ONNX graph, weights as initialisers: what ONNX Runtime's tools export, so that its own
 * optimiser fuses what it can. Linear maps are MatMul with a weight turned beforehand, plus Add.
 * @module
 */
import { elements, type HostTensor } from "../host_tensor.ts";
import { ComposedOps } from "../ops/composed.ts";
import type { Activation, ConvOptions, RoiOptions } from "../ops/ops.ts";
import { type Attributes, CONTRIBUTED, type OnnxGraph } from "../../onnx/graph.ts";

/** TensorProto.DataType of f32. */
const FLOAT = 1;

/** A value of the graph. */
export interface OnnxValue {
  readonly name: string;
  readonly shape: readonly number[];
  /** The values of a weight. */
  readonly host?: HostTensor;
  /** Maps that lie in the graph as [B, C, H, W], which convolutions want; the shape is [B, H, W, C] all the same. */
  readonly channelsFirst?: boolean;
}

/** The axes of maps in that order. */
export const CHANNELS_FIRST: readonly number[] = [0, 3, 1, 2];
/** Back to that of their shape. */
export const CHANNELS_LAST: readonly number[] = [0, 2, 3, 1];

/** A weight: it enters the graph when a node first reads it, which a turned or reshaped copy may save it from. */
class Weight implements OnnxValue {
  #name: string | null = null;
  readonly shape: readonly number[];
  constructor(readonly graph: OnnxGraph, readonly hint: string, readonly host: HostTensor) {
    this.shape = host.shape;
  }

  get name(): string {
    const { shape, data } = this.host;
    return this.#name ??= this.graph.constant(this.hint, shape, data);
  }
}

/** Adds nodes to a graph. */
export class OnnxOps extends ComposedOps<OnnxValue> {
  /** Whether the equations had attention in them. */
  sawAttention = false;
  readonly #graph: OnnxGraph;
  readonly #fusedAttention: boolean;

  /** @param fusedAttention use ONNX Runtime's own MultiHeadAttention */
  constructor(graph: OnnxGraph, fusedAttention: boolean) {
    super();
    this.#graph = graph;
    this.#fusedAttention = fusedAttention;
  }

  #node(
    shape: readonly number[],
    type: string,
    inputs: readonly OnnxValue[],
    attributes: Attributes = {},
    domain: "" | typeof CONTRIBUTED = "",
  ): OnnxValue {
    const names = inputs.map((x) => this.plain(x).name);
    return { name: this.#graph.node(type, names, attributes, { domain }), shape };
  }

  /** The same value in the order of its shape. */
  plain(x: OnnxValue): OnnxValue {
    if (!x.channelsFirst) return x;
    return {
      name: this.#graph.node("Transpose", [x.name], { perm: CHANNELS_LAST }),
      shape: x.shape,
    };
  }

  /** A node whose maps have their channels first. */
  #mapsNode(
    shape: readonly number[],
    type: string,
    maps: readonly OnnxValue[],
    others: readonly OnnxValue[] = [],
    attributes: Attributes = {},
  ): OnnxValue {
    const names = maps.map((x) =>
      x.channelsFirst ? x.name : this.#graph.node("Transpose", [x.name], { perm: CHANNELS_FIRST })
    );
    const inputs = [...names, ...others.map(({ name }) => name)];
    return { name: this.#graph.node(type, inputs, attributes), shape, channelsFirst: true };
  }

  constant(values: HostTensor): OnnxValue {
    return this.weight("constant", values);
  }

  #integers(values: readonly number[]): OnnxValue {
    const data = BigInt64Array.from(values, BigInt);
    return {
      name: this.#graph.constant("sizes", [values.length], data),
      shape: [values.length],
    };
  }

  #number(value: number): OnnxValue {
    return { name: this.#graph.constant("number", [], Float32Array.of(value)), shape: [] };
  }

  /** A weight as an initialiser. */
  weight(hint: string, host: HostTensor): OnnxValue {
    return new Weight(this.#graph, hint, host);
  }

  shape(x: OnnxValue): readonly number[] {
    return x.shape;
  }

  reshape(x: OnnxValue, shape: readonly number[]): OnnxValue {
    if (x.host) return this.weight("reshaped", { shape, data: x.host.data });
    return this.#node(shape, "Reshape", [x, this.#integers(shape)]);
  }

  permute(x: OnnxValue, axes: readonly number[]): OnnxValue {
    if (!x.channelsFirst && axes.join() === CHANNELS_LAST.join()) {
      return { name: x.name, shape: axes.map((a) => x.shape[a]), channelsFirst: true };
    }
    return this.#node(axes.map((a) => x.shape[a]), "Transpose", [x], { perm: axes });
  }

  slice(x: OnnxValue, axis: number, begin: number, end: number): OnnxValue {
    const places = [[begin], [end], [axis]].map((place) => this.#integers(place));
    return this.#node(x.shape.with(axis, end - begin), "Slice", [x, ...places]);
  }

  concat(parts: readonly OnnxValue[], axis: number): OnnxValue {
    const size = parts.reduce((sum, part) => sum + part.shape[axis], 0);
    return this.#node(parts[0].shape.with(axis, size), "Concat", parts, { axis });
  }

  broadcastTo(x: OnnxValue, shape: readonly number[]): OnnxValue {
    return this.#node(shape, "Expand", [x, this.#integers(shape)]);
  }

  #binary(type: string, a: OnnxValue, b: OnnxValue): OnnxValue {
    const rank = Math.max(a.shape.length, b.shape.length);
    const at = (x: OnnxValue, i: number) => x.shape[x.shape.length - rank + i] ?? 1;
    const shape = Array.from({ length: rank }, (_, i) => Math.max(at(a, i), at(b, i)));
    const keeps = a.channelsFirst && b.channelsFirst && a.shape.join() === b.shape.join();
    return keeps ? this.#mapsNode(shape, type, [a, b]) : this.#node(shape, type, [a, b]);
  }

  add(a: OnnxValue, b: OnnxValue): OnnxValue {
    return this.#binary("Add", a, b);
  }

  sub(a: OnnxValue, b: OnnxValue): OnnxValue {
    return this.#binary("Sub", a, b);
  }

  mul(a: OnnxValue, b: OnnxValue): OnnxValue {
    return this.#binary("Mul", a, b);
  }

  div(a: OnnxValue, b: OnnxValue): OnnxValue {
    return this.#binary("Div", a, b);
  }

  scale(x: OnnxValue, factor: number): OnnxValue {
    return this.#binary("Mul", x, this.#number(factor));
  }

  shift(x: OnnxValue, term: number): OnnxValue {
    return this.#binary("Add", x, this.#number(term));
  }

  sqrt(x: OnnxValue): OnnxValue {
    return this.#node(x.shape, "Sqrt", [x]);
  }

  exp(x: OnnxValue): OnnxValue {
    return this.#node(x.shape, "Exp", [x]);
  }

  relu(x: OnnxValue): OnnxValue {
    return x.channelsFirst
      ? this.#mapsNode(x.shape, "Relu", [x])
      : this.#node(x.shape, "Relu", [x]);
  }

  atLeast(x: OnnxValue, least: number): OnnxValue {
    const is = this.#node(x.shape, "GreaterOrEqual", [x, this.#number(least)]);
    return this.#node(x.shape, "Cast", [is], { to: FLOAT });
  }

  gelu(x: OnnxValue): OnnxValue {
    return this.#node(x.shape, "Gelu", [x]);
  }

  sum(x: OnnxValue, axis: number): OnnxValue {
    return this.#node(x.shape.with(axis, 1), "ReduceSum", [x, this.#integers([axis])]);
  }

  max(x: OnnxValue, axis: number): OnnxValue {
    return this.#node(x.shape.with(axis, 1), "ReduceMax", [x, this.#integers([axis])]);
  }

  stopGradient(x: OnnxValue): OnnxValue {
    return x;
  }

  softmax(x: OnnxValue, axis: number): OnnxValue {
    return this.#node(x.shape, "Softmax", [x], { axis });
  }

  logSoftmax(x: OnnxValue, axis: number): OnnxValue {
    return this.#node(x.shape, "LogSoftmax", [x], { axis });
  }

  override layerNorm(x: OnnxValue, weight: OnnxValue, bias: OnnxValue, eps: number): OnnxValue {
    const attributes = { axis: -1, epsilon: { float: eps } };
    return this.#node(x.shape, "LayerNormalization", [x, weight, bias], attributes);
  }

  matmul(
    a: OnnxValue,
    b: OnnxValue,
    { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {},
  ): OnnxValue {
    const left = transposeA ? this.#turned(a) : a, right = transposeB ? this.#turned(b) : b;
    const shape = [...left.shape.slice(0, -1), right.shape[right.shape.length - 1]];
    return this.#node(shape, "MatMul", [left, right]);
  }

  /** The last two axes exchanged; of a weight, once and for all. */
  #turned(x: OnnxValue): OnnxValue {
    if (x.host) return this.weight("turned", turned(x.host));
    const axes = x.shape.map((_, i) => i);
    return this.permute(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
  }

  override linear(
    x: OnnxValue,
    weight: OnnxValue,
    bias: OnnxValue,
    activation: Activation = "none",
  ): OnnxValue {
    const y = this.add(this.matmul(x, weight, { transposeB: true }), bias);
    return activation === "gelu" ? this.gelu(y) : y;
  }

  override attention(qkv: OnnxValue, heads: number): OnnxValue {
    this.sawAttention = true;
    if (!this.#fusedAttention) return super.attention(qkv, heads);
    const [batch, tokens, width] = qkv.shape, dim = width / 3;
    const parts = [0, 1, 2].map((i) => this.slice(qkv, 2, i * dim, (i + 1) * dim));
    const shape = [batch, tokens, dim];
    return this.#node(shape, "MultiHeadAttention", parts, { num_heads: heads }, CONTRIBUTED);
  }

  conv2d(x: OnnxValue, filter: OnnxValue, bias: OnnxValue, options: ConvOptions): OnnxValue {
    const { stride, padding, relu = false } = options;
    const [batch, height, width] = x.shape, [outputs, , ...kernel] = filter.shape;
    const out = [height, width].map((size, i) =>
      Math.floor((size + 2 * padding - kernel[i]) / stride) + 1
    );
    const pads = [padding, padding, padding, padding], strides = [stride, stride];
    const attributes = { kernel_shape: kernel, pads, strides };
    const y = this.#mapsNode([batch, ...out, outputs], "Conv", [x], [filter, bias], attributes);
    return relu ? this.relu(y) : y;
  }

  maxPool(x: OnnxValue): OnnxValue {
    const [batch, height, width, channels] = x.shape;
    const [outHeight, outWidth] = [height, width].map((size) => Math.floor((size - 1) / 2) + 1);
    const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [2, 2] };
    return this.#mapsNode([batch, outHeight, outWidth, channels], "MaxPool", [x], [], attributes);
  }

  override stretch(x: OnnxValue, factor: number): OnnxValue {
    const [batch, height, width, channels] = x.shape;
    const none = { name: "", shape: [] };
    const scales = this.constant({ shape: [4], data: Float32Array.of(1, 1, factor, factor) });
    return this.#mapsNode(
      [batch, factor * height, factor * width, channels],
      "Resize",
      [x],
      [none, scales],
      {
        mode: "nearest",
        coordinate_transformation_mode: "asymmetric",
        nearest_mode: "floor",
      },
    );
  }

  /** Its operator on every level, of which the right one is kept. */
  override roiAlign(
    maps: readonly OnnxValue[],
    boxes: OnnxValue,
    options: RoiOptions,
  ): OnnxValue {
    const { strides, bins, samples, finestScale } = options;
    const [n, r] = boxes.shape, channels = maps[0].shape[3];
    const images = Array.from({ length: n * r }, (_, i) => Math.floor(i / r));
    const others = [this.reshape(boxes, [n * r, 4]), this.#integers(images)];
    const inLevel = this.roiLevels(boxes, maps.length, finestScale);
    const parts = maps.map((map, l) => {
      const y = this.#mapsNode([n * r, bins, bins, channels], "RoiAlign", [map], others, {
        coordinate_transformation_mode: "half_pixel",
        mode: "avg",
        output_height: bins,
        output_width: bins,
        sampling_ratio: samples,
        spatial_scale: { float: 1 / strides[l] },
      });
      if (inLevel === null) return y;
      return this.#mapsNode(y.shape, "Mul", [y], [this.reshape(inLevel[l], [n * r, 1, 1, 1])]);
    });
    const y = parts.reduce((a, b) => this.add(a, b));
    return this.reshape(y, [n, r, bins, bins, channels]);
  }
}

/** Each matrix transposed. */
function turned({ shape, data }: HostTensor): HostTensor {
  const [rows, columns] = shape.slice(-2), batch = elements(shape.slice(0, -2));
  const result = new Float32Array(data.length);
  for (let z = 0; z < batch; z++) {
    const begin = z * rows * columns;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        result[begin + j * rows + i] = data[begin + i * columns + j];
      }
    }
  }
  return { shape: [...shape.slice(0, -2), columns, rows], data: result };
}
