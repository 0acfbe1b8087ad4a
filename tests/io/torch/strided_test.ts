import { assertEquals, assertRejects, assertThrows, test } from "../../harness.ts";
import { CheckpointError } from "../../../engine/errors.ts";
import { Rng } from "../../../engine/random/host_rng.ts";
import { type ByteSource, bytesSource } from "../../../io/byte_source.ts";
import { checkView, readView, type View } from "../../../io/torch/strided.ts";

/** Element by element from the definition. */
function gather(storage: Uint8Array, { shape, strides, offset }: View, bytes: number): Uint8Array {
  let places = [offset];
  shape.forEach((size, d) => {
    places = places.flatMap((at) => Array.from({ length: size }, (_, i) => at + i * strides[d]));
  });
  return Uint8Array.from(
    places.flatMap((at) => [...storage.subarray(at * bytes, (at + 1) * bytes)]),
  );
}

test("readView() reads any view of a storage", async () => {
  const rng = new Rng(2, "views");
  for (let round = 0; round < 400; round++) {
    const bytes = [1, 2, 4, 8][rng.integer(4)];
    const shape = Array.from({ length: rng.integer(5) }, () => rng.integer(5));
    const view = { shape, strides: shape.map(() => rng.integer(9)), offset: rng.integer(5) };
    const reach = shape.reduce((sum, size, d) => sum + (size - 1) * view.strides[d], view.offset);
    const length = shape.includes(0) ? 3 : reach + 1 + rng.integer(2);
    const storage = Uint8Array.from({ length: length * bytes }, () => rng.integer(256));
    const count = checkView(view, length, bytes);
    assertEquals(count, shape.reduce((product, size) => product * size, 1));
    assertEquals(await readView(bytesSource(storage), view, bytes), gather(storage, view, bytes));
  }
});

test("readView() goes through a large storage once, window by window", async () => {
  const length = 3 << 20;
  const storage = new Uint8Array(length).map((_, i) => i % 251);
  const reads: number[] = [];
  const memory = bytesSource(storage);
  const source: ByteSource = {
    ...memory,
    read: (offset, size) => {
      reads.push(offset, size);
      return memory.read(offset, size);
    },
  };
  const transposed = { shape: [3, 1 << 10, 2], strides: [1, 3 << 10, 1 << 10], offset: 0 };
  assertEquals(await readView(source, transposed, 1), gather(storage, transposed, 1));
  // A window starts at the first element that the one before it does not hold: 2098176 is 683 * 3072.
  assertEquals(reads, [0, 1 << 20, 1 << 20, 1 << 20, 2098176, length - 2098176]);
});

test("checkView() refuses what lies outside, and large views that overlap themselves", () => {
  const view = (shape: number[], strides: number[], offset = 0): View => ({
    shape,
    strides,
    offset,
  });
  assertEquals(checkView(view([0], [1], 100), 6, 4), 0); // nothing lies nowhere
  assertEquals(checkView(view([1e9], [0], 5), 6, 4), 1e9);
  const cases: [View, number, string][] = [
    [view([6], [1], 1), 6, "reaches element 6 of a storage with 6 elements"],
    [view([1], [1], 6), 6, "reaches element 6"],
    [view([1], [0]), 0, "reaches element 0"],
    [view([2 ** 26, 2 ** 26], [2 ** 40, 1]), 6, "reaches element"],
    [view([2], [-1], 1), 6, "must not be negative"],
    [view([-1], [1]), 6, "not a whole number"],
    [view([2 ** 27, 2 ** 27], [0, 0]), 6, "more than 2^53 elements"],
    [view([2, 3], [3 << 22, 2 << 22]), 9 << 22, "again and again"],
  ];
  for (const [bad, length, message] of cases) {
    assertThrows(() => checkView(bad, length, 4), CheckpointError, message);
  }
});

test("readView() passes on what its source says", async () => {
  const cut: ByteSource = { ...bytesSource(new Uint8Array(4)), size: 8 };
  for (const strides of [[1], [2]]) {
    const view = { shape: [strides[0] === 1 ? 8 : 4], strides, offset: 0 };
    await assertRejects(() => readView(cut, view, 1), CheckpointError, "got 4 of 8 bytes");
  }
});
