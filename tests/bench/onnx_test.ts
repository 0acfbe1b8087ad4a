import { uniform } from "../../bench/host_tensor.ts";
import { OnnxOps } from "../../bench/onnx/ops.ts";
import { OnnxGraph } from "../../onnx/graph.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { readOnnx } from "../onnx/read_onnx.ts";

test("the bench's graph turns weights beforehand and names its outputs", async () => {
  const graph = new OnnxGraph("workload", 20);
  const ops = new OnnxOps(graph, true);
  graph.input("x", [2, 3]);
  const weight = ops.weight("w", uniform([4, 3], 1)), bias = ops.weight("b", uniform([4], 2));
  const y = ops.linear({ name: "x", shape: [2, 3] }, weight, bias, "gelu");
  graph.output("y", y.name, y.shape);
  const { nodes, weights } = readOnnx(await graph.file().bytes());
  assertEquals(nodes.map(({ type }) => type), ["MatMul", "Add", "Gelu"]);
  assertEquals(nodes[0].inputs[0], "x");
  assertEquals(nodes[2].outputs, ["y"]);
  // Only the turned weight [3, 4] and the bias are in the file.
  assertEquals([...weights.values()].map(({ shape }) => shape), [[3, 4], [4]]);
  assert(!ops.sawAttention);
});
