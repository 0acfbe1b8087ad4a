/**
 * What every program of the command line does around its work: arguments, and errors as one clear line.
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { DTypeError, InterruptedError, ShapeError, WgradError } from "../engine/mod.ts";
import { quietDrivers } from "./system.ts";

/** The command line is not understood; the message says why. */
export class UsageError extends Error {}

/** Reads options; a wrong one is a `UsageError`. */
export function readOptions<T extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: T,
): ReturnType<typeof parseArgs<{ options: T }>>["values"] {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A whole number given on the command line. */
export function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new UsageError(`--${name} takes a whole number from ${least} to ${most}, not ${text}`);
  }
  return value;
}

/** Runs a program: expected errors end it with one line and code 1 (2: wrong usage, 130: interrupted). */
export async function runMain(name: string, work: () => Promise<void>): Promise<never> {
  quietDrivers();
  try {
    await work();
    Deno.exit(0);
  } catch (error) {
    const known = error instanceof WgradError || error instanceof ShapeError ||
      error instanceof DTypeError;
    if (error instanceof UsageError) {
      console.error(`${name}: ${error.message}`);
      Deno.exit(2);
    }
    if (!known) throw error;
    console.error(`\n${name}: ${error.name}: ${error.message}`);
    Deno.exit(error instanceof InterruptedError ? 130 : 1);
  }
}
