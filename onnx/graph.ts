/**
 * Builds an ONNX file: nodes, weights and constants, and the messages around them.
 *
 * Weights are read when their turn in the file comes, so the host holds one of them. The frames of the messages around them
 * are written first, which is possible since every size is known from the shapes.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import { sizeOf } from "../engine/tensor.ts";
import { encodeMessage, type Fields, openField } from "./schema.ts";

/** Operators of ONNX Runtime's own, such as MultiHeadAttention. */
export const CONTRIBUTED = "com.microsoft";

/** Protocol Buffers count the bytes of a message in 31 bits. */
export const MAX_ONNX_BYTES: number = 2 ** 31 - 1;

const FLOAT = 1, INT64 = 7; // TensorProto.DataType
const KIND_FLOAT = 1, KIND_INT = 2, KIND_STRING = 3, KIND_INTS = 7; // AttributeProto.AttributeType

/** Values of an attribute: a whole number, text, a float, or a list of whole numbers. */
export type Attribute = number | string | { readonly float: number } | readonly number[];

/** Attributes by name. */
export type Attributes = Readonly<Record<string, Attribute>>;

/** Sizes of an input or output; a name stands for one that is not fixed. */
export type Dims = readonly (number | string)[];

/** Options of `OnnxGraph.node`. */
export interface NodeOptions {
  /** Whose operator it is; default ONNX's own. */
  readonly domain?: "" | typeof CONTRIBUTED;
  /** What the node belongs to, such as `blocks.0.attn`; viewers group nodes by it. */
  readonly place?: string;
  /** How many results the operator has; default 1. */
  readonly results?: number;
}

/** An ONNX file that is not written yet. */
export interface OnnxFile {
  /** Its size in bytes. */
  readonly byteLength: number;
  /** Its bytes one after the other; weights are read on the way. */
  chunks(): AsyncGenerator<Uint8Array>;
  /** All of it at once. */
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
}

interface Node {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly attributes: Attributes;
  readonly domain: string;
  readonly name: string;
  readonly results: readonly string[];
}

interface Initializer {
  readonly shape: readonly number[];
  readonly type: typeof FLOAT | typeof INT64;
  readonly read: () => Promise<Float32Array | BigInt64Array> | Float32Array | BigInt64Array;
}

/** A graph that is being built; values are known by name. */
export class OnnxGraph {
  readonly #nodes: Node[] = [];
  readonly #inputs: Fields[] = [];
  readonly #outputs: Fields[] = [];
  readonly #initializers = new Map<string, Initializer>();
  /** Public names of values that are outputs. */
  readonly #public = new Map<string, string>();
  #count = 0;

  /** An empty graph for a version of ONNX's operators. */
  constructor(readonly name: string, readonly opset: number) {}

  /** A name that nothing has yet. */
  #fresh(hint: string): string {
    return `${hint}_${this.#count++}`;
  }

  /** A value given at each call, f32; returns its name. */
  input(name: string, dims: Dims): string {
    this.#inputs.push(valueInfo(name, dims));
    return name;
  }

  /** Makes a node's result one that each call returns, f32, under a name. */
  output(name: string, result: string, dims: Dims): void {
    this.#public.set(result, name);
    this.#outputs.push(valueInfo(name, dims));
  }

  /** A weight that keeps its name, f32; it enters the file once. Returns the name. */
  weight(name: string, shape: readonly number[], read: () => Promise<Float32Array>): string {
    if (!this.#initializers.has(name)) this.#initializers.set(name, { shape, type: FLOAT, read });
    return name;
  }

  /** A constant; returns its name. */
  constant(hint: string, shape: readonly number[], data: Float32Array | BigInt64Array): string {
    const name = this.#fresh(hint);
    const type = data instanceof Float32Array ? FLOAT : INT64;
    this.#initializers.set(name, { shape, type, read: () => data });
    return name;
  }

  /** An operation; returns the name of its first result. An input with an empty name is left out. */
  node(
    type: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    { domain = "", place = "", results = 1 }: NodeOptions = {},
  ): string {
    const name = this.#fresh(`${place.replaceAll(".", "/")}/${type}`.replace(/^\//, ""));
    const names = Array.from({ length: results }, (_, i) => `${name}:${i}`);
    this.#nodes.push({ type, inputs, attributes, domain, name, results: names });
    return names[0];
  }

  /**
   * The file.
   * @throws {CheckpointError} it would be larger than ONNX files can be
   */
  file(): OnnxFile {
    const parts = [...this.#initializers].map(([name, tensor]) => tensorParts(name, tensor));
    const graph = this.#graphBytes();
    const tensors = parts.reduce((sum, { head, bytes }) => sum + head.length + bytes, 0);
    const opened = encodeMessage("ModelProto", {
      irVersion: irVersion(this.opset),
      producerName: "wgrad",
      opsetImport: this.#opsets(),
    });
    const frame = openField("ModelProto", "graph", graph.length + tensors);
    const byteLength = opened.length + frame.length + graph.length + tensors;
    if (byteLength > MAX_ONNX_BYTES) {
      throw new CheckpointError(
        `${this.name}: the ONNX file would take ${
          (byteLength / 1e9).toFixed(2)
        } GB, and Protocol Buffers end at ` +
          "2.15 GB. Take a model with fewer experts or channels, or leave the weights in safetensors, which " +
          "PyTorch reads by the same names (docs/guide/export.md)",
      );
    }
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield opened;
      yield frame;
      yield graph;
      for (const { head, bytes, name, read } of parts) {
        yield head;
        const data = await read();
        if (data.byteLength !== bytes) {
          throw new CheckpointError(
            `${name}: there are ${data.length} values, its shape holds ${
              bytes / data.BYTES_PER_ELEMENT
            }`,
          );
        }
        yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      }
    }
    return { byteLength, chunks, bytes: () => gather(byteLength, chunks()) };
  }

  #opsets(): Fields[] {
    const contributed = this.#nodes.some(({ domain }) => domain === CONTRIBUTED);
    const own = { domain: "", version: BigInt(this.opset) };
    return contributed ? [own, { domain: CONTRIBUTED, version: 1n }] : [own];
  }

  /** The graph without its weights. */
  #graphBytes(): Uint8Array {
    const known = (value: string) => this.#public.get(value) ?? value;
    return encodeMessage("GraphProto", {
      name: this.name,
      input: this.#inputs,
      output: this.#outputs,
      node: this.#nodes.map(({ type, inputs, attributes, domain, name, results }) => ({
        input: inputs.map(known),
        output: results.map(known),
        name,
        opType: type,
        attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
        domain,
      })),
    });
  }
}

/** The version of the file format that came with a version of the operators. */
function irVersion(opset: number): bigint {
  if (opset <= 18) return 8n;
  return opset <= 20 ? 9n : 10n;
}

/** A weight's place in the graph: all up to its values, and how to get these. */
function tensorParts(name: string, { shape, type, read }: Initializer) {
  const bytes = sizeOf(shape) * (type === FLOAT ? 4 : 8);
  const fields = encodeMessage("TensorProto", { dims: shape.map(BigInt), dataType: type, name });
  const values = openField("TensorProto", "raw_data", bytes);
  const frame = openField("GraphProto", "initializer", fields.length + values.length + bytes);
  const head = new Uint8Array([...frame, ...fields, ...values]);
  return { name, head, bytes, read };
}

async function gather(
  byteLength: number,
  chunks: AsyncIterable<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(byteLength);
  let at = 0;
  for await (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function valueInfo(name: string, dims: Dims): Fields {
  const dim = dims.map((size) =>
    typeof size === "number" ? { dimValue: BigInt(size) } : { dimParam: size }
  );
  return { name, type: { tensorType: { elemType: FLOAT, shape: { dim } } } };
}

function attribute(name: string, value: Attribute): Fields {
  if (typeof value === "number") return { name, i: BigInt(value), type: KIND_INT };
  if (typeof value === "string") {
    return { name, s: new TextEncoder().encode(value), type: KIND_STRING };
  }
  if ("float" in value) return { name, f: value.float, type: KIND_FLOAT };
  return { name, ints: value.map(BigInt), type: KIND_INTS };
}
