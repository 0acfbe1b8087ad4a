/**
 * Pickles for tests, put together from instructions, and checkpoints made of them.
 * @module
 */
import { concat, makeZip, type ZipFile, type ZipOptions } from "../zip_writer.ts";

/** Instructions that push one value. */
export type Code = Uint8Array;

const utf8 = new TextEncoder();

/** Any bytes. */
export function raw(...bytes: number[]): Code {
  return Uint8Array.from(bytes);
}

/** A string (BINUNICODE). */
export function str(text: string | Uint8Array): Code {
  const bytes = typeof text === "string" ? utf8.encode(text) : text;
  return concat([raw(0x58, ...le(bytes.length, 4)), bytes]);
}

/** A 32-bit integer (BININT), or a longer one (LONG1). */
export function int(value: number | bigint): Code {
  const big = BigInt(value);
  if (big >= -(2n ** 31n) && big < 2n ** 31n) return raw(0x4a, ...le(Number(value), 4));
  const bytes = Array.from({ length: 9 }, (_, i) => Number((big >> BigInt(8 * i)) & 0xffn));
  return raw(0x8a, 9, ...bytes);
}

/** None. */
export const none: Code = raw(0x4e);

/** A tuple. */
export function tuple(...items: Code[]): Code {
  return concat([raw(0x28), ...items, raw(0x74)]);
}

/** A list. */
export function list(...items: Code[]): Code {
  return concat([raw(0x5d, 0x28), ...items, raw(0x65)]);
}

/** A dict of pairs. */
export function dict(...pairs: readonly (readonly [string, Code])[]): Code {
  return concat([
    raw(0x7d, 0x28),
    ...pairs.flatMap(([key, value]) => [str(key), value]),
    raw(0x75),
  ]);
}

/** The name of a class or function. */
export function global(module: string, name: string): Code {
  return utf8.encode(`c${module}\n${name}\n`);
}

/** A call. */
export function reduce(fn: Code, ...args: Code[]): Code {
  return concat([fn, tuple(...args), raw(0x52)]);
}

/** A storage, by its persistent id. */
export function storage(type: string, key: string, length: number | bigint, ...more: Code[]): Code {
  const id = tuple(
    str("storage"),
    global("torch", type),
    str(key),
    str("cpu"),
    int(length),
    ...more,
  );
  return concat([id, raw(0x51)]);
}

/** Numbers of a view; row-major by default. */
export interface ViewNumbers {
  readonly offset?: number | bigint;
  readonly strides?: readonly (number | bigint)[];
}

/** A tensor, as PyTorch writes it. */
export function tensor(
  storage: Code,
  shape: readonly (number | bigint)[],
  { offset = 0, strides = rowMajor(shape) }: ViewNumbers = {},
): Code {
  return reduce(
    global("torch._utils", "_rebuild_tensor_v2"),
    storage,
    int(offset),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    raw(0x89),
    reduce(global("collections", "OrderedDict")),
  );
}

/** A whole pickle. */
export function pickle(value: Code): Uint8Array<ArrayBuffer> {
  return concat([raw(0x80, 2), value, raw(0x2e)]);
}

/**
 * A checkpoint of the zip format.
 * @param more fields of every file in it
 */
export function zipCheckpoint(
  value: Code,
  storages: Readonly<Record<string, Uint8Array>>,
  more: Partial<ZipFile> = {},
  options: ZipOptions = {},
  extra: readonly ZipFile[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  return makeZip([
    { name: "x/data.pkl", data: pickle(value), ...more },
    ...Object.entries(storages).map(([key, data]) => ({ name: `x/data/${key}`, data, ...more })),
    { name: "x/version", data: utf8.encode("3\n"), ...more },
    ...extra,
  ], options);
}

/** A checkpoint of the legacy format; storages as number of elements and bytes. */
export function legacyCheckpoint(
  value: Code,
  storages: Readonly<Record<string, readonly [length: number | bigint, bytes: Uint8Array]>>,
): Uint8Array<ArrayBuffer> {
  const magic = raw(0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19);
  return concat([
    pickle(magic),
    pickle(int(1001)),
    pickle(dict(["little_endian", raw(0x88)])),
    pickle(value),
    pickle(list(...Object.keys(storages).map(str))),
    ...Object.values(storages).flatMap(([length, bytes]) => [
      new Uint8Array(BigInt64Array.of(BigInt(length)).buffer),
      bytes,
    ]),
  ]);
}

/** The bytes of floats. */
export function f32(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

function rowMajor(shape: readonly (number | bigint)[]): (number | bigint)[] {
  return shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => BigInt(a) * BigInt(b), 1n));
}

function le(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => value >> (8 * i) & 0xff);
}
