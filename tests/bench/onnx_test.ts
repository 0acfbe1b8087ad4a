import { permuted, uniform } from "../../bench/host_tensor.ts";
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

test("maps keep their channels first from convolution to convolution", async () => {
  const graph = new OnnxGraph("workload", 20), ops = new OnnxOps(graph, true);
  graph.input("images", [2, 3, 8, 8]);
  const filters = [[4, 3, 3, 3], [4, 4, 1, 1]].map((shape) => ops.weight("w", uniform(shape, 1)));
  const bias = ops.weight("b", uniform([4], 2));
  const options = { stride: 2, padding: 1, relu: true };
  const images = ops.permute({ name: "images", shape: [2, 3, 8, 8] }, [0, 2, 3, 1]);
  const first = ops.conv2d(images, filters[0], bias, options);
  const second = ops.conv2d(first, filters[1], bias, { stride: 1, padding: 0 });
  const sum = ops.add(ops.maxPool(second), ops.maxPool(first));
  const y = ops.reshape(ops.stretch(sum, 2), [2, 64]);
  assertEquals([first.shape, sum.shape], [[2, 4, 4, 4], [2, 2, 2, 4]]);
  graph.output("y", y.name, y.shape);
  // The only turn is that of the last maps, where their order begins to matter.
  const types = readOnnx(await graph.file().bytes()).nodes.map(({ type }) => type);
  const wanted = ["Conv", "Relu", "Conv", "MaxPool", "MaxPool", "Add", "Resize"];
  assertEquals(types, [...wanted, "Transpose", "Reshape"]);
});

test("permuted() turns axes, and turns them back", () => {
  const x = uniform([2, 3, 4, 5], 1), turned = permuted(x, [2, 0, 3, 1]);
  assertEquals(turned.shape, [4, 2, 5, 3]);
  // x[1, 2, 3, 4] stands at [3, 1, 4, 2].
  assertEquals(turned.data[((3 * 2 + 1) * 5 + 4) * 3 + 2], x.data[((1 * 3 + 2) * 4 + 3) * 5 + 4]);
  assertEquals(permuted(turned, [1, 3, 0, 2]), x);
});
