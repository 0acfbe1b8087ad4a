/** CIFAR's binary files. */
import { readCifar } from "../../data/mod.ts";
import { DataError } from "../../engine/errors.ts";
import { assertEquals, assertThrows, test } from "../harness.ts";

/** A record whose planes hold 1, 2, 3 and, at one pixel, its place. */
function record(labels: number[], at: number): Uint8Array {
  const bytes = new Uint8Array(labels.length + 3072);
  bytes.set(labels);
  for (let c = 0; c < 3; c++) {
    bytes.fill(c + 1, labels.length + c * 1024, labels.length + (c + 1) * 1024);
  }
  bytes[labels.length + at] = 99;
  return bytes;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

test("readCifar() reads CIFAR-10: labels, and planes as pixels", () => {
  const names = [..."abcdefghij"];
  const set = readCifar(
    [joined(record([3], 0), record([9], 1024 + 33)), record([0], 5)],
    10,
    names,
  );
  assertEquals([set.count, set.height, set.width, set.channels, set.classes], [3, 32, 32, 3, 10]);
  assertEquals([...set.labels], [3, 9, 0]);
  assertEquals([...set.images.subarray(0, 6)], [99, 2, 3, 1, 2, 3]);
  assertEquals([...set.images.subarray(3072 + 99, 3072 + 102)], [1, 99, 3]); // green of row 1, column 1
  assertEquals(set.names, names);
});

test("readCifar() takes the fine labels of CIFAR-100", () => {
  const set = readCifar([joined(record([1, 42], 0), record([19, 99], 0))], 100);
  assertEquals([[...set.labels], set.classes, set.images[0]], [[42, 99], 100, 99]);
});

test("readCifar() refuses files that are none", () => {
  assertThrows(() => readCifar([], 10), DataError, "CIFAR-10: file 0 has 0 bytes");
  assertThrows(
    () => readCifar([record([1], 0), new Uint8Array(3072)], 10),
    DataError,
    "file 2 has 3072 bytes",
  );
  assertThrows(() => readCifar([record([10], 0)], 10), DataError, "label 10");
  assertThrows(() => readCifar([record([1, 100], 0)], 100), DataError, "label 100");
});
