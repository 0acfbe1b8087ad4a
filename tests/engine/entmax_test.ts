import { DTypeError, entmax15, ShapeError } from "../../engine/mod.ts";
import { axisView } from "../../kernels/axis_view.ts";
import { entmaxReference } from "../../kernels/entmax.ts";
import { checkGradients } from "../gradcheck.ts";
import { assertEquals, assertThrows, gpuTest } from "../harness.ts";

gpuTest("entmax15() and its gradient agree with the plain loop on every axis", async (device) => {
  const shapes: [number[], number][] = [
    [[1], 0],
    [[5], -1],
    [[3, 7], 0],
    [[3, 12], -1],
    [[2, 9, 4], 1],
    [[2, 5, 3], -2],
  ];
  for (const [shape, axis] of shapes) {
    const view = axisView(shape, axis < 0 ? axis + shape.length : axis);
    await checkGradients({
      device,
      inputs: { x: { shape } },
      op: ({ x }) => entmax15(x, axis),
      reference: ({ x }) => entmaxReference(view, x).y,
    });
  }
});

gpuTest("entmax15() takes empty batches and refuses wrong axes and dtypes", async (device) => {
  assertEquals((await entmax15(device.zeros([0, 3])).data()).length, 0);
  const x = device.zeros([2, 3]);
  assertThrows(() => entmax15(x, 2), ShapeError, "entmax15(): axis 2");
  assertThrows(() => entmax15(device.zeros([2, 0])), ShapeError, "is empty");
  assertThrows(() => entmax15(device.zeros([2], "u32")), DTypeError, "entmax15: x is u32");
});
