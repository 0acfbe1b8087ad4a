import { assert, assertEquals, assertThrows, test } from "../harness.ts";
import {
  classCounts,
  fingerprint,
  imageSetFromIdx,
  makeImageSet,
  subset,
} from "../../data/image_set.ts";
import { balancedSample, stratifiedSample } from "../../data/sampling.ts";
import { parseIdx } from "../../data/idx.ts";
import { Rng } from "../../data/random.ts";
import { DataError } from "../../engine/errors.ts";
import { idxFile, numberedSet } from "./support.ts";

const images = parseIdx(idxFile([3, 2, 2], Array.from({ length: 12 }, (_, i) => i)));
const labels = parseIdx(idxFile([3], [0, 2, 1]));

test("imageSetFromIdx() joins images and labels", () => {
  const set = imageSetFromIdx(images, labels);
  assertEquals([set.count, set.height, set.width, set.channels, set.classes], [3, 2, 2, 1, 3]);
  assertEquals(set.labels, Uint8Array.of(0, 2, 1));
  assertEquals(set.images.length, 12);
  const colour = imageSetFromIdx(parseIdx(idxFile([3, 1, 2, 2], new Array(12).fill(7))), labels);
  assertEquals([colour.height, colour.width, colour.channels], [1, 2, 2]);
  assertEquals(imageSetFromIdx(images, labels, { classes: 10 }).classes, 10);
  assertEquals(imageSetFromIdx(images, labels, { names: ["a", "b", "c"] }).classes, 3);
});

test("imageSetFromIdx() says what does not fit", () => {
  const idx = (shape: number[], data: number[], type = 8) => parseIdx(idxFile(shape, data, type));
  const cases: [() => unknown, string][] = [
    [() => imageSetFromIdx(images, idx([2], [0, 1]), {}, "set"), "set: 3 images, but 2 labels"],
    [() => imageSetFromIdx(labels, images), "images must be bytes of shape [N, H, W]"],
    [
      () => imageSetFromIdx(images, images),
      "labels must be bytes of shape [N], got Uint8Array of shape [3,2,2]",
    ],
    [() => imageSetFromIdx(idx([1, 1, 1], [1], 9), idx([1], [0])), "got Int8Array"],
    [
      () => imageSetFromIdx(images, labels, { classes: 2 }),
      "label 2 of image 1 is not one of the 2 classes",
    ],
    [() => imageSetFromIdx(images, labels, { names: ["a", "b"] }), "label 2 of image 1"],
    [
      () => imageSetFromIdx(images, labels, { names: ["a"], classes: 3 }),
      "1 class names for 3 classes",
    ],
    [() => imageSetFromIdx(images, labels, { classes: 1.5 }), "classes must be a whole number"],
    [() => imageSetFromIdx(images, labels, { classes: 300 }), "at most 256 classes"],
    [() => imageSetFromIdx(idx([0, 2, 2], []), idx([0], [])), "there are no images"],
    [
      () => imageSetFromIdx(idx([3, 0, 2], []), labels),
      "height must be a whole number >= 1, got 0",
    ],
  ];
  for (const [make, message] of cases) assertThrows(make, DataError, message);
});

test("makeImageSet() counts bytes against labels", () => {
  const wrong = { ...numberedSet(3), images: new Uint8Array(17) };
  assertThrows(() => makeImageSet(wrong), DataError, "images of 2 x 3 x 1, but 3 labels");
});

test("subset() takes the images in the order asked for, repeats included", () => {
  const set = numberedSet(5);
  const part = subset(set, [4, 0, 4]);
  assertEquals(part.labels, Uint8Array.of(1, 0, 1));
  const image = (i: number): Uint8Array => set.images.slice(i * 6, i * 6 + 6);
  assertEquals(part.images, Uint8Array.of(...image(4), ...image(0), ...image(4)));
  for (const index of [5, -1, 0.5, NaN]) {
    assertThrows(() => subset(set, [index]), DataError, "is not in [0, 5)");
  }
});

test("balancedSample() takes the same number of each class, by seed", () => {
  const set = numberedSet(300);
  const sample = balancedSample(set, 60, new Rng(1));
  assertEquals(classCounts(subset(set, sample)), [20, 20, 20]);
  assertEquals(new Set(sample).size, 60);
  assertEquals(sample, sample.slice().sort());
  assertEquals(balancedSample(set, 60, new Rng(1)), sample);
  assert(balancedSample(set, 60, new Rng(2)).join() !== sample.join());
  const uneven = classCounts(subset(set, balancedSample(set, 62, new Rng(1))));
  assertEquals(uneven.toSorted(), [20, 21, 21]);
});

test("balancedSample() takes the pinned images", () => {
  // From a Python program with its own Philox and shuffle: streams "0/class 0" to "0/class 2" of seed 1.
  const sample = balancedSample(numberedSet(30), 6, new Rng(1));
  assertEquals([...sample], [10, 15, 18, 20, 22, 26]);
});

test("balancedSample() and stratifiedSample() of fewer images are part of those of more", () => {
  const set = numberedSet(300);
  for (const sample of [balancedSample, stratifiedSample]) {
    const more = new Set(sample(set, 99, new Rng(4)));
    assert(sample(set, 48, new Rng(4)).every((index) => more.has(index)));
  }
});

test("stratifiedSample() keeps the classes' shares to the nearest image", () => {
  const classes = [...new Array(70).fill(0), ...new Array(25).fill(1), ...new Array(5).fill(2)];
  const set = makeImageSet({ ...numberedSet(100), labels: Uint8Array.from(classes) });
  const counts = (count: number): number[] =>
    classCounts(subset(set, stratifiedSample(set, count, new Rng(1))));
  assertEquals(counts(20), [14, 5, 1]);
  assertEquals(counts(10), [7, 3, 0]); // 7, 2.5, 0.5: of equal remainders the lower class is first
  assertEquals(counts(100), [70, 25, 5]);
});

test("samples say when a class or the set is too small", () => {
  const set = makeImageSet({ ...numberedSet(5), labels: Uint8Array.of(0, 0, 0, 0, 1) });
  assertThrows(() => balancedSample(set, 4, new Rng(1)), DataError, "class");
  for (const count of [0, 6, 1.5]) {
    assertThrows(() => stratifiedSample(set, count, new Rng(1)), DataError, "in [1, 5]");
    assertThrows(() => balancedSample(set, count, new Rng(1)), DataError, "in [1, 5]");
  }
});

test("fingerprint() changes with any pixel, label or size, and is the same in every engine", () => {
  const set = numberedSet(50);
  const first = fingerprint(set);
  assertEquals(first, "50x2x3x1-3fc672e560db18d1");
  const seen = new Set([first]);
  for (let i = 0; i < set.images.length; i++) {
    const changed = set.images.slice();
    changed[i] ^= 1;
    seen.add(fingerprint({ ...set, images: changed }));
  }
  const labels = set.labels.slice();
  labels[49] = 2;
  seen.add(fingerprint({ ...set, labels }));
  seen.add(fingerprint({ ...set, classes: 4 }));
  seen.add(fingerprint({ ...set, height: 3, width: 2 }));
  assertEquals(seen.size, set.images.length + 4);
});
