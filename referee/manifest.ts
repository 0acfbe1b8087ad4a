/**
 * The manifest of a golden folder: which cases there are, how each was made, and how close a result must come.
 * @module
 */
import { DataError } from "../engine/errors.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../io/json.ts";

/** One tensor of a case. */
export interface TensorEntry {
  /** `input.x`, `param.…`, `probe.…`, `output.…`, `grad.…`, `mask.…` or `sample_index…`. */
  readonly name: string;
  /** Element type. */
  readonly dtype: "F32" | "I32";
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** A value may be off by `tolAbs + tolRel * |want|`; both are 0 where the manifest gives none: then it must be equal. */
  readonly tolAbs: number;
  /** The part of the tolerance in proportion to the wanted value. */
  readonly tolRel: number;
}

/** One case. */
export interface CaseEntry {
  /** Unique in its folder. */
  readonly name: string;
  /** What decides how to run it: project and number of the kind, `moe_05`. */
  readonly kind: string;
  /** The safetensors file, relative to the folder. */
  readonly file: string;
  /** In words. */
  readonly what: string;
  /** Settings of the layer or model, in Python's spelling. */
  readonly config: JsonObject;
  /** Names and lists that are no tensors. */
  readonly data: JsonObject;
  /** What its file holds. */
  readonly tensors: readonly TensorEntry[];
  /** Why the entry cannot be read, where it cannot: the case fails, the others are run. */
  readonly fault?: DataError;
}

/** What a golden folder promises. */
export interface Manifest {
  /** The cases, in the order in which they are run. */
  readonly cases: readonly CaseEntry[];
}

/**
 * Reads a manifest. A case that lacks what it needs keeps its name and gets a `fault` that names case and field.
 * @throws {DataError} it is no JSON, or has no list of cases
 */
export function parseManifest(text: string): Manifest {
  let json: JsonValue;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`manifest.json is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (!isJsonObject(json) || !Array.isArray(json.cases)) {
    throw new DataError("manifest.json needs a list named cases");
  }
  return {
    cases: json.cases.map((entry, i) => {
      try {
        return parseCase(entry, i);
      } catch (fault) {
        if (!(fault instanceof DataError)) throw fault;
        const name = isJsonObject(entry) && typeof entry.name === "string" ? entry.name : "";
        const empty = { kind: "", file: "", what: "", config: {}, data: {}, tensors: [] };
        return { name: name || `case_${i}`, ...empty, fault };
      }
    }),
  };
}

/** @throws {DataError} names the case and field */
function parseCase(json: JsonValue, i: number): CaseEntry {
  if (!isJsonObject(json)) throw new DataError(`manifest.json: case ${i} is not an object`);
  const name = text(json.name, `case ${i}: name`);
  const { config = {}, data = {}, tensors, what } = json;
  if (!isJsonObject(config) || !isJsonObject(data) || !Array.isArray(tensors)) {
    throw new DataError(`${name}: config and data must be objects, tensors a list`);
  }
  return {
    name,
    kind: /^[a-z]+_\d+/.exec(name)?.[0] ?? name,
    file: text(json.file, `${name}: file`),
    what: typeof what === "string" ? what : "",
    config,
    data,
    tensors: tensors.map((tensor) => parseTensor(tensor, name)),
  };
}

function parseTensor(json: JsonValue, where: string): TensorEntry {
  if (!isJsonObject(json)) throw new DataError(`${where}: a tensor is not an object`);
  const name = text(json.name, `${where}: name of a tensor`);
  const { dtype, shape } = json;
  if (dtype !== "F32" && dtype !== "I32") {
    throw new DataError(`${where}: ${name} is ${dtype}, needs F32 or I32`);
  }
  if (!Array.isArray(shape) || !shape.every((d) => Number.isSafeInteger(d) && Number(d) >= 0)) {
    throw new DataError(`${where}: ${name} has no shape`);
  }
  return {
    name,
    dtype,
    shape: shape as number[],
    tolAbs: tolerance(json.tol_abs, `${where}: tol_abs of ${name}`),
    tolRel: tolerance(json.tol_rel, `${where}: tol_rel of ${name}`),
  };
}

function text(value: JsonValue | undefined, what: string): string {
  if (typeof value !== "string" || value === "") throw new DataError(`${what} is not a text`);
  return value;
}

function tolerance(value: JsonValue | undefined, what: string): number {
  if (value === undefined || value === null) return 0;
  if (typeof value !== "number" || !(value >= 0)) {
    throw new DataError(`${what} is ${value}, needs a number that is not negative`);
  }
  return value;
}
