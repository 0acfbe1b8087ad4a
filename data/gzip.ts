/**
 * Unpacking gzip with the platform's own decompressor, with a limit that is checked while it unpacks.
 * @module
 */
import { DataError } from "../engine/errors.ts";

/** Whether bytes start as a gzip file does. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes.byteLength >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Unpacks a gzip file.
 * @param limit most bytes it may unpack to, asked once with the first unpacked bytes; never holds more than this and a
 * chunk
 * @param label names the file in errors
 * @throws {DataError} it is damaged or truncated, or passes the limit
 */
export async function inflateGzip(
  bytes: Uint8Array,
  limit: (start: Uint8Array) => number,
  label = "gzip file",
): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  const reader = stream.pipeThrough(new DecompressionStream("gzip")).getReader();
  const chunks: Uint8Array[] = [];
  let total = 0, most: number | undefined;
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      total += value.byteLength;
      most ??= limit(value);
      if (total > most) {
        throw new DataError(
          `${label}: unpacks to more than the ${most} bytes its header speaks of`,
        );
      }
    }
  } catch (error) {
    await reader.cancel().catch(() => {}); // a stream that failed cannot be cancelled, nor need it be
    if (error instanceof DataError) throw error;
    throw new DataError(`${label}: the gzip data is damaged or truncated`, { cause: error });
  }
  return join(chunks, total);
}

function join(chunks: readonly Uint8Array[], total: number): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const all = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}
