import { DTypeError, ShapeError } from "../../engine/mod.ts";
import { accuracy, argmax } from "../../engine/ops/argmax.ts";
import { axisView } from "../../kernels/axis_view.ts";
import { argmaxReference } from "../../kernels/argmax.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertEquals, assertThrows, gpuTest } from "../harness.ts";

gpuTest("argmax() equals a loop along any axis", async (device) => {
  const shapes: [number[], number][] = [[[1], 0], [[7], 0], [[5, 11], 1], [[5, 11], 0], [
    [3, 4, 5],
    -2,
  ]];
  for (const [shape, axis] of shapes) {
    const x = testValues(shape.reduce((a, b) => a * b), 8);
    const got = argmax(device.tensor(x, shape), axis);
    const k = axis < 0 ? axis + shape.length : axis;
    assertEquals(got.shape, shape.filter((_, i) => i !== k));
    assertEquals(await got.data(), argmaxReference(axisView(shape, k), x).y);
  }
});

gpuTest("argmax() takes the first of equal maxima, and finds very small ones", async (device) => {
  const x = device.tensor([[1, 3, 3, 0], [-3e38, -2e38, -2e38, -3e38]]);
  assertEquals(await argmax(x).data(), Uint32Array.of(1, 1));
});

gpuTest("argmax() works beyond 65,535 workgroups", async (device) => {
  const rows = 65_536 * 64 + 7;
  const x = new Float32Array(2 * rows).map((_, i) => i % 3);
  const y = await argmax(device.tensor(x, [rows, 2])).data();
  assert(y.every((v, r) => v === (x[2 * r + 1] > x[2 * r] ? 1 : 0)), "a wrong index");
});

gpuTest("accuracy() counts the rows whose maximum is at the label", async (device) => {
  const x = device.tensor([[1, 2, 0], [5, 5, 1], [0, 0, 9], [3, 2, 1]]);
  assertEquals(await accuracy(x, device.tensor(Int32Array.of(1, 0, 2, 2))).item(), 3);
  assertEquals(await accuracy(x, device.tensor(Uint32Array.of(1, 1, 1, 1))).item(), 1);
  const many = 70_000;
  const all = accuracy(device.zeros([many, 2]), device.zeros([many], "u32"));
  assertEquals(await all.item(), many);
  assertEquals(await accuracy(device.zeros([0, 2]), device.zeros([0], "u32")).item(), 0);
});

gpuTest("argmax() and accuracy() name what does not fit", (device) => {
  const x = device.zeros([4, 3]);
  assertThrows(() => argmax(x, 2), ShapeError, "argmax(): axis 2 does not exist");
  assertThrows(() => argmax(device.zeros([4, 0])), ShapeError, "is empty, needs 1 or more");
  assertThrows(() => accuracy(x, device.zeros([3], "u32")), ShapeError, "needs [4]");
  assertThrows(() => accuracy(x, device.zeros([4])), DTypeError, "labels is f32");
});
