/** RandomResizedCrop, RandAugment and random erasing: sizes, ranges, known answers, seeds. */
import {
  centerResizedCrop,
  compose,
  drawMix,
  type FloatImage,
  imageAt,
  makeImage,
  mixImages,
  normalise,
  OPERATIONS,
  parseRandAugment,
  randAugment,
  randomErasing,
  randomResizedCrop,
  Rng,
  type Transform,
} from "../../data/mod.ts";
import { resizeWindow } from "../../data/resized_crop.ts";
import { ShapeError } from "../../engine/errors.ts";
import { assert, assertClose, assertEquals, assertThrows, test } from "../harness.ts";
import { numberedSet } from "./support.ts";

/** An image of bytes / 255. */
function image(channels: number, height: number, width: number, seed = 0): FloatImage {
  const rng = new Rng(seed, "image"), out = makeImage(channels, height, width);
  for (let i = 0; i < out.data.length; i++) out.data[i] = rng.integer(256) / 255;
  return out;
}

function flat(value: number, channels = 1, height = 6, width = 6): FloatImage {
  const out = makeImage(channels, height, width);
  out.data.fill(value);
  return out;
}

const inRange = ({ data }: FloatImage): boolean => data.every((value) => value >= 0 && value <= 1);

test("randomResizedCrop() gives its size, values in range, and the same for a seed", () => {
  const from = image(3, 17, 23), crop = randomResizedCrop(8, 12);
  const seen = new Set<string>();
  for (let seed = 0; seed < 30; seed++) {
    const out = crop(from, new Rng(seed, "crop"));
    assertEquals([out.channels, out.height, out.width], [3, 8, 12]);
    assert(inRange(out));
    assertEquals([...crop(from, new Rng(seed, "crop")).data], [...out.data]);
    seen.add([...out.data.subarray(0, 4)].join());
  }
  assert(seen.size > 25, `${seen.size} of 30 crops differ`);
});

test("randomResizedCrop() draws windows with the area and shape that it is told", () => {
  // On an image whose values are the columns, the spread of the result tells the window's width; so for rows.
  const side = 64, columns = makeImage(1, side, side), rows = makeImage(1, side, side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      columns.data[y * side + x] = x / side;
      rows.data[y * side + x] = y / side;
    }
  }
  const options = { scale: [0.25, 0.5], ratio: [0.5, 2], interpolation: "bilinear" } as const;
  const crop = randomResizedCrop(64, 64, options);
  for (let seed = 0; seed < 100; seed++) {
    const extent = (from: FloatImage): number => {
      const { data } = crop(from, new Rng(seed, "window"));
      return Math.max(...data) - Math.min(...data) + 1 / side;
    };
    const width = extent(columns), height = extent(rows);
    // A pixel of rounding on either side.
    assert(
      width * height > 0.25 - 3 / side && width * height < 0.5 + 3 / side,
      `${width * height}`,
    );
    assert(width / height > 0.45 && width / height < 2.2, `${width / height}`);
  }
});

test("resizing keeps a flat image flat, the mean of a halved one, and an image of the same size", () => {
  for (const interpolation of ["bilinear", "bicubic"] as const) {
    const window = { top: 1, left: 2, height: 5, width: 7 };
    const out = resizeWindow(flat(0.5, 1, 9, 9), window, 4, 11, interpolation);
    assertClose([...out.data], new Array(44).fill(0.5), { atol: 1e-6 });
  }
  const same = image(1, 5, 5);
  assert(centerResizedCrop(5, 5)(same, new Rng(0)) === same);
  // A triangle twice as wide over 1, 0, 0, 0 (PIL: weights 3/7, 3/7, 1/7 and 1/7, 3/7, 3/7).
  const line = { channels: 1, height: 1, width: 4, data: Float32Array.of(1, 0, 0, 0) };
  const halved = resizeWindow(line, { top: 0, left: 0, height: 1, width: 4 }, 1, 2, "bilinear");
  assertClose([...halved.data], [3 / 7, 0], { atol: 1e-6 });
});

test("centerResizedCrop() takes the middle", () => {
  const from = makeImage(1, 4, 8);
  for (let i = 0; i < 32; i++) from.data[i] = (i % 8) / 8;
  assertClose(
    [...centerResizedCrop(4, 4)(from, new Rng(0)).data.subarray(0, 4)],
    [2, 3, 4, 5].map((x) => x / 8),
    {
      atol: 1e-6,
    },
  );
  assertClose(
    [...centerResizedCrop(2, 2, 0.5)(from, new Rng(0)).data],
    [3, 4, 3, 4].map((x) => x / 8),
    {
      atol: 1e-6,
    },
  );
});

test("parseRandAugment() reads timm's texts and refuses others", () => {
  assertEquals(parseRandAugment("rand-m9-mstd0.5-inc1"), {
    magnitude: 9,
    magnitudeStd: 0.5,
    layers: 2,
    probability: 0.5,
  });
  assertEquals(parseRandAugment("rand-n3-m5-p1-inc1").layers, 3);
  for (
    const text of ["", "rand-m9", "auto-m9-inc1", "rand-m11-inc1", "rand-q3-inc1", "rand-m-inc1"]
  ) {
    assertThrows(() => parseRandAugment(text), ShapeError, "randAugment");
  }
});

test("each operation keeps size and range, at every strength", () => {
  assertEquals(OPERATIONS.length, 15);
  for (const { name, apply } of OPERATIONS) {
    for (const channels of [1, 3]) {
      for (const strength of [0, 0.37, 1]) {
        const from = image(channels, 7, 9), before = [...from.data];
        const out = apply(from, strength, new Rng(1, name), [0.5]);
        assertEquals([out.channels, out.height, out.width], [channels, 7, 9]);
        assert(inRange(out), `${name} at ${strength}`);
        assertEquals([...from.data], before, `${name} changed its input`);
      }
    }
  }
});

test("operations give known answers", () => {
  const operation = (name: string) => OPERATIONS.find((one) => one.name === name)!.apply;
  const line = (...bytes: number[]): FloatImage => ({
    channels: 1,
    height: 1,
    width: bytes.length,
    data: Float32Array.from(bytes, (byte) => byte / 255),
  });
  const bytes = ({ data }: FloatImage): number[] => Array.from(data, (v) => Math.round(255 * v));
  const apply = (name: string, from: FloatImage, strength = 1, seed = 1): number[] =>
    bytes(operation(name)(from, strength, new Rng(seed), [0]));
  assertEquals(apply("Invert", line(0, 100, 255)), [255, 155, 0]);
  assertEquals(apply("AutoContrast", line(50, 100, 150)), [0, 127, 255]);
  assertEquals(apply("AutoContrast", line(7, 7)), [7, 7]);
  assertEquals(apply("SolarizeIncreasing", line(0, 127, 128, 255), 0.5), [0, 127, 127, 0]);
  assertEquals(apply("SolarizeAdd", line(0, 127, 128)), [110, 237, 128]);
  assertEquals(apply("PosterizeIncreasing", line(0, 17, 100, 255), 0.5), [0, 0, 64, 192]);
  assertEquals(apply("Equalize", line(3, 3, 9)), [3, 3, 9]); // too few pixels for a step
  // Sizes above 1 brighten, sizes below darken; each sign comes up.
  const factors = [1, 2, 3, 4, 5, 6].map((seed) =>
    apply("BrightnessIncreasing", line(100), 0.5, seed)[0]
  );
  assertEquals([...new Set(factors)].sort((a, b) => a - b), [55, 145]);
  const moved = new Set(
    [1, 2, 3, 4, 5, 6].map((seed) =>
      apply("TranslateXRel", line(0, 0, 90, 0, 0, 0, 0, 0, 0, 0), 2 / 9, seed).join()
    ),
  );
  assertEquals([...moved].sort(), ["0,0,0,90,0,0,0,0,0,0", "0,90,0,0,0,0,0,0,0,0"]);
  assertEquals(apply("Rotate", flat(0.2), 0), new Array(36).fill(51));
});

test("randAugment() changes about as many images as two chances of a half leave", () => {
  const from = image(3, 8, 8), change = randAugment("rand-m9-mstd0.5-inc1");
  const n = 400;
  let same = 0;
  for (let seed = 0; seed < n; seed++) {
    const out = change(from, new Rng(seed, "ra"));
    assert(inRange(out));
    if (out === from) same++;
  }
  // A quarter; four standard errors.
  assertClose([same / n], [0.25], { atol: 4 * Math.sqrt(0.25 * 0.75 / n) });
  assertEquals([...change(from, new Rng(7, "ra")).data], [...change(from, new Rng(7, "ra")).data]);
});

test("randomErasing() erases as often and as much as it is told, with noise", () => {
  const from = flat(9, 1, 32, 32), erase = randomErasing(0.25);
  const n = 1000;
  let erased = 0, noise = 0, squares = 0, pixels = 0;
  for (let seed = 0; seed < n; seed++) {
    const out = erase(from, new Rng(seed, "erase"));
    const gone = [...out.data].filter((value) => value !== 9);
    if (out === from) continue;
    erased++;
    // Up to a row and a column of rounding.
    assert(gone.length >= 0.02 * 1024 - 12 && gone.length <= 1024 / 3 + 40, `${gone.length}`);
    for (const value of gone) {
      noise += value;
      squares += value * value;
    }
    pixels += gone.length;
  }
  assertClose([erased / n], [0.25], { atol: 4 * Math.sqrt(0.25 * 0.75 / n) });
  assertClose([noise / pixels, squares / pixels], [0, 1], {
    atol: 6 / Math.sqrt(pixels) * Math.SQRT2,
  });
  assert(randomErasing(0)(from, new Rng(1)) === from);
});

test("transforms name settings that make none", () => {
  const bad: [() => Transform, string][] = [
    [() => randomResizedCrop(0, 4), "whole sizes"],
    [() => randomResizedCrop(4, 4, { scale: [0, 1] }), "scale"],
    [() => randomResizedCrop(4, 4, { scale: [0.5, 2] }), "scale"],
    [() => randomResizedCrop(4, 4, { ratio: [2, 1] }), "ratio"],
    [() => centerResizedCrop(4, 4, 0), "cropPct"],
    [() => randomErasing(2), "probability"],
    [() => randomErasing(0.5, { area: [0, 1] }), "rise"],
  ];
  for (const [make, text] of bad) assertThrows(make, ShapeError, text);
});

test("crops, RandAugment, erasing and mixing give the same bits in every engine", () => {
  const all = compose(
    randomResizedCrop(9, 8),
    randAugment("rand-m9-mstd0.5-n3-p1-inc1", [0.4, 0.5, 0.6]),
    normalise(0.5, 0.25),
    randomErasing(0.5),
  );
  const set = numberedSet(40, 12, 11, 3), source = new Rng(8, "augment");
  let hash = 0;
  const mixed = new Float32Array(40 * 216);
  for (let i = 0; i < 40; i++) mixed.set(all(imageAt(set, i), source.cell(0, i)).data, i * 216);
  for (let i = 0; i < 8; i++) {
    const mix = drawMix({ mixupAlpha: 0.8, cutmixAlpha: 0.6 }, 9, 8, source.cell(1, i));
    mixImages(mixed, [40, 3, 9, 8], mix);
  }
  for (const bits of new Uint32Array(mixed.buffer)) hash = Math.imul(hash ^ bits, 0x01000193);
  assertEquals((hash >>> 0).toString(16), "63bd26c6"); // as first run in Deno
});
