/** Mixup and CutMix: what is drawn, how often, and what it does to images and targets. */
import {
  BatchLoader,
  drawMix,
  mixedTargets,
  mixImages,
  type MixupOptions,
  Rng,
  symmetricBeta,
} from "../../data/mod.ts";
import { ShapeError } from "../../engine/errors.ts";
import { assert, assertClose, assertEquals, assertThrows, test } from "../harness.ts";
import { numberedSet } from "./support.ts";

const BOTH: MixupOptions = { mixupAlpha: 0.8, cutmixAlpha: 1 };
const N = 4000;

/** Mean and variance of draws. */
function moments(values: readonly number[]): [mean: number, variance: number] {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return [mean, values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length];
}

test("symmetricBeta() has the mean 1/2 and the variance 1 / (4 (2 alpha + 1))", () => {
  for (const alpha of [0.2, 0.8, 1, 2, 4]) {
    const rng = new Rng(3, `beta ${alpha}`);
    const draws = Array.from({ length: N }, () => symmetricBeta(alpha, rng));
    assert(draws.every((x) => x >= 0 && x <= 1));
    const [mean, variance] = moments(draws), want = 1 / (4 * (2 * alpha + 1));
    // Four standard errors of 4,000 draws; that of a variance is at most sqrt((1/16 - want^2 / 4) / N).
    assertClose([mean], [0.5], { atol: 4 * Math.sqrt(want / N) });
    assertClose([variance], [want], { atol: 4 * Math.sqrt((1 / 16) / N) });
  }
});

test("drawMix() takes CutMix half of the time; lambda is the share that its box leaves", () => {
  const rng = new Rng(1, "mix");
  const mixes = Array.from({ length: N }, () => drawMix(BOTH, 20, 30, rng));
  const cuts = mixes.filter(({ box }) => box !== null);
  // Four standard errors: sqrt(1 / 4 / N) each.
  assertClose([cuts.length / N], [0.5], { atol: 4 * Math.sqrt(0.25 / N) });
  for (const { lambda, box } of cuts) {
    const { top, bottom, left, right } = box!;
    assert(top >= 0 && bottom <= 20 && left >= 0 && right <= 30 && top <= bottom && left <= right);
    assertClose([lambda], [1 - (bottom - top) * (right - left) / 600], { atol: 1e-12 });
  }
  const [mean] = moments(mixes.filter(({ box }) => box === null).map(({ lambda }) => lambda));
  assertClose([mean], [0.5], { atol: 4 * Math.sqrt(1 / (4 * 2.6) / (N / 2)) });
});

test("drawMix() leaves out what is off, and all of a batch as often as `prob` says", () => {
  const draw = (options: MixupOptions, seed: number) => drawMix(options, 8, 8, new Rng(seed, "m"));
  for (let seed = 0; seed < 50; seed++) {
    assertEquals(draw({ mixupAlpha: 0.8, cutmixAlpha: 0 }, seed).box, null);
    assert(draw({ mixupAlpha: 0, cutmixAlpha: 1 }, seed).box !== null);
    assertEquals(draw({ mixupAlpha: 0, cutmixAlpha: 0 }, seed).lambda, 1);
    assertEquals(draw({ ...BOTH, prob: 0 }, seed), { lambda: 1, box: null });
    assert(draw({ ...BOTH, switchProb: 1 }, seed).box !== null);
    assertEquals(draw(BOTH, seed), draw(BOTH, seed));
  }
});

test("mixImages() blends each image with its opposite number, or pastes a box of it", () => {
  const images = () => Float32Array.from([1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9]);
  const shape = [3, 1, 2, 2] as const;
  const blended = images();
  mixImages(blended, shape, { lambda: 0.75, box: null });
  assertEquals([...blended], [3, 3, 3, 3, 5, 5, 5, 5, 7, 7, 7, 7]);
  const cut = images();
  mixImages(cut, shape, { lambda: 0.5, box: { top: 1, bottom: 2, left: 0, right: 2 } });
  assertEquals([...cut], [1, 1, 9, 9, 5, 5, 5, 5, 9, 9, 1, 1]);
  const colours = Float32Array.from({ length: 24 }, (_, i) => i);
  mixImages(colours, [2, 3, 2, 2], { lambda: 0.75, box: { top: 0, bottom: 1, left: 1, right: 2 } });
  assertEquals([...colours.subarray(0, 12)], [0, 13, 2, 3, 4, 17, 6, 7, 8, 21, 10, 11]);
});

test("mixedTargets() gives each class its share; a row sums to 1", () => {
  assertEquals([...mixedTargets([0, 2, 2], 3, { lambda: 0.75, box: null })], [
    ...[0.75, 0, 0.25],
    ...[0, 0, 1],
    ...[0.25, 0, 0.75],
  ]);
});

test("a loader with mixup gives targets, the same again for a seed, epoch and position", async () => {
  const set = numberedSet(8, 2, 2, 1);
  const loader = (seed = 4) => new BatchLoader(set, { batchSize: 4, seed, mixup: BOTH });
  const all = async (from: BatchLoader, count: number) => {
    const batches = [];
    for await (const { images, targets } of from.batches()) {
      batches.push([[...images], [...targets!]]);
      if (batches.length === count) return batches;
    }
  };
  const whole = (await all(loader(), 6))!;
  const later = loader();
  later.restore({ epoch: 1, position: 4 });
  assertEquals(await all(later, 3), whole.slice(3));
  assert(JSON.stringify(await all(loader(5), 6)) !== JSON.stringify(whole));
  for (const [, targets] of whole) {
    for (let row = 0; row < 4; row++) {
      const width = targets.length / 4;
      const sum = targets.slice(row * width, (row + 1) * width).reduce((a, b) => a + b);
      assertClose([sum], [1], { atol: 1e-6 }); // two rounded f32
    }
  }
});

test("mixup's settings out of range are named", () => {
  const set = numberedSet(2, 2, 2, 1);
  const bad: [MixupOptions, string][] = [
    [{ mixupAlpha: -1, cutmixAlpha: 0 }, "mixupAlpha must be in [0, 4], got -1"],
    [{ mixupAlpha: 0, cutmixAlpha: 5 }, "cutmixAlpha must be in [0, 4], got 5"],
    [{ ...BOTH, prob: 2 }, "prob must be in [0, 1], got 2"],
    [{ ...BOTH, switchProb: NaN }, "switchProb must be in [0, 1], got NaN"],
  ];
  for (const [mixup, text] of bad) {
    assertThrows(() => new BatchLoader(set, { batchSize: 1, mixup }), ShapeError, text);
  }
});
