/**
 * Builds an ONNX model: nodes, initialisers and the file around them. Field numbers are those of onnx.proto
 * (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
 * @module
 */
import { Message } from "./protobuf.ts";

/** The operator set, that of ONNX 1.16: it has Gelu, LayerNormalization and GroupNormalization. */
const OPSET = 20, IR_VERSION = 9;
/** Operators of ONNX Runtime's own, such as MultiHeadAttention. */
export const CONTRIBUTED = "com.microsoft";

const FLOAT = 1, INT64 = 7; // TensorProto.DataType
const KIND_FLOAT = 1, KIND_INT = 2, KIND_INTS = 7; // AttributeProto.AttributeType

/** Values of an attribute: a whole number, a float, or a list of whole numbers. */
export type Attribute = number | { readonly float: number } | readonly number[];

interface Node {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly domain: "" | typeof CONTRIBUTED;
  readonly result: string;
}

/** A graph that is being built; values are known by name. */
export class OnnxModel {
  readonly #graph = new Message();
  readonly #nodes: Node[] = [];
  /** Public names of values that are outputs. */
  readonly #outputs = new Map<string, string>();
  #count = 0;

  /** A name that nothing has yet. */
  #name(hint: string): string {
    return `${hint}_${this.#count++}`;
  }

  /** A value given at each call, f32. */
  input(name: string, shape: readonly number[]): void {
    this.#graph.add(11, valueInfo(name, shape));
  }

  /** Makes a node's result one that each call returns, f32, under a name. */
  output(name: string, result: string, shape: readonly number[]): void {
    this.#outputs.set(result, name);
    this.#graph.add(12, valueInfo(name, shape));
  }

  /** A constant; returns its name. */
  initializer(
    hint: string,
    shape: readonly number[],
    data: Float32Array | BigInt64Array,
  ): string {
    const name = this.#name(hint);
    const tensor = new Message();
    for (const size of shape) tensor.int(1, size);
    tensor.int(2, data instanceof Float32Array ? FLOAT : INT64).add(8, name)
      .add(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    this.#graph.add(5, tensor);
    return name;
  }

  /** An operation with one result; returns its name. An input with an empty name is left out. */
  node(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain: "" | typeof CONTRIBUTED = "",
  ): string {
    const result = this.#name(type);
    this.#nodes.push({ type, inputs, attributes, domain, result });
    return result;
  }

  #writeNode({ type, inputs, attributes, domain, result }: Node): Message {
    const known = (name: string) => this.#outputs.get(name) ?? name;
    const node = new Message();
    for (const input of inputs) node.add(1, known(input));
    node.add(2, known(result)).add(3, `node_${result}`).add(4, type);
    for (const [name, value] of Object.entries(attributes)) node.add(5, attribute(name, value));
    return node.add(7, domain);
  }

  /** The file. */
  bytes(): Uint8Array<ArrayBuffer> {
    for (const node of this.#nodes) this.#graph.add(1, this.#writeNode(node));
    const opset = (domain: string, version: number) => new Message().add(1, domain).int(2, version);
    return new Message()
      .int(1, IR_VERSION)
      .add(2, "wgrad bench")
      .add(7, this.#graph.add(2, "workload"))
      .add(8, opset("", OPSET))
      .add(8, opset(CONTRIBUTED, 1))
      .bytes();
  }
}

function valueInfo(name: string, shape: readonly number[]): Message {
  const dims = new Message();
  for (const size of shape) dims.add(1, new Message().int(1, size));
  const tensor = new Message().int(1, FLOAT).add(2, dims);
  return new Message().add(1, name).add(2, new Message().add(1, tensor));
}

function attribute(name: string, value: Attribute): Message {
  const message = new Message().add(1, name);
  if (typeof value === "number") return message.int(3, value).int(20, KIND_INT);
  if ("float" in value) return message.float(2, value.float).int(20, KIND_FLOAT);
  for (const item of value) message.int(8, item);
  return message.int(20, KIND_INTS);
}
