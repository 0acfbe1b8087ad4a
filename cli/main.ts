/**
 * What every program of the command line does around its work: arguments, and errors as one clear line.
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { DTypeError, InterruptedError, ShapeError, WgradError } from "../engine/mod.ts";
import { endBar } from "./progress.ts";
import { quietDrivers } from "./system.ts";

/** An error that the user can mend: it is told by its message alone. */
export class ProgramError extends Error {
  /** The name of the class. */
  override readonly name: string = "ProgramError";
  /** What the program ends with. */
  readonly exitCode: number = 1;
}

/** The command line is not understood; the message says why. */
export class UsageError extends ProgramError {
  /** The name of the class. */
  override readonly name = "UsageError";
  /** What the program ends with. */
  override readonly exitCode = 2;
}

/**
 * Reads the command line. `--help` prints the usage and ends the program.
 * @throws {UsageError} an option that is unknown or lacks its value, or an argument that is none of the program's
 */
export function readArguments<C extends ParseArgsConfig>(
  usage: string,
  args: readonly string[],
  config: C,
): ReturnType<typeof parseArgs<C>> {
  if (args.includes("--help")) {
    console.log(usage);
    Deno.exit(0);
  }
  try {
    return parseArgs<C>({ ...config, args: withNegatives(args) });
  } catch (error) {
    const [first] = (error instanceof Error ? error.message : String(error)).split(/\.?\n|\. To /);
    throw new UsageError(`${first}; --help lists the options`);
  }
}

/** `--seed -1` as `--seed=-1`: a negative number is a wrong value rather than another option. */
function withNegatives(args: readonly string[]): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const before = joined.at(-1);
    if (/^-\d/.test(arg) && before?.startsWith("--")) {
      joined[joined.length - 1] = `${before}=${arg}`;
    } else joined.push(arg);
  }
  return joined;
}

/**
 * A whole number given on the command line.
 * @throws {UsageError} it is not written in digits, or not in the range
 */
export function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most)) {
    throw new UsageError(`--${name} takes a whole number from ${least} to ${most}, not "${text}"`);
  }
  return value;
}

/**
 * Runs a program and ends it with the code that the work returns (default 0). Errors that a user can mend end it with
 * one line and code 1 (2: wrong usage, 130: interrupted); any other is a mistake of ours and shows where it was made.
 * @param goesOn what goes on with interrupted work, as a sentence
 */
export async function runMain(
  name: string,
  work: () => Promise<number | void>,
  goesOn = "Go on with the same options and --resume.",
): Promise<never> {
  quietDrivers();
  try {
    Deno.exit(await work() ?? 0);
  } catch (error) {
    endBar();
    if (error instanceof ProgramError) {
      console.error(`${name}: ${error.message}`);
      Deno.exit(error.exitCode);
    }
    if (error instanceof InterruptedError) {
      console.error(`${name}: ${error.message} ${goesOn}`);
      Deno.exit(130);
    }
    const known = error instanceof WgradError || error instanceof ShapeError ||
      error instanceof DTypeError;
    if (!known) throw error;
    console.error(`${name}: ${error.name}: ${error.message}`);
    Deno.exit(1);
  }
}
