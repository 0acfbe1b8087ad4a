/**
 * File elements as 32-bit floats. Each rule is IEEE 754's: widening is exact, narrowing rounds once to nearest, ties to
 * even. NaNs stay NaN with their sign and payload where the source has one; nothing is clamped.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import { elementsOf, type NamedArray } from "./named_array.ts";

/**
 * The values of an array as f32. F32 shares the array's memory where its address allows it; all others are new.
 *
 * F64, I32, U32, I64 and U64 round to nearest (F64 beyond f32's range becomes an infinity); BOOL becomes 0 or 1.
 * @throws {CheckpointError} the bytes do not fit the shape, or a BOOL byte is neither 0 nor 1
 */
export function toFloat32(array: NamedArray): Float32Array {
  const elements = elementsOf(array);
  switch (array.dtype) {
    case "F32":
      return elements as Float32Array;
    case "F16":
      return fromBits(elements as Uint16Array, halfBits);
    case "BF16":
      return fromBits(elements as Uint16Array, (bits) => bits << 16);
    case "F8_E5M2": // the upper byte of a half
      return fromBits(elements as Uint8Array, (bits) => halfBits(bits << 8));
    case "F8_E4M3":
      return fromBits(elements as Uint8Array, e4m3Bits);
    case "F8_E5M2FNUZ":
      return fromBits(elements as Uint8Array, (byte) => fnuzBits(byte, 2));
    case "F8_E4M3FNUZ":
      return fromBits(elements as Uint8Array, (byte) => fnuzBits(byte, 3));
    case "F8_E8M0":
      return fromBits(elements as Uint8Array, e8m0Bits);
    case "I64":
    case "U64":
      return Float32Array.from(elements as BigInt64Array | BigUint64Array, wideToNumber);
    case "BOOL":
      return Float32Array.from(elements as Uint8Array, boolToNumber);
    default: // each of these fits a double exactly, so storing it rounds once
      return new Float32Array(elements as Float64Array | Int32Array | Uint32Array);
  }
}

/** Applies a map from source bits to f32 bits; going through numbers could lose a NaN's payload. */
function fromBits(
  source: Uint16Array | Uint8Array,
  bits: (source: number) => number,
): Float32Array {
  const out = new Uint32Array(source.length);
  for (let i = 0; i < source.length; i++) out[i] = bits(source[i]);
  return new Float32Array(out.buffer);
}

/** IEEE binary16 (1 sign, 5 exponent, 10 fraction bits) to binary32 bits. */
function halfBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13); // infinity, NaN
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13); // 112 = 127 - 15
  if (fraction === 0) return sign; // a zero keeps its sign
  // Subnormal: fraction * 2^-24, whose leading bit becomes f32's implicit one.
  const leading = 31 - Math.clz32(fraction);
  return sign | ((leading + 103) << 23) | ((fraction << (23 - leading)) & 0x7fffff);
}

/** Float8 E4M3 without infinities (1 sign, 4 exponent with bias 7, 3 fraction bits; 0x7f is NaN) to binary32 bits. */
function e4m3Bits(byte: number): number {
  const sign = (byte & 0x80) << 24;
  const exponent = (byte >>> 3) & 0xf;
  const fraction = byte & 7;
  if ((byte & 0x7f) === 0x7f) return sign | 0x7fc00000;
  if (exponent !== 0) return sign | ((exponent + 120) << 23) | (fraction << 20); // 120 = 127 - 7
  if (fraction === 0) return sign;
  const leading = 31 - Math.clz32(fraction); // subnormal: fraction * 2^-9
  return sign | ((leading + 118) << 23) | ((fraction << (23 - leading)) & 0x7fffff);
}

/**
 * Float8 FNUZ (1 sign, 7 - m exponent and m fraction bits, bias 2^(6-m); all exponents are finite, 0x80 is the only NaN)
 * to binary32 bits.
 */
function fnuzBits(byte: number, m: number): number {
  if (byte === 0x80) return 0x7fc00000;
  const sign = (byte & 0x80) << 24;
  const rebias = 127 - (1 << (6 - m));
  const exponent = (byte & 0x7f) >>> m;
  const fraction = byte & ((1 << m) - 1);
  if (exponent !== 0) return sign | ((exponent + rebias) << 23) | (fraction << (23 - m));
  if (fraction === 0) return sign;
  const leading = 31 - Math.clz32(fraction); // subnormal: fraction * 2^(1 - bias - m)
  return sign | ((leading + rebias + 1 - m) << 23) | ((fraction << (23 - leading)) & 0x7fffff);
}

/** Float8 E8M0 (8 exponent bits, bias 127; 0xff is NaN) to binary32 bits; 2^-127 is subnormal there. */
function e8m0Bits(byte: number): number {
  if (byte === 0xff) return 0x7fc00000;
  return byte === 0 ? 0x00400000 : byte << 23;
}

/**
 * A 64-bit integer as a double that rounds to the right f32. Rounding to a double and then to f32 could round twice:
 * so above 53 bits the lowest kept bit collects all that is cut off, which decides ties as the full number would.
 */
function wideToNumber(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  if (magnitude < 1n << 53n) return Number(value);
  const cut = (magnitude & 0x7ffn) === 0n ? 0n : 1n;
  const rounded = Number(((magnitude >> 11n) | cut) << 11n);
  return value < 0n ? -rounded : rounded;
}

function boolToNumber(byte: number): number {
  if (byte > 1) throw new CheckpointError(`a BOOL must be 0 or 1, got the byte ${byte}`);
  return byte;
}
