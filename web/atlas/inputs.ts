/**
 * Inputs of examples: pseudo-random numbers, the same on every machine.
 * @module
 */
import { type Binding, readsBefore, type Values } from "../../kernels/kernel.ts";
import type { Example } from "./chapter.ts";

/** A generator of numbers in [0, 2^32): multiply, add, mix (the finaliser of MurmurHash3). */
function hash(i: number, seed: number): number {
  let h = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b);
  h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
  h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
  return (h ^ h >>> 16) >>> 0;
}

/** Whether the elements of a binding are whole numbers. */
export function isWhole({ type }: Binding): boolean {
  return /u32|i32/.test(type);
}

/** What each binding that is looked at before it is written holds, rounded to f32. */
export function inputsOf({ kernel, input }: Example): Values {
  const values: Record<string, ArrayLike<number>> = {};
  kernel.program.bindings.forEach((binding, seed) => {
    if (!readsBefore(kernel, binding)) return;
    const { name } = binding, length = kernel.sizes[name], whole = isWhole(binding);
    values[name] = Float64Array.from({ length }, (_, i) => {
      const word = hash(i, seed);
      return whole ? input(word % 1024, name, i) : Math.fround(input(word / 2 ** 31 - 1, name, i));
    });
  });
  return values;
}
