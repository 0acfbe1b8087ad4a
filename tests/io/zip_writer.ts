/**
 * Zip archives for tests, well-formed or not: every field can be given another value than the right one.
 * @module
 */
import { crc32 } from "../../io/crc32.ts";

/** A file to be archived; what is left out is right. */
export interface ZipFile {
  readonly name: string | Uint8Array;
  readonly data: Uint8Array;
  /** Pack it by DEFLATE. */
  readonly deflate?: boolean;
  /** Write its sizes and place as 64-bit numbers. */
  readonly zip64?: boolean;
  /** Write zeros for checksum and sizes into the local header, as streaming writers do. */
  readonly streamed?: boolean;
  /** Wrong values for fields of the directory. */
  readonly crc?: number;
  readonly size?: number;
  readonly packedSize?: number;
  readonly offset?: number;
  readonly method?: number;
  readonly flags?: number;
  /** Wrong name for the local header. */
  readonly localName?: string;
  /** Bytes of padding in the local header's extra field, as PyTorch aligns its storages. */
  readonly padding?: number;
}

/** Options of a whole archive. */
export interface ZipOptions {
  /** Write the zip64 records at the end. */
  readonly zip64?: boolean;
  readonly comment?: string;
  /** Wrong number of entries. */
  readonly count?: number;
}

/** Writes an archive. */
export async function makeZip(files: readonly ZipFile[], options: ZipOptions = {}) {
  const body: Uint8Array[] = [], directory: Uint8Array[] = [];
  let at = 0;
  for (const file of files) {
    const name = bytesOf(file.name), packed = file.deflate ? await deflate(file.data) : file.data;
    const crc = file.crc ?? crc32(file.data);
    const size = file.size ?? file.data.length, packedSize = file.packedSize ?? packed.length;
    const flags = (file.flags ?? 0) | (file.streamed ? 8 : 0);
    const method = file.method ?? (file.deflate ? 8 : 0);
    const localName = file.localName === undefined ? name : bytesOf(file.localName);
    const zeroed = (value: number) => file.streamed ? 0 : value;
    const padding = new Uint8Array(file.padding ?? 0);
    const header = concat([
      fields("42222", [0x04034b50, 20, flags, method, 0]),
      fields("2444", [0, zeroed(crc), zeroed(packedSize), zeroed(size)]),
      fields("22", [localName.length, padding.length]),
      localName,
      padding,
    ]);
    const descriptor = file.streamed
      ? fields("4444", [0x08074b50, crc, packedSize, size])
      : new Uint8Array(0);
    const offset = file.offset ?? at;
    const wide = file.zip64
      ? concat([fields("22", [1, 24]), wides([size, packedSize, offset])])
      : new Uint8Array(0);
    const or32 = (value: number) => file.zip64 ? 0xffffffff : value;
    directory.push(concat([
      fields("4222222", [0x02014b50, 20, 20, flags, method, 0, 0]),
      fields("444", [crc, or32(packedSize), or32(size)]),
      fields("22222", [name.length, wide.length, 0, 0, 0]),
      fields("44", [0, or32(offset)]),
      name,
      wide,
    ]));
    body.push(header, packed, descriptor);
    at += header.length + packed.length + descriptor.length;
  }
  const directorySize = directory.reduce((sum, entry) => sum + entry.length, 0);
  const count = options.count ?? files.length;
  const end64 = at + directorySize;
  const records64 = options.zip64
    ? concat([
      fields("4", [0x06064b50]),
      wides([44]),
      fields("2244", [45, 45, 0, 0]),
      wides([count, count, directorySize, at]),
      fields("44", [0x07064b50, 0]),
      wides([end64]),
      fields("4", [1]),
    ])
    : new Uint8Array(0);
  const comment = bytesOf(options.comment ?? "");
  const end = fields("42222442", [
    0x06054b50,
    0,
    0,
    ...(options.zip64
      ? [0xffff, 0xffff, 0xffffffff, 0xffffffff]
      : [count, count, directorySize, at]),
    comment.length,
  ]);
  return concat([...body, ...directory, records64, end, comment]);
}

/** Little-endian numbers of 2 and 4 bytes, as the digits of `sizes` say. */
function fields(sizes: string, values: readonly number[]): Uint8Array {
  const bytes: number[] = [];
  values.forEach((value, i) => {
    for (let k = 0; k < Number(sizes[i]); k++) bytes.push(value >>> (8 * k) & 0xff);
  });
  return Uint8Array.from(bytes);
}

function wides(values: readonly number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
}

async function deflate(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data.slice()]).stream().pipeThrough(
    new CompressionStream("deflate-raw"),
  );
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? new TextEncoder().encode(text) : text;
}

/** Joins byte arrays. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
