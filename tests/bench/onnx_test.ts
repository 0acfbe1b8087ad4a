import { uniform } from "../../bench/host_tensor.ts";
import { OnnxModel } from "../../bench/onnx/model.ts";
import { OnnxOps } from "../../bench/onnx/ops.ts";
import { Message } from "../../bench/onnx/protobuf.ts";
import { assert, assertEquals, test } from "../harness.ts";

test("Message writes the examples of the encoding's documentation", () => {
  assertEquals(new Message().int(1, 150).bytes(), Uint8Array.of(0x08, 0x96, 0x01));
  assertEquals(
    new Message().add(2, "testing").bytes(),
    Uint8Array.of(0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67),
  );
  assertEquals(
    new Message().add(3, new Message().int(1, 150)).bytes(),
    Uint8Array.of(0x1a, 0x03, 0x08, 0x96, 0x01),
  );
  assertEquals(new Message().float(1, 1).bytes(), Uint8Array.of(0x0d, 0, 0, 0x80, 0x3f));
  const minusOne = Uint8Array.of(0x08, ...new Array<number>(9).fill(0xff), 0x01);
  assertEquals(new Message().int(1, -1).bytes(), minusOne);
});

/** Fields of a message: numbers, and bytes of everything with a length. */
function fields(bytes: Uint8Array): { field: number; value: number | Uint8Array }[] {
  const found: { field: number; value: number | Uint8Array }[] = [];
  let at = 0;
  const varint = () => {
    let value = 0, factor = 1;
    for (;;) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
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
  return found;
}

const text = (value: number | Uint8Array) => new TextDecoder().decode(value as Uint8Array);

test("a graph turns weights beforehand and names its outputs", () => {
  const model = new OnnxModel();
  const ops = new OnnxOps(model, true);
  model.input("x", [2, 3]);
  const weight = ops.weight("w", uniform([4, 3], 1)), bias = ops.weight("b", uniform([4], 2));
  const y = ops.linear({ name: "x", shape: [2, 3] }, weight, bias, "gelu");
  model.output("y", y.name, y.shape);
  const graph = fields(model.bytes()).find(({ field }) => field === 7)!.value as Uint8Array;
  const all = fields(graph);
  const nodes = all.filter(({ field }) => field === 1).map(({ value }) => {
    const node = fields(value as Uint8Array);
    const of = (field: number) => node.filter((f) => f.field === field).map((f) => text(f.value));
    return { type: of(4)[0], inputs: of(1), outputs: of(2) };
  });
  assertEquals(nodes.map(({ type }) => type), ["MatMul", "Add", "Gelu"]);
  assertEquals(nodes[0].inputs[0], "x");
  assertEquals(nodes[2].outputs, ["y"]);
  // Only the turned weight [3, 4] and the bias are in the file.
  const shapes = all.filter(({ field }) => field === 5).map(({ value }) =>
    fields(value as Uint8Array).filter(({ field }) => field === 1).map((f) => f.value)
  );
  assertEquals(shapes, [[3, 4], [4]]);
  assert(!ops.sawAttention);
});
