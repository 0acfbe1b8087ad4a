import { assert, assertClose, assertEquals, assertThrows, test } from "../harness.ts";
import { type FloatImage, imageAt } from "../../data/float_image.ts";
import { cosSinDegrees } from "../../data/exact_trig.ts";
import {
  compose,
  normalise,
  pad,
  randomCrop,
  randomHorizontalFlip,
  randomShift,
} from "../../data/transforms.ts";
import { randomAffine, resize } from "../../data/resample.ts";
import { Rng } from "../../data/random.ts";
import { DataError, ShapeError } from "../../engine/errors.ts";
import { numberedSet } from "./support.ts";

const rng = new Rng(1);

function image(rows: number[][], ...more: number[][][]): FloatImage {
  const planes = [rows, ...more];
  const data = Float32Array.from(planes.flat(2));
  return { channels: planes.length, height: rows.length, width: rows[0].length, data };
}

function rowsOf({ height, width, data }: FloatImage): number[][] {
  const row = (y: number): number[] => [...data.subarray(y * width, (y + 1) * width)];
  return Array.from({ length: height }, (_, y) => row(y));
}

/** A generator that gives chosen numbers. */
function fixed(...values: number[]): Rng {
  const next = (): number => values.shift()!;
  return { uniform: next, integer: next } as unknown as Rng;
}

const square = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]]);

test("imageAt() turns bytes of pixels into planes in [0, 1]", () => {
  const set = numberedSet(4, 2, 2, 3);
  const { channels, height, width, data } = imageAt(set, 2);
  assertEquals([channels, height, width], [3, 2, 2]);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < 4; i++) {
      assertEquals(data[c * 4 + i], Math.fround(set.images[24 + i * 3 + c] / 255));
    }
  }
  for (const index of [-1, 4, 0.5]) assertThrows(() => imageAt(set, index), DataError, "[0, 4)");
});

test("normalise() takes one value or one for each channel", () => {
  const two = image([[1, 2]], [[3, 4]]);
  assertEquals([...normalise(1, 2)(two, rng).data], [0, 0.5, 1, 1.5]);
  assertEquals([...normalise([1, 3], [1, 0.5])(two, rng).data], [0, 1, 0, 2]);
  assertEquals([...two.data], [1, 2, 3, 4]);
  assertThrows(() => normalise([1, 2, 3], 1)(two, rng), DataError, "3 values for 2 channels");
  for (const std of [0, -1, NaN, Infinity]) assertThrows(() => normalise(0, std), ShapeError);
});

test("pad() adds a frame", () => {
  assertEquals(rowsOf(pad(1)(image([[1, 2]]), rng)), [[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]);
  assertEquals(rowsOf(pad(1, 5)(image([[1]]), rng)), [[5, 5, 5], [5, 1, 5], [5, 5, 5]]);
  assertThrows(() => pad(-1), ShapeError);
});

test("randomCrop() cuts each window there is, equally often", () => {
  const counts = new Map<string, number>();
  const source = new Rng(3, "crops");
  for (let i = 0; i < 3600; i++) {
    const key = randomCrop(2, 2)(square, source).data.join(" ");
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assertEquals([...counts.keys()].sort(), ["1 2 4 5", "2 3 5 6", "4 5 7 8", "5 6 8 9"]);
  for (const count of counts.values()) assert(Math.abs(count - 900) < 130, `${count} of 900`); // 5 sigma
});

test("randomCrop() pads first, in every channel", () => {
  const two = image([[1, 2]], [[3, 4]]);
  assertEquals([...randomCrop(1, 2, 1)(two, fixed(1, 0)).data], [0, 1, 0, 3]);
  assertEquals([...randomCrop(1, 2, 1, 9)(two, fixed(1, 2)).data], [2, 9, 4, 9]);
  assertEquals([...randomCrop(2, 2, 1)(two, fixed(0, 1)).data], [0, 0, 1, 2, 0, 0, 3, 4]);
  assertThrows(() => randomCrop(4, 2)(square, rng), DataError, "smaller than the window of 4 x 2");
  assertThrows(() => randomCrop(1.5, 2), ShapeError);
});

test("randomShift() moves and fills", () => {
  assertEquals(rowsOf(randomShift(1)(square, fixed(1, 1))), rowsOf(square));
  assertEquals(rowsOf(randomShift(1)(square, fixed(2, 2))), [[0, 0, 0], [0, 1, 2], [0, 4, 5]]);
  assertEquals(rowsOf(randomShift(1, 7)(square, fixed(0, 1))), [[4, 5, 6], [7, 8, 9], [7, 7, 7]]);
  assertEquals(rowsOf(randomShift(9)(square, fixed(0, 0))), [[0, 0, 0], [0, 0, 0], [0, 0, 0]]);
  assertThrows(() => randomShift(0.5), ShapeError);
});

test("randomHorizontalFlip() mirrors rows with its probability", () => {
  const two = image([[1, 2], [3, 4]], [[5, 6], [7, 8]]);
  assertEquals([...randomHorizontalFlip()(two, fixed(0.4)).data], [2, 1, 4, 3, 6, 5, 8, 7]);
  assertEquals([...randomHorizontalFlip()(two, fixed(0.5)).data], [...two.data]);
  assertEquals(randomHorizontalFlip(0)(two, rng), two);
  assertThrows(() => randomHorizontalFlip(1.1), ShapeError);
});

test("resize() gives the values of PyTorch's documentation of bilinear upsampling", () => {
  // torch.nn.Upsample(scale_factor=2, mode="bilinear") of [[1, 2], [3, 4]]
  const out = resize(4, 4)(image([[1, 2], [3, 4]]), rng);
  assertEquals(rowsOf(out), [
    [1, 1.25, 1.75, 2],
    [1.5, 1.75, 2.25, 2.5],
    [2.5, 2.75, 3.25, 3.5],
    [3, 3.25, 3.75, 4],
  ]);
});

test("resize() halves by averaging, keeps constants and planes, and leaves the same size alone", () => {
  assertEquals(rowsOf(resize(1, 2)(image([[1, 3, 5, 7], [3, 5, 7, 9]]), rng)), [[3, 7]]);
  const constant = resize(5, 7)(image([[0.3, 0.3]], [[0.7, 0.7]]), rng);
  assertEquals([constant.channels, constant.height, constant.width], [2, 5, 7]);
  assertEquals([...constant.data], [
    ...new Array(35).fill(Math.fround(0.3)),
    ...new Array(35).fill(Math.fround(0.7)),
  ]);
  assertEquals(resize(3, 3)(square, rng), square);
  assertEquals(resize(1, 1)(image([[4]]), rng).data[0], 4);
  assertThrows(() => resize(0, 1), ShapeError);
});

test("randomAffine() without ranges gives the image back", () => {
  assertEquals(rowsOf(randomAffine({})(square, rng)), rowsOf(square));
});

test("randomAffine() turns counter-clockwise by exact quarters", () => {
  const quarter = randomAffine({ degrees: 90 })(square, fixed(1, 0, 0.5, 0.5)); // 2 * 1 - 1 = 1 times 90
  assertEquals(rowsOf(quarter), [[3, 6, 9], [2, 5, 8], [1, 4, 7]]);
  const half = randomAffine({ degrees: 180 })(square, fixed(0, 0, 0.5, 0.5));
  assertEquals(rowsOf(half), [[9, 8, 7], [6, 5, 4], [3, 2, 1]]);
});

test("randomAffine() scales about the middle and moves by fractions of the size", () => {
  const spot = image([[0, 0, 0], [0, 8, 0], [0, 0, 0]]);
  assertEquals(rowsOf(randomAffine({ scale: [2, 2] })(spot, rng)), [[2, 4, 2], [4, 8, 4], [
    2,
    4,
    2,
  ]]);
  // A third of 3 pixels to the right and up; what comes in is the filling value.
  const moved = randomAffine({ translate: 1 / 3, value: 9 })(square, fixed(0.5, 0, 1, 0));
  assertClose(rowsOf(moved).flat(), [9, 4, 5, 9, 7, 8, 9, 9, 9], { atol: 1e-6 });
});

test("randomAffine() refuses ranges that mean nothing", () => {
  const bad = [
    { degrees: -1 },
    { degrees: NaN },
    { translate: -0.1 },
    { translate: Infinity },
    { scale: [0, 1] },
    { scale: [2, 1] },
    { scale: [1, Infinity] },
  ] as const;
  for (const ranges of bad) assertThrows(() => randomAffine(ranges), ShapeError);
});

test("cosSinDegrees() is right in every quarter, and exact at the quarters", () => {
  for (let degrees = -725; degrees <= 725; degrees += 7.3) {
    const radians = degrees * Math.PI / 180;
    // Math.cos of a rounded angle of up to 12.6 is itself off by 2e-15.
    assertClose([...cosSinDegrees(degrees)], [Math.cos(radians), Math.sin(radians)], {
      atol: 4e-15,
    });
  }
  assertEquals([0, 90, 180, 270].map((d) => [...cosSinDegrees(d)]), [[1, 0], [0, 1], [-1, 0], [
    0,
    -1,
  ]]);
});

test("compose() applies in order, drawing from one generator", () => {
  const both = compose(randomShift(1), randomHorizontalFlip());
  assertEquals(rowsOf(both(square, fixed(1, 2, 0))), [[2, 1, 0], [5, 4, 0], [8, 7, 0]]);
  assertEquals(compose()(square, rng), square);
});

test("all transforms together give the same bits in every engine", () => {
  const all = compose(
    resize(9, 7),
    randomAffine({ degrees: 25, translate: 0.2, scale: [0.8, 1.3], value: 0.1 }),
    randomCrop(8, 8, 2, 0.3),
    randomShift(1),
    randomHorizontalFlip(),
    normalise([0.1307, 0.5, 0.25], [0.3081, 0.2, 0.3]),
  );
  const set = numberedSet(20, 6, 5, 3), source = new Rng(8, "augment");
  let hash = 0;
  for (let i = 0; i < 20; i++) {
    const { data } = all(imageAt(set, i), source.cell(0, i));
    for (const bits of new Uint32Array(data.buffer)) hash = Math.imul(hash ^ bits, 0x01000193);
  }
  assertEquals((hash >>> 0).toString(16), "cdf01f1a"); // as first run in Deno
});
