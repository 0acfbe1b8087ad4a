import { ShapeError } from "../../engine/errors.ts";
import { deterministicFill, fillMix, fillSeed } from "../../referee/fill.ts";
import { assert, assertEquals, assertThrows, loadFixture, test } from "../harness.ts";

interface Example {
  readonly name: string;
  readonly shape: number[];
  readonly index: number;
  readonly seed: number;
  readonly x: number;
  readonly value: number;
}

test("deterministicFill() gives the worked examples of the golden folder to the bit", async () => {
  const manifest = JSON.parse(new TextDecoder().decode(await loadFixture("golden/manifest.json")));
  const examples: Example[] = manifest.fill_examples;
  assert(examples.length >= 17, "the examples are there");
  for (const { name, shape, index, seed, x, value } of examples) {
    assertEquals(fillSeed(name), seed, `seed of ${name}`);
    const mixed = fillMix(Number((BigInt(seed) + BigInt(index) * 0x9e3779b9n) & 0xffffffffn));
    assertEquals(mixed, x, `mixed bits of ${name}[${index}]`);
    assertEquals(deterministicFill(name, shape)[index], Math.fround(value), `${name}[${index}]`);
  }
});

test("deterministicFill() hashes the UTF-8 bytes of a name", () => {
  assertEquals(fillSeed(""), 2166136261);
  assertEquals(fillSeed("a"), 0xe40c292c); // published FNV-1a vectors
  assertEquals(fillSeed("foobar"), 0xbf9cf968);
});

test("deterministicFill() chooses the rule by name and shape, the first that fits", () => {
  const range = (name: string, shape: number[]) => {
    const values = deterministicFill(name, shape);
    return [Math.min(...values), Math.max(...values)];
  };
  const within = (name: string, shape: number[], low: number, high: number) => {
    const [min, max] = range(name, shape);
    assert(min >= low && max <= high && max - min > 0.9 * (high - low), `${name}: ${min}..${max}`);
  };
  const root3 = Math.fround(Math.sqrt(3));
  within("input.bias", [500], -root3, root3);
  within("a.bias", [500], -0.05, 0.05);
  within("a.core_experts.vit_fc1.bias", [10, 50], -0.05, 0.05);
  within("a.norm.weight", [500], 0.9, 1.1);
  within("a.gamma", [500], -0.05, 0.05);
  within("a.weight", [50, 3, 4, 1], -0.5, 0.5); // sqrt(3 / 12)
  within("backbone.a.weight", [50, 3, 4, 1], -0.575, 0.575);
  within("a.core_experts.vit_fc1.weight", [10, 50, 12], -0.5, 0.5);
  within("a_fc_reg.weight", [50, 12], -0.1, 0.1);
  const scalar = deterministicFill("a.scales.0", []);
  assert(scalar.length === 1 && scalar[0] >= 0.05 && scalar[0] < 0.1);
});

test("deterministicFill() refuses proposal boxes of another shape", () => {
  assertEquals(deterministicFill("x.init_proposal_bboxes.weight", [3, 4]).length, 12);
  assertThrows(
    () => deterministicFill("x.init_proposal_bboxes.weight", [5, 4]),
    ShapeError,
    "3, 4",
  );
});
