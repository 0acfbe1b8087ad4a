import { torchMeanOfRows, torchSum } from "../../models/torch_sum.ts";
import { assert, assertClose, assertEquals, test } from "../harness.ts";

/** f32 of the fractional parts of i * step. */
const sequence = (n: number, step: number) =>
  Float32Array.from({ length: n }, (_, i) => i * step % 1);
const GOLDEN = 0.6180339887498949;

test("torchSum() rounds as PyTorch 1.13 on a CPU with AVX2", () => {
  // What torch gave, and what the correctly rounded sum would be.
  for (
    const [n, torch, exact] of [
      [7, 2.9787137508392334, 2.9787137508392334],
      [37, 17.61063575744629, 17.61063575744629],
      [96, 47.2349853515625, 47.234989166259766],
      [100, 49.26824188232422, 49.268245697021484],
      [768, 383.31463623046875, 383.31463623046875],
      [1537, 768.2088623046875, 768.2088623046875],
    ]
  ) {
    const x = sequence(n, GOLDEN);
    assertEquals(torchSum(x), torch, `${n} values`);
    assertClose([x.reduce((a, b) => a + b, 0)], [exact], { rtol: 1e-7 });
  }
  assertEquals(torchSum([]), 0);
});

test("torchMeanOfRows() rounds as PyTorch 1.13 on a CPU with AVX2", () => {
  // Columns at which the correctly rounded mean would be another number.
  const cases: readonly (readonly [number, number, readonly (readonly [number, number])[]])[] = [
    [3, 96, [[2, 0.42204156517982483], [3, 0.79972904920578], [94, 0.16928578913211823]]],
    [12, 40, [[1, 0.15982413291931152], [2, 0.23631493747234344], [39, 0.23314142227172852]]],
    [17, 100, [[1, 0.12504471838474274], [98, 0.3720303177833557], [99, 0.4382515549659729]]],
    [33, 96, [[1, 0.07657624781131744], [2, 0.1228494644165039], [95, 0.5474710464477539]]],
  ];
  for (const [count, n, wanted] of cases) {
    const rows = Array.from({ length: count }, (_, i) => sequence(n, GOLDEN / (i + 1)));
    const mean = torchMeanOfRows(rows);
    for (const [column, want] of wanted) {
      assertEquals(mean[column], want, `${count} rows, column ${column} of ${n}`);
      const exact = rows.reduce((sum, row) => sum + row[column], 0) / count;
      assert(Math.fround(exact) !== want, "the case would show nothing");
    }
  }
});
