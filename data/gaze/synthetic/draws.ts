/**
 * Drawing from the ranges of `ranges.ts`. Only + - * /, so every engine draws the same bits.
 * @module
 */
import type { Rng } from "../../random.ts";

/** A closed interval. */
export type Interval = readonly [least: number, most: number];

/** A colour: linear red, green and blue in [0, 1]. */
export type Colour = readonly [red: number, green: number, blue: number];

/** A number of an interval, each equally likely. One word. */
export function between(rng: Rng, [least, most]: Interval): number {
  return least + (most - least) * rng.uniform();
}

/** True with a probability. One word. */
export function chance(rng: Rng, probability: number): boolean {
  return rng.uniform() < probability;
}

/** One of a list, each equally likely. */
export function pick<T>(rng: Rng, list: readonly T[]): T {
  return list[rng.integer(list.length)];
}

/** a at 0, b at 1. */
export function mix(a: number, b: number, amount: number): number {
  return a + (b - a) * amount;
}

/** a at 0, b at 1, channel by channel. */
export function mixColours(a: Colour, b: Colour, amount: number): Colour {
  return [mix(a[0], b[0], amount), mix(a[1], b[1], amount), mix(a[2], b[2], amount)];
}

/** A colour with every channel moved by up to `amount` of its value. */
export function vary(rng: Rng, colour: Colour, amount: number): Colour {
  const one = (channel: number): number => channel * (1 + amount * (2 * rng.uniform() - 1));
  return [one(colour[0]), one(colour[1]), one(colour[2])];
}

/** A colour of the palette's neighbourhood: two of its entries mixed. */
export function fromPalette(rng: Rng, palette: readonly Colour[]): Colour {
  const place = rng.uniform() * (palette.length - 1);
  const first = Math.floor(place);
  return mixColours(
    palette[first],
    palette[Math.min(first + 1, palette.length - 1)],
    place - first,
  );
}

/** 0 up to `from`, 1 from `to` on, smooth between them. */
export function smoothStep(from: number, to: number, value: number): number {
  const t = Math.min(1, Math.max(0, (value - from) / (to - from)));
  return t * t * (3 - 2 * t);
}
