/**
 * Writes Protocol Buffers: as much of the wire format as an ONNX file needs.
 * https://protobuf.dev/programming-guides/encoding
 * @module
 */

const VARINT = 0, LENGTH_DELIMITED = 2, FIXED32 = 5;

/** A message that is being written, field by field. */
export class Message {
  readonly #parts: Uint8Array[] = [];

  /** A whole number. */
  int(field: number, value: number): this {
    this.#parts.push(varint(8 * field + VARINT), varint(value));
    return this;
  }

  /** A 32-bit float. */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(Float32Array.of(value).buffer);
    this.#parts.push(varint(8 * field + FIXED32), bytes);
    return this;
  }

  /** Text, bytes, or a message inside this one. */
  add(field: number, value: string | Uint8Array | Message): this {
    const bytes = typeof value === "string"
      ? new TextEncoder().encode(value)
      : value instanceof Message
      ? value.bytes()
      : value;
    this.#parts.push(varint(8 * field + LENGTH_DELIMITED), varint(bytes.length), bytes);
    return this;
  }

  /** What was written. */
  bytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}

/** Seven bits a byte, the lowest first; a negative number as its 64-bit two's complement. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Uint8Array.from(bytes);
}
