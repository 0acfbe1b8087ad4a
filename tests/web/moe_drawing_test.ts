/** Drawings become images as MNIST's digits are. */
import type { FloatImage } from "../../data/mod.ts";
import { rasterise, type Stroke } from "../../web/live/moe/drawing.ts";
import { assert, assertClose, assertEquals, test } from "../harness.ts";

const SEVEN: Stroke = [[0.2, 0.1], [0.7, 0.12], [0.4, 0.8]];

/** Pixels with ink, as the smallest box around them, and the centre of mass. */
function measure({ width, data }: FloatImage) {
  const inked = Array.from(data.keys()).filter((i) => data[i] > 0);
  const xs = inked.map((i) => i % width), ys = inked.map((i) => Math.floor(i / width));
  const mass = data.reduce((a, b) => a + b, 0);
  const mean = (values: readonly number[]): number =>
    inked.reduce((sum, i, k) => sum + data[i] * (values[k] + 0.5), 0) / mass;
  return {
    wide: Math.max(...xs) - Math.min(...xs) + 1,
    high: Math.max(...ys) - Math.min(...ys) + 1,
    centre: [mean(xs), mean(ys)],
  };
}

test("a drawing is 20 pixels high and its centre of mass the middle, wherever and how large it was", () => {
  const first = rasterise([SEVEN]);
  const other = rasterise([SEVEN.map(([x, y]) => [0.5 + x / 2, 0.3 + y / 2])]);
  for (const image of [first, other]) {
    const { wide, high, centre } = measure(image);
    assert(high >= 20 && high <= 22 && wide <= high, `${wide} by ${high}`);
    assertClose(centre, [14, 14], { atol: 0.15 });
    assert(image.data.every((value) => value >= 0 && value <= 1), "values in [0, 1]");
  }
  assertClose(Array.from(other.data), Array.from(first.data), { atol: 1e-5 });
});

test("a dot stays small, and nothing is black", () => {
  const { wide, high } = measure(rasterise([[[0.9, 0.1]]]));
  assert(wide <= 4 && high <= 4, `${wide} by ${high}`);
  assertEquals(rasterise([]).data.some((value) => value !== 0), false);
});

test("two strokes are not joined", () => {
  const { data } = rasterise([[[0.2, 0], [0.2, 1]], [[0.8, 0], [0.8, 1]]]);
  assertEquals(Array.from(data.subarray(14 * 28 + 12, 14 * 28 + 16)), [0, 0, 0, 0]);
});
