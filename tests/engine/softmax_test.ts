import { DTypeError, logSoftmax, ShapeError, softmax } from "../../engine/mod.ts";
import { axisView } from "../../kernels/axis_view.ts";
import { softmaxReference } from "../../kernels/softmax.ts";
import { checkGradients } from "../gradcheck.ts";
import { assert, assertEquals, assertThrows, gpuTest } from "../harness.ts";

for (const [name, op] of Object.entries({ softmax, logSoftmax })) {
  gpuTest(`${name}() and its gradient agree with the plain loop on every axis`, async (device) => {
    const shapes: [number[], number][] = [
      [[1], 0],
      [[5], -1],
      [[3, 7], 1],
      [[3, 7], 0],
      [[2, 9, 5, 1], -3],
      [[2, 3, 4], 1],
      [[4, 12], -1],
    ];
    for (const [shape, axis] of shapes) {
      await checkGradients({
        device,
        inputs: { x: { shape } },
        op: ({ x }) => op(x, axis),
        reference: ({ x }) =>
          softmaxReference(axisView(shape, axis < 0 ? axis + shape.length : axis), x, {
            log: op === logSoftmax,
          }).y,
      });
    }
  });
}

gpuTest("softmax() stays finite for very large and very small inputs", async (device) => {
  const x = device.tensor([[1e30, -1e30, 0], [88.8, 89, 90], [-1e4, -1e4, -1e4]]);
  const [y, log] = [await softmax(x).data(), await logSoftmax(x).data()];
  assert([...y, ...log].every(Number.isFinite), `${y} ${log}`);
  assertEquals(y.slice(0, 3), Float32Array.of(1, 0, 0));
});

gpuTest("softmax() takes tensors without elements", async (device) => {
  assertEquals((await softmax(device.zeros([0, 3])).data()).length, 0);
});

gpuTest("softmax() refuses axes that do not exist, empty rows and integers", (device) => {
  const x = device.zeros([2, 3]);
  assertThrows(() => softmax(x, 2), ShapeError, "softmax(): axis 2");
  assertThrows(() => logSoftmax(x, -3), ShapeError, "logSoftmax(): axis -3");
  assertThrows(() => softmax(device.zeros([])), ShapeError, "axis -1");
  assertThrows(() => softmax(device.zeros([2, 0])), ShapeError, "is empty");
  assertThrows(() => softmax(device.zeros([2], "i32")), DTypeError, "softmax: x is i32");
});
