/**
 * A place in a model's tree of names, and the graph it is written into: what `Module` is for running, this is for export.
 * Weights keep the names and shapes of the state dict; a turned weight is a node that engines compute once, when they load.
 * @module
 */
import type { StateSource } from "../nn/mod.ts";
import type { Attributes, OnnxGraph } from "./graph.ts";

/** What the names of one module mean in a graph. Values are names of the graph. */
export class Scope {
  /** The graph that nodes are added to. */
  readonly graph: OnnxGraph;
  readonly #state: StateSource;
  readonly #prefix: string;
  readonly #turned: Map<string, string>;

  /** The root of a model's names; others are made by `in`. */
  constructor(
    graph: OnnxGraph,
    state: StateSource,
    prefix = "",
    turned = new Map<string, string>(),
  ) {
    this.graph = graph;
    this.#state = state;
    this.#prefix = prefix;
    this.#turned = turned;
  }

  /** The child of a name. */
  in(name: string): Scope {
    return new Scope(this.graph, this.#state, this.#named(name), this.#turned);
  }

  #named(name: string): string {
    return this.#prefix === "" ? name : `${this.#prefix}.${name}`;
  }

  /** Adds a node; returns the first of its results. */
  node(
    type: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    results = 1,
  ): string {
    return this.graph.node(type, inputs, attributes, { place: this.#prefix, results });
  }

  /** Whether there is such a weight. */
  has(name: string): boolean {
    return this.#state.shapes.has(this.#named(name));
  }

  /** The shape of a weight. */
  shapeOf(name: string): readonly number[] {
    return this.#state.shapes.get(this.#named(name))!;
  }

  /** A weight. */
  weight(name: string): string {
    const full = this.#named(name);
    return this.graph.weight(full, this.shapeOf(name), () => this.#state.read(full));
  }

  /** A weight with its last two axes exchanged. */
  turned(name: string): string {
    const full = this.#named(name), rank = this.shapeOf(name).length;
    const found = this.#turned.get(full);
    if (found !== undefined) return found;
    const axes = Array.from({ length: rank }, (_, i) => i);
    const perm = [...axes.slice(0, -2), rank - 1, rank - 2];
    const result = this.node("Transpose", [this.weight(name)], { perm });
    this.#turned.set(full, result);
    return result;
  }

  // ---- constants

  /** A number, []. */
  number(value: number): string {
    return this.graph.constant("number", [], Float32Array.of(value));
  }

  /** Numbers, [n]. */
  numbers(values: readonly number[]): string {
    return this.graph.constant("numbers", [values.length], Float32Array.from(values));
  }

  /** Whole numbers for shapes, axes and indices, [n]. */
  integers(values: readonly number[]): string {
    return this.graph.constant("integers", [values.length], BigInt64Array.from(values, BigInt));
  }

  // ---- what many layers do

  add(a: string, b: string): string {
    return this.node("Add", [a, b]);
  }

  sub(a: string, b: string): string {
    return this.node("Sub", [a, b]);
  }

  mul(a: string, b: string): string {
    return this.node("Mul", [a, b]);
  }

  div(a: string, b: string): string {
    return this.node("Div", [a, b]);
  }

  matmul(a: string, b: string): string {
    return this.node("MatMul", [a, b]);
  }

  relu(x: string): string {
    return this.node("Relu", [x]);
  }

  /** -1 stands for what is left, 0 for the size that x has there. */
  reshape(x: string, shape: readonly number[]): string {
    return this.node("Reshape", [x, this.integers(shape)]);
  }

  permute(x: string, perm: readonly number[]): string {
    return this.node("Transpose", [x], { perm });
  }

  slice(x: string, axis: number, begin: number, end: number): string {
    return this.node("Slice", [x, ...[begin, end, axis].map((n) => this.integers([n]))]);
  }

  /** Element k of an axis, which goes away. */
  pick(x: string, axis: number, k: number): string {
    const index = this.graph.constant("index", [], BigInt64Array.of(BigInt(k)));
    return this.node("Gather", [x, index], { axis });
  }

  concat(parts: readonly string[], axis: number): string {
    return parts.length === 1 ? parts[0] : this.node("Concat", parts, { axis });
  }

  /** The axis stays, with size 1. */
  sum(x: string, axis: number): string {
    return this.node("ReduceSum", [x, this.integers([axis])], { keepdims: 1 });
  }

  softmax(x: string, axis: number): string {
    return this.node("Softmax", [x], { axis });
  }

  /** x / (|x| + eps) over the last axis. */
  l2Normalize(x: string, eps: number): string {
    const length = this.node("Sqrt", [this.sum(this.mul(x, x), -1)]);
    return this.div(x, this.add(length, this.number(eps)));
  }

  /** x (1 + erf(x / sqrt 2)) / 2: the operator where there is one, else its parts, which engines fuse. */
  gelu(x: string): string {
    if (this.graph.opset >= 20) return this.node("Gelu", [x]);
    const erf = this.node("Erf", [this.div(x, this.number(Math.SQRT2))]);
    return this.mul(this.mul(x, this.add(erf, this.number(1))), this.number(0.5));
  }

  // ---- layers by their name

  /** x W^T + b over the last axis; without bias where there is none. */
  linear(name: string, x: string): string {
    const at = this.in(name), y = at.matmul(x, at.turned("weight"));
    return at.has("bias") ? at.add(y, at.weight("bias")) : y;
  }

  /** Over the last axis. */
  layerNorm(name: string, x: string, eps = 1e-5): string {
    const at = this.in(name);
    const attributes = { axis: -1, epsilon: { float: eps } };
    return at.node(
      "LayerNormalization",
      [x, at.weight("weight"), at.weight("bias")],
      attributes,
    );
  }

  /** softmax(q k^T / sqrt(d)) v for each head: q, k and v side by side [B, N, 3 D] to [B, N, D]. */
  attention(qkv: string, heads: number, dim: number): string {
    const width = dim / heads;
    const packed = this.permute(this.reshape(qkv, [0, 0, 3, heads, width]), [2, 0, 3, 1, 4]);
    const [q, k, v] = [0, 1, 2].map((i) => this.pick(packed, 0, i)); // [B, heads, N, width]
    const scaled = this.mul(q, this.number(1 / Math.sqrt(width)));
    const weights = this.softmax(this.matmul(scaled, this.permute(k, [0, 1, 3, 2])), -1);
    return this.reshape(this.permute(this.matmul(weights, v), [0, 2, 1, 3]), [0, 0, dim]);
  }
}
