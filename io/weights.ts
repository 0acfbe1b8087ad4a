/**
 * Weights in any file format that wgrad reads, told apart by their first bytes: safetensors, or what `torch.save` writes.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import { asSource, type Bytes, type ByteSource, readExactly } from "./byte_source.ts";
import { toFloat32 } from "./convert.ts";
import type { FileDType, NamedArray } from "./named_array.ts";
import { SafetensorsReader } from "./safetensors.ts";
import { startsLegacyFormat } from "./torch/legacy_format.ts";
import { TorchReader } from "./torch/reader.ts";
import { startsZipFormat } from "./torch/zip_format.ts";

/** A tensor of a file, before it is read. */
export interface WeightsEntry {
  /** Its name. */
  readonly name: string;
  /** The element type. */
  readonly dtype: FileDType;
  /** Sizes from the outermost to the innermost dimension; [] is a scalar. */
  readonly shape: readonly number[];
  /** Bytes of the dense tensor. */
  readonly byteLength: number;
}

/** An open file of weights. */
export interface WeightsReader extends AsyncIterable<[name: string, array: NamedArray]> {
  /** The tensors by name, in the file's order. */
  readonly entries: ReadonlyMap<string, WeightsEntry>;
  /** Reads one tensor. @throws {CheckpointError} there is none of this name, or its bytes are damaged */
  read(name: string): Promise<NamedArray>;
}

/** Options of `openWeights`. */
export interface OpenWeightsOptions {
  /** The key of a PyTorch file under which its state dict stands, such as "model_ema" ("": at the top). Default: the usual ones. */
  readonly part?: string;
}

/**
 * Opens weights for reading tensor by tensor. The format is that of the content, whatever the file's name.
 * @throws {CheckpointError} it is none of the formats, truncated, or hostile
 */
export async function openWeights(
  from: Bytes,
  options: OpenWeightsOptions = {},
): Promise<SafetensorsReader | TorchReader> {
  const source = asSource(from);
  const label = source.label ?? "weights";
  if (source.size === 0) throw new CheckpointError(`${label}: the file is empty`);
  const start = await readExactly(source, 0, Math.min(9, source.size));
  if (startsZipFormat(start) || startsLegacyFormat(start)) {
    return await TorchReader.open(source, options);
  }
  if (!looksLikeSafetensors(start, source)) {
    throw new CheckpointError(
      `${label}: it is no safetensors file and no checkpoint of torch.save(); ` +
        `it starts with the bytes ${[...start.subarray(0, 4)].map(hex).join(" ")}`,
    );
  }
  if (options.part !== undefined) {
    throw new CheckpointError(`${label}: a safetensors file has no parts to choose from`);
  }
  return await SafetensorsReader.open(source);
}

/**
 * The names, shapes and values that `Module.loadStateFrom` and `loadPretrained` take: every tensor as f32.
 * @example
 * ```ts ignore
 * await using file = await openFileSource("vit.pth");
 * const report = await model.loadStateFrom(weightsSource(await openWeights(file)));
 * ```
 */
export function weightsSource(reader: WeightsReader): {
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  read(name: string): Promise<Float32Array>;
} {
  return {
    shapes: new Map([...reader.entries].map(([name, { shape }]) => [name, shape])),
    read: async (name) => toFloat32(await reader.read(name)),
  };
}

/** A JSON object after the length; a damaged one only where the name says what it should be. */
function looksLikeSafetensors(start: Uint8Array, source: ByteSource): boolean {
  return start[8] === 0x7b || (source.label?.endsWith(".safetensors") ?? false);
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
