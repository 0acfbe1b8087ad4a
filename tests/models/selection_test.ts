import { ShapeError } from "../../engine/errors.ts";
import { Rng } from "../../engine/random/host_rng.ts";
import {
  drawByScore,
  globalScores,
  randomIndices,
  subsetSize,
  topIndices,
  uniformIndices,
} from "../../models/selection.ts";
import { assert, assertClose, assertEquals, assertThrows, test } from "../harness.ts";

test("subsetSize() rounds down and keeps at least one", () => {
  assertEquals(subsetSize(96, 0.25), 24);
  assertEquals(subsetSize(10, 1 / 3), 3);
  assertEquals(subsetSize(3, 0.01), 1);
  assertThrows(() => subsetSize(10, 0), ShapeError, "ratio 0");
  assertThrows(() => subsetSize(10, 1.5), ShapeError, "ratio 1.5");
});

test("uniformIndices() spans the first to the last neuron", () => {
  assertEquals([...uniformIndices(9, 3)], [0, 4, 8]);
  assertEquals([...uniformIndices(5, 5)], [0, 1, 2, 3, 4]);
  assertEquals([...uniformIndices(7, 1)], [0]);
  assertEquals([...uniformIndices(1, 1)], [0]);
  assertThrows(() => uniformIndices(4, 5), ShapeError, "5 of 4");
});

test("uniformIndices() rounds half to even, or truncates", () => {
  assertEquals([...uniformIndices(4, 3)], [0, 1, 3]); // 0, 1.5, 3
  assertEquals([...uniformIndices(4, 3, "round")], [0, 2, 3]);
  assertEquals([...uniformIndices(6, 3)], [0, 2, 5]); // 0, 2.5, 5
  assertEquals([...uniformIndices(6, 3, "round")], [0, 2, 5]);
});

test("uniformIndices() has the rounding of torch.linspace in float32", () => {
  // From torch 1.13 (CPU, AVX2): sizes at which exact integer arithmetic would give other indices.
  for (const [total, subset, at, index] of TORCH_DIFFERS) {
    const exact = Math.floor(at * (total - 1) / (subset - 1));
    assert(exact !== index, "the case would show nothing");
    assertEquals(uniformIndices(total, subset)[at], index, `${subset} of ${total}, index ${at}`);
  }
});

/** [total, subset, position, torch's index]. */
const TORCH_DIFFERS: readonly (readonly [number, number, number, number])[] = [
  [3815, 3179, 1589, 1906],
  [1613, 785, 392, 805],
  [5773, 1443, 721, 2885],
  [3787, 1411, 235, 630],
  [3792, 443, 234, 2006],
  [755, 320, 44, 103],
  [5620, 2596, 1730, 3745],
  [2509, 727, 407, 1405],
  [1324, 100, 44, 587],
  [4371, 3326, 1785, 2345],
  [5994, 4621, 3163, 4103],
  [5083, 1387, 714, 2617],
];

test("randomIndices() chooses without repetition, by the seed", () => {
  const chosen = randomIndices(100, 30, new Rng(7, "a"));
  assertEquals(new Set(chosen).size, 30);
  assertEquals([...chosen], [...chosen].sort((a, b) => a - b));
  assertEquals([...randomIndices(100, 30, new Rng(7, "a"))], [...chosen]);
  assert(randomIndices(100, 30, new Rng(8, "a")).join() !== chosen.join(), "another seed");
});

test("globalScores() weighs every layer alike", () => {
  assertClose(globalScores([[1, 3], [300, 100]]), [0.5, 0.5], { atol: 1e-6 });
  assertThrows(() => globalScores([]), ShapeError, "needs layers");
  assertThrows(() => globalScores([[1], [1, 2]]), ShapeError, "[1,2]");
});

test("topIndices() takes the largest scores, of equal ones the first", () => {
  assertEquals([...topIndices([1, 5, 3, 5, 4], 3)], [1, 3, 4]);
  assertEquals([...topIndices([2, 2, 2, 2], 2)], [0, 1]);
});

test("drawByScore() draws in proportion to the scores, never one twice, never one of score 0", () => {
  const rng = new Rng(1, "draw"), counts = [0, 0, 0, 0], rounds = 4000;
  for (let i = 0; i < rounds; i++) {
    const drawn = drawByScore([1, 0, 2, 5], 2, rng);
    assert(drawn[0] !== drawn[1]);
    counts[drawn[0]]++;
  }
  assertEquals(counts[1], 0);
  assertClose(counts.map((count) => count / rounds), [1 / 8, 0, 2 / 8, 5 / 8], { atol: 0.03 });
  assertThrows(() => drawByScore([1, 0, 2], 3, rng), ShapeError, "only 2 of 3");
  assertThrows(() => drawByScore([1, -1], 1, rng), ShapeError, "score 1 is -1");
  assertThrows(() => drawByScore([1, NaN], 1, rng), ShapeError, "score 1 is NaN");
});
