/**
 * Reading zip archives entry by entry, from any source that can hand out ranges. Errors name the entry; the caller, who
 * knows what the archive is, names the file.
 *
 * Written here rather than taken from npm because a checkpoint needs what general zip libraries do not offer together:
 * ranges of a stored entry without reading the whole, and no leniency. Every entry is where the central directory says,
 * inside the file, under one name, and overlaps no other; the directory and what follows it end where the file ends;
 * local headers agree with it; checksums are compared (a checksum of 0 means that the writer left it out, as PyTorch's
 * `compute_crc32 = False` does).
 *
 * Format: PKWARE's APPNOTE.TXT 6.3. Read are methods 0 (stored) and 8 (DEFLATE) and zip64; not encryption, not archives
 * of several volumes, not data in front of the archive.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import { type ByteSource, bytesSource, readExactly } from "./byte_source.ts";
import { crc32 } from "./crc32.ts";
import { excerpt } from "./strict_json.ts";

/** A file of an archive. */
export interface ZipEntry {
  /** Its name, with "/" between folders. */
  readonly name: string;
  /** How it is packed. */
  readonly method: "stored" | "deflated";
  /** CRC-32 of its content; 0: not computed. */
  readonly crc: number;
  /** Bytes in the archive. */
  readonly packedSize: number;
  /** Bytes of its content, as the directory claims. */
  readonly size: number;
  /** Where its local header starts in the archive. */
  readonly headerOffset: number;
  /** Where the next entry or the directory starts: it ends there at the latest. */
  readonly limit: number;
}

/** Signatures, as little-endian numbers: "PK" and two bytes. */
const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
/** Bytes of the fixed parts. */
const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR64_BYTES = 20;
/** Longest comment at the end of an archive. */
const MAX_COMMENT = 0xffff;
/** Largest directory that is read. A model of 100,000 tensors has one of about 10 MB. */
const MAX_DIRECTORY = 16 << 20;
const ENCRYPTED = 1;
/** Sizes and checksum follow the data, so the local header may have zeros. */
const DESCRIPTOR = 8;
/** Bytes read at a time to compare a checksum. */
const CHECK_CHUNK = 1 << 20;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Bytes given to the decompressor at a time. DEFLATE unpacks at most 1,032 to one, so at most 17 MB wait. */
const INFLATE_CHUNK = 1 << 14;

/** An open archive: its directory is read and checked, its entries are read when asked for. */
export class ZipArchive {
  /** The files by name, in the order in which they lie in the archive; folders are left out. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  readonly #source: ByteSource;
  /** Entries whose checksum was compared. */
  readonly #checked = new Set<ZipEntry>();

  private constructor(source: ByteSource, entries: ReadonlyMap<string, ZipEntry>) {
    this.#source = source;
    this.entries = entries;
  }

  /**
   * Reads and checks the directory.
   * @throws {CheckpointError} the archive is damaged, hostile, or of a kind that is not read
   */
  static async open(source: ByteSource): Promise<ZipArchive> {
    const { offset, size, count } = await findDirectory(source);
    const entries = parseDirectory(await readExactly(source, offset, size), count, offset);
    return new ZipArchive(source, entries);
  }

  /**
   * An entry's content as a source of its own. A stored entry is read range by range; a deflated one is unpacked here,
   * so the caller bounds its `size` first. The checksum is compared at the latest when the first range is read.
   * @throws {CheckpointError} its local header disagrees with the directory, it does not unpack to its size, or its
   * checksum is another
   */
  async content(entry: ZipEntry): Promise<ByteSource> {
    const offset = await this.locate(entry);
    const packed = rangeSource(this.#source, offset, entry.packedSize);
    if (entry.method === "stored") return this.#checkedRange(packed, entry);
    const bytes = await inflate(packed, entry.size, label(entry.name));
    compare(crc32(bytes), entry);
    return bytesSource(bytes, packed.label);
  }

  /**
   * Where an entry's packed bytes start; checks its local header.
   * @throws {CheckpointError} the header disagrees with the directory
   */
  async locate(entry: ZipEntry): Promise<number> {
    const { headerOffset, packedSize, limit } = entry;
    const name = new TextEncoder().encode(entry.name);
    const start = await readExactly(this.#source, headerOffset, LOCAL_BYTES + name.length);
    const view = viewOf(start);
    const flags = view.getUint16(6, true);
    const method = view.getUint16(8, true) === 0 ? "stored" : "deflated";
    const sameName = view.getUint16(26, true) === name.length &&
      name.every((byte, i) => byte === start[LOCAL_BYTES + i]);
    const claims = [14, 18, 22].map((at) => view.getUint32(at, true));
    const truth = [entry.crc, entry.packedSize, entry.size];
    const sameSizes = (flags & DESCRIPTOR) !== 0 ||
      claims.every((claim, i) => claim === truth[i] || (i > 0 && claim === 0xffffffff));
    if (view.getUint32(0, true) !== LOCAL || !sameName || !sameSizes || method !== entry.method) {
      throw new CheckpointError(`${label(entry.name)}: its header and the directory disagree`);
    }
    const offset = headerOffset + LOCAL_BYTES + name.length + view.getUint16(28, true);
    if (offset + packedSize > limit) {
      throw new CheckpointError(`${label(entry.name)}: overlaps what follows it`);
    }
    return offset;
  }

  /**
   * Compares an entry's checksum, reading it piece by piece.
   * @throws {CheckpointError} it is another, or the entry does not unpack
   */
  async verify(entry: ZipEntry): Promise<void> {
    if (entry.method === "deflated") return void await this.content(entry);
    if (entry.crc === 0 || this.#checked.has(entry)) return;
    const range = rangeSource(this.#source, await this.locate(entry), entry.packedSize);
    compare(await checksum(range), entry);
    this.#checked.add(entry);
  }

  /** A stored entry's range whose checksum is compared before anything of it is handed out. */
  #checkedRange(range: ByteSource, entry: ZipEntry): ByteSource {
    return {
      ...range,
      read: async (offset, length) => {
        const whole = offset === 0 && length === entry.size;
        if (!whole) await this.verify(entry);
        const bytes = await readExactly(range, offset, length);
        if (whole && !this.#checked.has(entry)) compare(crc32(bytes), entry);
        this.#checked.add(entry);
        return bytes;
      },
    };
  }
}

function compare(crc: number, entry: ZipEntry): void {
  if (entry.crc === 0 || crc === entry.crc) return;
  throw new CheckpointError(`${label(entry.name)}: the checksum is wrong; the file is damaged`);
}

function label(name: string): string {
  return `zip entry ${excerpt(name)}`;
}

/** What the record at the archive's end says of the central directory. */
interface Directory {
  readonly disk: number;
  readonly firstDisk: number;
  readonly countHere: number;
  readonly count: number;
  readonly size: number;
  readonly offset: number;
  /** Where the record itself starts. */
  readonly end: number;
}

async function findDirectory(source: ByteSource): Promise<Directory> {
  const tailSize = Math.min(source.size, LOCATOR64_BYTES + END_BYTES + MAX_COMMENT);
  const tailOffset = source.size - tailSize;
  const tail = viewOf(await readExactly(source, tailOffset, tailSize));
  const at = findEnd(tail);
  let found: Directory = {
    disk: tail.getUint16(at + 4, true),
    firstDisk: tail.getUint16(at + 6, true),
    countHere: tail.getUint16(at + 8, true),
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
    end: tailOffset + at,
  };
  const locator = at - LOCATOR64_BYTES;
  if (locator >= 0 && tail.getUint32(locator, true) === LOCATOR64) {
    const wide = await readEnd64(source, tail, locator, tailOffset + locator);
    const agree = (found.count === wide.count || found.count === 0xffff) &&
      (found.size === wide.size || found.size === 0xffffffff) &&
      (found.offset === wide.offset || found.offset === 0xffffffff);
    if (!agree) throw new CheckpointError("the zip archive's two records at its end disagree");
    found = wide;
  }
  const { disk, firstDisk, countHere, count, size, offset, end } = found;
  if (disk !== 0 || firstDisk !== 0 || countHere !== count) {
    throw new CheckpointError("a zip archive of several volumes is not read");
  }
  if (offset + size !== end || count * CENTRAL_BYTES > size) {
    throw new CheckpointError(
      `the zip directory of ${count} entries (${size} bytes at ${offset}) does not end where the ` +
        `record behind it starts, at ${end}`,
    );
  }
  if (size > MAX_DIRECTORY) {
    throw new CheckpointError(`a zip directory of ${size} bytes, the limit is ${MAX_DIRECTORY}`);
  }
  return found;
}

/** The last place from which the record with its comment fills the archive to its end. */
function findEnd(tail: DataView): number {
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END) continue;
    if (at + END_BYTES + tail.getUint16(at + 20, true) === tail.byteLength) return at;
  }
  throw new CheckpointError("a zip archive without an end; it is truncated");
}

/** The zip64 record, which stands before its locator, which stands before the old record. */
async function readEnd64(
  source: ByteSource,
  tail: DataView,
  locator: number,
  locatorOffset: number,
): Promise<Directory> {
  const at = size64(tail, locator + 8);
  if (at !== locatorOffset - END64_BYTES) {
    throw new CheckpointError("the zip64 record is not where it is said to be");
  }
  const record = viewOf(await readExactly(source, at, END64_BYTES));
  if (record.getUint32(0, true) !== END64 || size64(record, 4) !== END64_BYTES - 12) {
    throw new CheckpointError("the zip64 record is damaged");
  }
  return {
    disk: record.getUint32(16, true),
    firstDisk: record.getUint32(20, true),
    countHere: size64(record, 24),
    count: size64(record, 32),
    size: size64(record, 40),
    offset: size64(record, 48),
    end: at,
  };
}

type Found = Omit<ZipEntry, "limit">;

function parseDirectory(
  bytes: Uint8Array,
  count: number,
  directoryOffset: number,
): ReadonlyMap<string, ZipEntry> {
  const found: Found[] = [];
  let at = 0;
  while (at < bytes.length) {
    const { entry, length } = parseEntry(bytes.subarray(at));
    found.push(entry);
    at += length;
  }
  if (found.length !== count) {
    throw new CheckpointError(
      `the zip directory has ${found.length} entries, not the ${count} that are claimed`,
    );
  }
  found.sort((a, b) => a.headerOffset - b.headerOffset);
  const entries = new Map<string, ZipEntry>();
  found.forEach((entry, i) => {
    const limit = found[i + 1]?.headerOffset ?? directoryOffset;
    const least = LOCAL_BYTES + entry.name.length + entry.packedSize;
    const what = label(entry.name);
    if (entry.headerOffset + least > limit) {
      throw new CheckpointError(`${what}: overlaps what follows it`);
    }
    if (entries.has(entry.name)) throw new CheckpointError(`${what}: stands twice in the archive`);
    entries.set(entry.name, { ...entry, limit });
  });
  for (const name of entries.keys()) if (name.endsWith("/")) entries.delete(name);
  return entries;
}

function parseEntry(bytes: Uint8Array): { entry: Found; length: number } {
  const damaged = () => new CheckpointError("the zip directory is damaged");
  if (bytes.length < CENTRAL_BYTES) throw damaged();
  const view = viewOf(bytes);
  const extraAt = CENTRAL_BYTES + view.getUint16(28, true);
  const commentAt = extraAt + view.getUint16(30, true);
  const length = commentAt + view.getUint16(32, true);
  if (view.getUint32(0, true) !== CENTRAL || length > bytes.length) throw damaged();
  const name = decodeName(bytes.subarray(CENTRAL_BYTES, extraAt));
  const sizes = [view.getUint32(24, true), view.getUint32(20, true), view.getUint32(42, true)];
  fillFromZip64(sizes, bytes.subarray(extraAt, commentAt), label(name));
  const [size, packedSize, headerOffset] = sizes;
  const method = view.getUint16(10, true);
  if ((view.getUint16(8, true) & ENCRYPTED) !== 0 || (method !== 0 && method !== 8)) {
    const why = method === 0 || method === 8 ? "encrypted" : `packed by method ${method}`;
    throw new CheckpointError(`${label(name)}: is ${why}, which is not read`);
  }
  if (method === 0 && size !== packedSize) {
    throw new CheckpointError(
      `${label(name)}: is stored, yet has ${packedSize} bytes for ${size}`,
    );
  }
  const crc = view.getUint32(16, true);
  const packing = method === 0 ? "stored" : "deflated";
  return { entry: { name, method: packing, crc, packedSize, size, headerOffset }, length };
}

/** Replaces the sizes that do not fit 32 bits by those of the zip64 field, which lists only these, in this order. */
function fillFromZip64(sizes: number[], extra: Uint8Array, what: string): void {
  const wide = sizes.flatMap((size, i) => size === 0xffffffff ? [i] : []);
  if (wide.length === 0) return;
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    const end = at + 4 + view.getUint16(at + 2, true);
    if (at + 4 + 8 * wide.length > end || end > extra.length) break;
    wide.forEach((index, i) => sizes[index] = size64(view, at + 4 + 8 * i));
    return;
  }
  throw new CheckpointError(`${what}: its zip64 field is missing or damaged`);
}

/** Names are UTF-8; what is not would be in an encoding that the archive does not name. */
function decodeName(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw new CheckpointError(`the name of a zip entry is not valid UTF-8`, { cause });
  }
}

/** Unpacks a deflated range, stopping as soon as it is longer than it should be. */
async function inflate(packed: ByteSource, size: number, what: string): Promise<Uint8Array> {
  const out = new Uint8Array(size);
  let from = 0, at = 0, excess = false;
  const feed = new ReadableStream<BufferSource>({
    async pull(controller) {
      const length = Math.min(INFLATE_CHUNK, packed.size - from);
      if (length === 0) return controller.close();
      controller.enqueue((await readExactly(packed, from, length)).slice());
      from += length;
    },
  }, { highWaterMark: 0 });
  try {
    for await (const chunk of feed.pipeThrough(new DecompressionStream("deflate-raw"))) {
      excess = at + chunk.length > size;
      if (excess) break;
      out.set(chunk, at);
      at += chunk.length;
    }
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${what}: cannot be unpacked; the file is damaged`, { cause });
  }
  if (excess || at !== size) {
    const got = excess ? "more than" : `${at} instead of`;
    throw new CheckpointError(`${what}: unpacks to ${got} the ${size} bytes that it claims`);
  }
  return out;
}

/** A part of a source as a source. */
function rangeSource(source: ByteSource, start: number, size: number): ByteSource {
  const { label } = source;
  return { size, label, read: (offset, length) => readExactly(source, start + offset, length) };
}

async function checksum(source: ByteSource): Promise<number> {
  let crc = 0;
  for (let at = 0; at < source.size; at += CHECK_CHUNK) {
    crc = crc32(await readExactly(source, at, Math.min(CHECK_CHUNK, source.size - at)), crc);
  }
  return crc;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A 64-bit size; what does not fit a double becomes infinite, which no file is long enough for. */
function size64(view: DataView, at: number): number {
  const size = view.getBigUint64(at, true);
  return size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : Infinity;
}
