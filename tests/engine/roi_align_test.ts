import { DTypeError, roiAlign, ShapeError } from "../../engine/mod.ts";
import { roiAlignReference, type RoiAlignShape, roiLevels } from "../../kernels/roi_align.ts";
import { checkGradients } from "../gradcheck.ts";
import { assertClose, assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

/** Boxes within an image of 64 x 48 pixels, over its edges, beyond it, tiny, empty and turned over. */
const BOXES = Float32Array.of(
  ...[4, 3, 20, 15],
  ...[-9, -7, 60, 50],
  ...[30, 20, 90, 80],
  ...[5.5, 6.5, 6, 7],
  ...[10, 10, 10, 10],
  ...[-80, -80, -20, -20],
  ...[40, 30, 20, 10],
  ...[0, 0, 64, 48],
);

for (const channels of [1, 3, 4]) {
  gpuTest(
    `roiAlign() of ${channels} channels: values and gradients of every level`,
    async (device) => {
      const sizes = [[12, 16, 4], [6, 8, 8], [3, 4, 16]];
      const shape: RoiAlignShape = {
        batch: 2,
        boxes: 4,
        channels,
        levels: sizes.map(([height, width, stride]) => ({ height, width, stride })),
        bins: 3,
        samples: 2,
        finestScale: 12,
      };
      const inputs = Object.fromEntries(
        sizes.map(([height, width], l) => [`x${l}`, { shape: [2, height, width, channels] }]),
      );
      await checkGradients({
        device,
        inputs,
        op: ({ x0, x1, x2 }) =>
          roiAlign([x0, x1, x2], device.tensor(BOXES, [2, 4, 4]), {
            strides: [4, 8, 16],
            outputSize: 3,
            finestScale: 12,
          }),
        reference: ({ x0, x1, x2 }) => roiAlignReference(shape, BOXES, [x0, x1, x2]).y,
        entries: 60,
      });
    },
  );
}

test("roiLevels(): boxes step up where their side doubles", () => {
  const levels = Array(4).fill({ height: 1, width: 1, stride: 1 });
  const square = (side: number) => [0, 0, side, side];
  const sides = [0, 55, 111.99, 112, 223.9, 224, 447.9, 448, 5000];
  const boxes = [...sides.flatMap(square), 0, 0, 28, 448, 0, 0, -100, 300];
  assertEquals([...roiLevels(boxes, { levels, finestScale: 56 })], [
    0,
    0,
    0,
    1,
    1,
    2,
    2,
    3,
    3,
    1,
    0,
  ]);
});

gpuTest(
  "roiAlign() reads boxes of every side from the level that roiLevels() says",
  async (device) => {
    const sides = [10, 111.9999, 111.99995, 112, 112.0001, 223.9998, 224, 447.9995, 448, 900];
    const boxes = sides.flatMap((side) => [0, 0, side, side]);
    const maps = [0, 1, 2, 3].map((level) => device.full([1, 30, 30, 4], level));
    const y = roiAlign(maps, device.tensor(Float32Array.from(boxes), [1, sides.length, 4]), {
      strides: [40, 40, 40, 40],
      outputSize: 1,
    });
    const want = roiLevels(Float32Array.from(boxes), {
      levels: Array(4).fill({ height: 30, width: 30, stride: 40 }),
      finestScale: 56,
    });
    assertEquals((await y.data()).filter((_, i) => i % 4 === 0), Float32Array.from(want));
  },
);

gpuTest("roiAlign() of a ramp is the ramp at the middle of each bin", async (device) => {
  // F = column + 100 row; a bin's mean is F at its middle, as pixel centres lie at halves of the image
  const ramp = Float32Array.from({ length: 20 * 20 }, (_, i) => i % 20 + 100 * Math.floor(i / 20));
  const map = device.tensor(ramp, [1, 20, 20, 1]);
  const y = roiAlign([map], device.tensor(Float32Array.of(4, 8, 20, 16), [1, 1, 4]), {
    strides: [2],
    outputSize: 2,
  });
  // rows 4 to 8, columns 2 to 10: middles at rows 5 and 7, columns 4 and 8, less 1/2
  assertClose(await y.data(), [453.5, 457.5, 653.5, 657.5], { atol: 1e-3 });
});

gpuTest("roiAlign() of no box is empty and gives zero gradients", async (device) => {
  const map = device.full([2, 4, 4, 4], 1);
  map.requiresGrad = true;
  const y = roiAlign([map], device.zeros([2, 0, 4]), { strides: [4] });
  assertEquals([...y.shape], [2, 0, 7, 7, 4]);
  y.backward(device.zeros(y.shape));
  assertEquals(await map.grad!.data(), new Float32Array(128));
});

gpuTest("roiAlign() refuses what does not fit together", (device) => {
  const at = (...shape: number[]) => device.zeros(shape);
  const map = at(1, 4, 4, 8), boxes = at(1, 3, 4), one = { strides: [4] };
  assertThrows(() => roiAlign([], boxes, { strides: [] }), ShapeError, "0 maps and 0 strides");
  assertThrows(() => roiAlign([map, map], boxes, one), ShapeError, "2 maps and 1 strides");
  assertThrows(
    () => roiAlign(Array(6).fill(map), boxes, { strides: Array(6).fill(4) }),
    ShapeError,
    "1 to 5",
  );
  assertThrows(() => roiAlign([map], at(3, 4), one), ShapeError, "needs [B, R, 4]");
  assertThrows(() => roiAlign([map], at(2, 3, 4), one), ShapeError, "roiAlign: map 0");
  const other = { strides: [4, 8] };
  assertThrows(() => roiAlign([map, at(1, 2, 2, 4)], boxes, other), ShapeError, "roiAlign: map 1");
  assertThrows(() => roiAlign([at(1, 0, 4, 8)], boxes, one), ShapeError, "is empty");
  assertThrows(() => roiAlign([map], boxes, { strides: [0] }), ShapeError, "must be above 0");
  assertThrows(
    () => roiAlign([map], boxes, { ...one, outputSize: 0.5 }),
    ShapeError,
    "outputSize is 0.5",
  );
  assertThrows(
    () => roiAlign([map], device.zeros([1, 3, 4], "i32"), one),
    DTypeError,
    "boxes is i32",
  );
});
