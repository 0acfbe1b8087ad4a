/**
 * State dicts: named values of a model, and the check that they fit it.
 * @module
 */
import { CheckpointError, DTypeError } from "../engine/errors.ts";
import { sameShape, sizeOf } from "../engine/tensor.ts";

/** One named tensor on the host. */
export interface StateEntry {
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Values in row-major order. */
  readonly data: Float32Array;
}

/** Values of a model or optimiser by name, in the model's order. */
export type StateDict = ReadonlyMap<string, StateEntry>;

/** A state dict that is read tensor by tensor, such as an open safetensors file. */
export interface StateSource {
  /** What there is. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** The values of one of them. */
  read(name: string): Promise<Float32Array>;
}

/** Options of loading. */
export interface LoadOptions {
  /** Refuse anything that does not fit exactly, and change nothing then. Default true. */
  strict?: boolean;
  /** Names that are no error when they have no place in the model, such as `/num_batches_tracked$/`. */
  ignore?: RegExp;
}

/** What was loaded and what was not. */
export interface LoadReport {
  /** Names whose values were taken. */
  readonly loaded: readonly string[];
  /** Names of the model for which there were no values; they keep theirs. */
  readonly missing: readonly string[];
  /** Names that the model does not have. */
  readonly unexpected: readonly string[];
  /** Names with values of another shape; they keep theirs. */
  readonly wrongShape: readonly {
    readonly name: string;
    readonly got: readonly number[];
    readonly want: readonly number[];
  }[];
}

/**
 * Compares names and shapes with those of a model or an optimiser.
 * @throws {CheckpointError} when strict and something differs: one error lists all of it
 */
export function matchState(
  what: string,
  want: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  got: ReadonlyMap<string, readonly number[]>,
  options: LoadOptions = {},
): LoadReport {
  const loaded: string[] = [], missing: string[] = [];
  const wrongShape: { name: string; got: readonly number[]; want: readonly number[] }[] = [];
  for (const [name, { shape }] of want) {
    const there = got.get(name);
    if (there === undefined) missing.push(name);
    else if (sameShape(there, shape)) loaded.push(name);
    else wrongShape.push({ name, got: there, want: shape });
  }
  const unexpected = [...got.keys()].filter((n) => !want.has(n) && !options.ignore?.test(n));
  const report = { loaded, missing, unexpected, wrongShape };
  if (options.strict !== false && missing.length + unexpected.length + wrongShape.length > 0) {
    throw new CheckpointError(
      `${what}: the state dict does not fit.${describeMisfits(report)}\n` +
        `  Load with { strict: false } to take what fits.`,
    );
  }
  return report;
}

/**
 * Checks one entry of a state dict.
 * @throws {CheckpointError} its data do not fill its shape
 * @throws {DTypeError} its data are not a Float32Array
 */
export function checkEntry(what: string, name: string, entry: StateEntry): void {
  if (!(entry.data instanceof Float32Array)) {
    throw new DTypeError(`${what}: the data of "${name}" must be a Float32Array`);
  }
  if (entry.data.length !== sizeOf(entry.shape)) {
    throw new CheckpointError(
      `${what}: "${name}" has ${entry.data.length} values, its shape [${
        entry.shape.join(", ")
      }] holds ${sizeOf(entry.shape)}`,
    );
  }
}

/** Names shown of each list before the rest is only counted. */
const SHOWN = 12;

/** What a report says is missing, unexpected or of the wrong shape, a line each, every line after a newline. */
export function describeMisfits(report: LoadReport): string {
  const shapes = report.wrongShape.map(({ name, got, want }) =>
    `${name} is [${got.join(", ")}], needs [${want.join(", ")}]`
  );
  const lists: [string, readonly string[]][] = [
    ["missing", report.missing],
    ["unexpected", report.unexpected],
    ["wrong shape", shapes],
  ];
  const full = lists.filter(([, list]) => list.length > 0);
  return full.map(([title, list]) => `\n  ${describeList(title, list)}`).join("");
}

/** A titled list in one line, cut short where it is long. */
export function describeList(title: string, list: readonly string[]): string {
  const more = list.length > SHOWN ? ` and ${list.length - SHOWN} more` : "";
  return `${title} (${list.length}): ${list.slice(0, SHOWN).join(", ")}${more}`;
}
