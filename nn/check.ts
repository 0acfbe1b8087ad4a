/**
 * Checks of settings that layers and models share; each error names where, what and the range.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";

/** Checks a size. @throws {ShapeError} it is not a whole number above 0 */
export function checkCount(where: string, name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new ShapeError(`${where}: ${name} is ${value}, needs a whole number of 1 or more`);
  }
}

/** Checks a probability. @throws {ShapeError} it is not in [0, 1] */
export function checkProbability(where: string, name: string, value: number): void {
  if (!(value >= 0 && value <= 1)) {
    throw new ShapeError(`${where}: ${name} is ${value}, needs a number in [0, 1]`);
  }
}

/** Checks a rate, a deviation or an epsilon. @throws {ShapeError} it is not a finite number of 0 or more */
export function checkAmount(where: string, name: string, value: number): void {
  if (!(value >= 0 && value < Infinity)) {
    throw new ShapeError(`${where}: ${name} is ${value}, needs a finite number of 0 or more`);
  }
}
