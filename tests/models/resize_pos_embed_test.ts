import { assert, assertEquals, assertThrows, loadFixture, test } from "../harness.ts";
import { ShapeError } from "../../engine/errors.ts";
import { type Grid, resizePosEmbed } from "../../models/resize_pos_embed.ts";

/** `interpolate(mode="bicubic")` of PyTorch 1.13 in float64, by tests/io/fixtures/torch/make.py. */
interface Case {
  old: Grid;
  new: Grid;
  antialias: boolean;
  grid: number[];
  want: number[];
}

test("resizePosEmbed() resamples as PyTorch does", async () => {
  const text = new TextDecoder().decode(await loadFixture("models/fixtures/bicubic.json"));
  const cases: Case[] = JSON.parse(text);
  assertEquals(cases.length, 9);
  for (const { old, new: to, antialias, grid, want } of cases) {
    const options = { from: old, to, prefixTokens: 2, dim: 3, antialias };
    const prefix = [9, 8, 7, 6, 5, 4];
    const got = resizePosEmbed(Float32Array.from([...prefix, ...grid]), options);
    assertEquals([...got.subarray(0, 6)], prefix);
    assertEquals(got.length, 6 + want.length);
    want.forEach((value, i) => {
      // Both sum in float64; ours is rounded to f32 once: half a unit in the last place, and a little for the order.
      const tolerance = 1e-12 + Math.abs(value) * 2 ** -24;
      assert(
        Math.abs(got[6 + i] - value) <= tolerance,
        `${old} -> ${to}, value ${i}: got ${got[6 + i]}, want ${value}`,
      );
    });
  }
});

test("resizePosEmbed() to the same grid changes nothing, and constants stay constants", () => {
  const values = Float32Array.from({ length: 1 + 6 }, (_, i) => Math.sin(i));
  for (const antialias of [true, false]) {
    const same = { from: [2, 3], to: [2, 3], prefixTokens: 1, dim: 1, antialias } as const;
    assertEquals(resizePosEmbed(values, same), values);
    const flat = { from: [3, 3], to: [7, 2], prefixTokens: 0, dim: 1, antialias } as const;
    assertEquals(
      resizePosEmbed(new Float32Array(9).fill(2.5), flat),
      new Float32Array(14).fill(2.5),
    );
  }
});

test("resizePosEmbed() checks that prefix, grid and values fit", () => {
  const options = { from: [2, 2], to: [3, 3], prefixTokens: 1, dim: 2 } as const;
  assertThrows(
    () => resizePosEmbed(new Float32Array(8), options),
    ShapeError,
    "8 values, 1 prefix tokens and a grid of 2x2 need 5 x 2",
  );
});
