// deno-lint-ignore-file no-import-prefix -- a full specifier lets onnx/mod.ts be imported by URL, with no import map
/**
 * The messages of an ONNX file that are written here, by the names and numbers of onnx.proto
 * (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). Protocol Buffers themselves are `@bufbuild/protobuf`'s.
 * @module
 */
import { create, createFileRegistry, toBinary } from "npm:@bufbuild/protobuf@2.17.0";
import { BinaryWriter, WireType } from "npm:@bufbuild/protobuf@2.17.0/wire";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from "npm:@bufbuild/protobuf@2.17.0/wkt";

/** A field: its number, and a scalar type or another message; `[]` after it: any number of them. */
type Field = readonly [number: number, type: string];

const MESSAGES = {
  ModelProto: {
    ir_version: [1, "int64"],
    producer_name: [2, "string"],
    graph: [7, "GraphProto"],
    opset_import: [8, "OperatorSetIdProto[]"],
  },
  OperatorSetIdProto: { domain: [1, "string"], version: [2, "int64"] },
  GraphProto: {
    node: [1, "NodeProto[]"],
    name: [2, "string"],
    initializer: [5, "TensorProto[]"],
    input: [11, "ValueInfoProto[]"],
    output: [12, "ValueInfoProto[]"],
  },
  NodeProto: {
    input: [1, "string[]"],
    output: [2, "string[]"],
    name: [3, "string"],
    op_type: [4, "string"],
    attribute: [5, "AttributeProto[]"],
    domain: [7, "string"],
  },
  AttributeProto: {
    name: [1, "string"],
    f: [2, "float"],
    i: [3, "int64"],
    s: [4, "bytes"],
    ints: [8, "int64[]"],
    type: [20, "int32"],
  },
  TensorProto: {
    dims: [1, "int64[]"],
    data_type: [2, "int32"],
    name: [8, "string"],
    raw_data: [9, "bytes"],
  },
  ValueInfoProto: { name: [1, "string"], type: [2, "TypeProto"] },
  TypeProto: { tensor_type: [1, "TypeProtoTensor"] },
  TypeProtoTensor: { elem_type: [1, "int32"], shape: [2, "TensorShapeProto"] },
  TensorShapeProto: { dim: [1, "Dimension[]"] },
  Dimension: { dim_value: [1, "int64"], dim_param: [2, "string"] },
} as const satisfies Record<string, Record<string, Field>>;

/** Names of the messages. */
export type MessageName = keyof typeof MESSAGES;

const SCALARS: Readonly<Record<string, FieldDescriptorProto_Type>> = {
  float: FieldDescriptorProto_Type.FLOAT,
  int64: FieldDescriptorProto_Type.INT64,
  int32: FieldDescriptorProto_Type.INT32,
  string: FieldDescriptorProto_Type.STRING,
  bytes: FieldDescriptorProto_Type.BYTES,
};

function describeField(name: string, [number, type]: Field) {
  const element = type.replace("[]", "");
  const label = type === element
    ? FieldDescriptorProto_Label.OPTIONAL
    : FieldDescriptorProto_Label.REPEATED;
  return element in SCALARS ? { name, number, label, type: SCALARS[element] } : {
    name,
    number,
    label,
    type: FieldDescriptorProto_Type.MESSAGE,
    typeName: `.onnx.${element}`,
  };
}

let registry: ReturnType<typeof createFileRegistry> | undefined;

/** Made when it is first needed: an import computes nothing. */
function messages(): ReturnType<typeof createFileRegistry> {
  const file = create(FileDescriptorProtoSchema, {
    name: "onnx.proto",
    package: "onnx",
    syntax: "proto2", // a field that is set is written, be it 0
    messageType: Object.entries(MESSAGES).map(([name, fields]) => ({
      name,
      field: Object.entries<Field>(fields).map(([field, is]) => describeField(field, is)),
    })),
  });
  return registry ??= createFileRegistry(file, () => undefined);
}

/** A message's fields by their names in camel case: int64 as bigint, messages likewise. */
export type Fields = Readonly<Record<string, unknown>>;

/** A message as bytes. */
export function encodeMessage(message: MessageName, fields: Fields): Uint8Array<ArrayBuffer> {
  const schema = messages().getMessage(`onnx.${message}`)!;
  return toBinary(schema, create(schema, fields));
}

/** What stands before a field whose value, text or a message, takes `bytes` bytes. */
export function openField<M extends MessageName>(
  message: M,
  field: keyof typeof MESSAGES[M],
  bytes: number,
): Uint8Array<ArrayBuffer> {
  const fields: Record<PropertyKey, Field> = MESSAGES[message];
  const length = Math.min(bytes, 2 ** 32 - 1); // only a file that is refused afterwards has more
  return new BinaryWriter().tag(fields[field][0], WireType.LengthDelimited).uint32(length).finish();
}
