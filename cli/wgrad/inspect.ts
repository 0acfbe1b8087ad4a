/**
 * `deno task wgrad inspect FILE [--json] [--values] [--part NAME]`
 *
 * Lists the tensors of a checkpoint (safetensors, or PyTorch's zip and legacy formats): name, element type, shape, and
 * on request values. Before anything is printed the whole file is checked, checksums included, so a bad one gives an
 * error and no output. At most one tensor is held at a time.
 *
 * The JSON is one object: `{"NAME": {"shape": [...], "dtype": "float32", "values": [...]}, ...}`, with PyTorch's names of
 * the element types, values in row-major order, and "NaN", "Infinity", "-Infinity" as strings, which JSON has no numbers
 * for. Booleans are 0 and 1.
 * @module
 */
import { toFloat32 } from "../../io/convert.ts";
import { elementCount, elementsOf, type NamedArray } from "../../io/named_array.ts";
import { SafetensorsReader } from "../../io/safetensors.ts";
import { TORCH_NAMES } from "../../io/torch/dtypes.ts";
import type { TorchReader } from "../../io/torch/reader.ts";
import { openWeights, type WeightsEntry } from "../../io/weights.ts";
import { readArguments, UsageError } from "../main.ts";
import { openWeightsFile } from "../weights_file.ts";

const USAGE = "Usage: deno task wgrad inspect FILE [--json] [--values] [--part NAME]";
/** Values that are turned into text at a time. */
const CHUNK = 1 << 14;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<void> {
  const { file, json, values, part } = parse(args);
  await using source = await openWeightsFile(file);
  const reader = await openWeights(source, { part });
  if (!(reader instanceof SafetensorsReader)) await reader.verify();
  const lines = json ? jsonLines(reader, values) : textLines(reader, file, values);
  try {
    for await (const text of lines) await print(text);
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // as in `… | head`: the reader has seen enough
  }
}

function parse(args: readonly string[]) {
  const { values, positionals } = readArguments(USAGE, args, {
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      values: { type: "boolean", default: false },
      part: { type: "string" },
    },
  });
  if (positionals.length !== 1) {
    throw new UsageError(`needs one file, got ${positionals.length}; --help lists the options`);
  }
  return { file: positionals[0], ...values };
}

type Reader = SafetensorsReader | TorchReader;

async function* jsonLines(reader: Reader, values: boolean): AsyncGenerator<string> {
  let before = "{";
  for (const entry of reader.entries.values()) {
    const { name, dtype, shape } = entry;
    const about = `"shape": [${shape.join(", ")}], "dtype": "${TORCH_NAMES[dtype]}"`;
    yield `${before}\n${JSON.stringify(name)}: {${about}`;
    if (values) {
      yield ', "values": [';
      yield* valueTexts(await reader.read(name));
      yield "]";
    }
    yield "}";
    before = ",";
  }
  yield before === "{" ? "{}\n" : "\n}\n";
}

async function* textLines(reader: Reader, file: string, values: boolean): AsyncGenerator<string> {
  yield `${file}: ${describe(reader)}\n`;
  const entries = [...reader.entries.values()];
  const width = entries.reduce((most, { name }) => Math.max(most, shown(name).length), 0);
  for (const { name, dtype, shape } of entries) {
    const start = `  ${shown(name).padEnd(Math.min(width, 60))}  ${TORCH_NAMES[dtype].padEnd(8)}`;
    yield `${start}  [${shape.join(", ")}]\n`;
    if (values) {
      yield "    ";
      yield* valueTexts(await reader.read(name));
      yield "\n";
    }
  }
  yield `${summary(entries)}\n`;
  if (!(reader instanceof SafetensorsReader)) yield* unusedLines(reader);
}

function describe(reader: Reader): string {
  if (reader instanceof SafetensorsReader) return "safetensors";
  const where = reader.part === null
    ? "a bare state dict"
    : `the state dict is ${shown(reader.part)}`;
  return `PyTorch, ${reader.format} format; ${where}`;
}

function summary(entries: readonly WeightsEntry[]): string {
  const elements = entries.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const bytes = entries.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const [count, size] = [elements, bytes].map((number) => number.toLocaleString("en"));
  return `${entries.length} tensors, ${count} elements, ${size} bytes`;
}

function* unusedLines({ beside, choices, dropped }: TorchReader): Generator<string> {
  if (beside.length > 0) yield `not used: ${beside.map(shown).join(", ")}\n`;
  if (choices.length > 0) yield `could be used (--part): ${choices.map(shown).join(", ")}\n`;
  if (dropped.length > 0) yield "dropped; nothing of a file is called:\n";
  for (const { path, what } of dropped) yield `  ${shown(path)}: ${what}\n`;
}

/** The values of an array as JSON numbers, with commas between them, in pieces. */
function* valueTexts(array: NamedArray): Generator<string> {
  const values = /^(F16|BF16|F8_.*|BOOL)$/.test(array.dtype) ? toFloat32(array) : elementsOf(array);
  for (let at = 0; at < values.length; at += CHUNK) {
    const texts = Array.from(values.subarray(at, at + CHUNK) as Float64Array, numberText);
    yield `${at === 0 ? "" : ", "}${texts.join(", ")}`;
  }
}

function numberText(value: number | bigint): string {
  if (typeof value === "bigint" || Number.isFinite(value)) {
    return Object.is(value, -0) ? "-0.0" : String(value);
  }
  return `"${value}"`;
}

/** A name of the file: as it is where that is plain text, else with escapes, so that it cannot steer the terminal. */
function shown(name: string): string {
  if (/^[\p{L}\p{N}\p{P}\p{S} ]+$/u.test(name)) return name;
  return JSON.stringify(name).replace(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

async function print(text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
}
