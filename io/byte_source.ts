/**
 * Where a reader's bytes come from: a file, a Blob, memory, or anything else that can hand out ranges. Readers ask for
 * what they need and nothing more, so a checkpoint of gigabytes costs the host its header and one tensor.
 *
 * Open files are in `io/files.ts`; everything here also runs in a browser.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";

/** Something that holds bytes and can hand out any range of them. */
export interface ByteSource {
  /** Its whole length in bytes. */
  readonly size: number;
  /** Names it in errors, such as a path. */
  readonly label?: string;
  /** Exactly `length` bytes from `offset` on; the caller does not write to them. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** What a reader can be opened on. */
export type Bytes = Uint8Array | Blob | ByteSource;

/** Bytes in memory as a source; ranges share their memory. */
export function bytesSource(bytes: Uint8Array, label?: string): ByteSource {
  return {
    size: bytes.byteLength,
    label,
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  };
}

/**
 * A Blob as a source, such as a file that somebody dropped on a page; its ranges are read when asked for.
 * @param label names it in errors; default the name, where it is a `File`
 */
export function blobSource(blob: Blob, label?: string): ByteSource {
  return {
    size: blob.size,
    label: label ?? (blob instanceof File ? blob.name : undefined),
    async read(offset, length): Promise<Uint8Array> {
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) { // the file behind it was moved, changed or its permission withdrawn
        throw new CheckpointError(`${this.label ?? "blob"}: cannot be read: ${cause}`, { cause });
      }
    },
  };
}

/** A source for whatever a reader was opened on. */
export function asSource(from: Bytes): ByteSource {
  if (from instanceof Uint8Array) return bytesSource(from);
  return from instanceof Blob ? blobSource(from) : from;
}

/**
 * Reads a range that must be there: what hands out less than it promised (a file cut while it is read) must not become
 * a short tensor.
 * @throws {CheckpointError} there are fewer bytes
 */
export async function readExactly(
  source: ByteSource,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = await source.read(offset, length);
  const got = bytes.byteLength;
  if (got !== length) {
    throw new CheckpointError(
      `${source.label ?? "checkpoint"}: got ${got} of ${length} bytes at ${offset}; ` +
        `it became shorter while it was read`,
    );
  }
  return bytes;
}
