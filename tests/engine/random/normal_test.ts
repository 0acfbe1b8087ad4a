import { assert, assertClose, assertEquals, test } from "../../harness.ts";
import { normalFromWord, normalTable } from "../../../engine/random/normal.ts";

const UNIT = 2 ** -21;

test("normalTable() holds the normal quantiles to the last unit", () => {
  // From SciPy: round(-ndtri(p) * 2^21), p = 2^floor(k/32) (1 + (k mod 32)/32) / 2^33, at k = 0, 512, 992, 1024.
  const table = normalTable();
  assertEquals(table.length, 1025);
  assertEquals([table[0], table[512], table[992], table[1024]], [13291661, 9070013, 1414508, 0]);
  // CRC-32 of all of SciPy's 1,025 values as little-endian u32.
  assertEquals(crc32(new Uint8Array(table.buffer)), 416060731);
});

test("normalTable() falls, and its steps times 2^16 fit 32 bits", () => {
  const table = normalTable();
  for (let k = 0; k < 1024; k++) {
    const step = table[k] - table[k + 1];
    assert(step > 0 && step * 0xffff < 2 ** 32, `step ${k} is ${step}`);
  }
});

test("normalFromWord() is the same as an independent program with large integers", () => {
  // word, result in units of 2^-21
  const cases = [
    [0, 13291661],
    [1, 12931940],
    [0x3fffffff, 1414509],
    [0x40000000, 1414508],
    [0x7fffffff, 1],
    [0x80000000, -13291661],
    [0xffffffff, -1],
    [12345678, 5791863],
  ];
  for (const [word, units] of cases) assertEquals(normalFromWord(word), units * UNIT);
});

test("normalFromWord() is odd in the sign bit, falls with the word, and fits f32", () => {
  let last = Infinity;
  for (let word = 0; word < 2 ** 31; word += 2 ** 31 / 4093 | 0) {
    const z = normalFromWord(word);
    assert(z < last && z > 0, `word ${word}: ${z} after ${last}`);
    assertEquals(normalFromWord(word + 2 ** 31), -z);
    assertEquals(Math.fround(z), z);
    last = z;
  }
});

test("normalFromWord() has a normal's moments over evenly spaced words", () => {
  // The header's own figures, which an exact integral of the table gave; 2^20 midpoints integrate to about 1e-5.
  const count = 2 ** 20;
  let square = 0, fourth = 0;
  for (let i = 0; i < count; i++) {
    const z = normalFromWord(((i + 0.5) / count) * 2 ** 32);
    square += z * z / count;
    fourth += z ** 4 / count;
  }
  assertClose([square, fourth / square ** 2], [1.000027, 2.99994], { atol: 3e-4 });
});

/** CRC-32 (IEEE), bit by bit. */
function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
