/**
 * Reads back what the tests want to know of an ONNX file. It knows the wire format of Protocol Buffers and nothing of the
 * library that wrote the file (https://protobuf.dev/programming-guides/encoding).
 * @module
 */

/** A field of a message: a number, or the bytes of everything else. */
interface Field {
  readonly field: number;
  readonly value: number | Uint8Array;
}

function fieldsOf(bytes: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
  };
  while (at < bytes.length) {
    const tag = varint(), field = Math.floor(tag / 8);
    if (tag % 8 === 0) found.push({ field, value: varint() });
    else {
      const size = tag % 8 === 5 ? 4 : varint();
      found.push({ field, value: bytes.subarray(at, at += size) });
    }
  }
  if (at !== bytes.length) throw new Error("a field ends behind its message");
  return found;
}

/** A message whose fields are asked for by number. */
class Message {
  readonly #fields: readonly Field[];

  constructor(value: number | Uint8Array) {
    this.#fields = fieldsOf(value as Uint8Array);
  }

  all(field: number): (number | Uint8Array)[] {
    return this.#fields.filter((f) => f.field === field).map(({ value }) => value);
  }

  messages(field: number): Message[] {
    return this.all(field).map((value) => new Message(value));
  }

  texts(field: number): string[] {
    return this.all(field).map((value) => new TextDecoder().decode(value as Uint8Array));
  }
}

/** What stands in a file. */
export interface OnnxContent {
  readonly irVersion: number;
  /** Versions of the operators by domain. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly nodes: readonly {
    readonly type: string;
    readonly name: string;
    readonly inputs: readonly string[];
    readonly outputs: readonly string[];
    /** Values of whole numbers and floats, by name. */
    readonly attributes: Readonly<Record<string, number>>;
  }[];
  /** f32 tensors. */
  readonly weights: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;
  /** Sizes of inputs and outputs by name; names stand for those that are not fixed. */
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly outputs: Readonly<Record<string, readonly (number | string)[]>>;
}

/** Reads a file. */
export function readOnnx(bytes: Uint8Array): OnnxContent {
  const model = new Message(bytes), [graph] = model.messages(7);
  const tensors = graph.messages(5).map((tensor) => ({
    name: tensor.texts(8)[0],
    shape: tensor.all(1) as number[],
    isFloat: tensor.all(2)[0] === 1,
    bytes: tensor.all(9)[0] as Uint8Array,
  }));
  return {
    irVersion: model.all(1)[0] as number,
    opsets: Object.fromEntries(
      model.messages(8).map((opset) => [opset.texts(1)[0], opset.all(2)[0]]),
    ) as Record<string, number>,
    nodes: graph.messages(1).map((node) => ({
      type: node.texts(4)[0],
      name: node.texts(3)[0],
      inputs: node.texts(1),
      outputs: node.texts(2),
      attributes: Object.fromEntries(
        node.messages(5).flatMap((attribute) => {
          const [whole] = attribute.all(3), [float] = attribute.all(2);
          const value = whole ?? (float && floats(float as Uint8Array)[0]);
          return value === undefined ? [] : [[attribute.texts(1)[0], value as number]];
        }),
      ),
    })),
    weights: new Map(
      tensors.filter(({ isFloat }) => isFloat)
        .map(({ name, shape, bytes }) => [name, { shape, data: floats(bytes) }]),
    ),
    inputs: valuesOf(graph, 11),
    outputs: valuesOf(graph, 12),
  };
}

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

function valuesOf(graph: Message, field: number): Record<string, (number | string)[]> {
  return Object.fromEntries(
    graph.messages(field).map((value) => {
      const [tensor] = value.messages(2)[0].messages(1);
      const dims = tensor.messages(2)[0].messages(1)
        .map((dim) => dim.texts(2)[0] ?? dim.all(1)[0] as number);
      return [value.texts(1)[0], dims];
    }),
  );
}
