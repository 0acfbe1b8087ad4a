import { columnSum, columnSumReference, columnSumStrip } from "../../kernels/column_sum.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";

gpuTest("column_sum adds rows, by strips and onto what is there", async (device) => {
  for (const [rows, cols] of [[1, 1], [7, 3], [100, 4], [513, 24], [3, 70000]]) {
    const x = testValues(rows * cols);
    const want = columnSumReference(rows, cols, x).y;
    const whole = await runKernel(device, columnSum(rows, cols), { x });
    assertClose(whole.y, want, { atol: 1e-4, name: `[${rows}, ${cols}]` });
    const before = testValues(cols, 9);
    const added = await runKernel(device, columnSum(rows, cols, { accumulate: 1 }), {
      x,
      y: before,
    });
    assertClose(added.y, want.map((v, i) => v + before[i]), { atol: 1e-4 });
    const strips = columnSum(rows, cols, { strip: 16 });
    const { y } = await runKernel(device, strips, { x });
    assertEquals(y.length, Math.ceil(rows / 16) * cols);
    assertClose(columnSumReference(y.length / cols, cols, y).y, want, { atol: 1e-4 });
  }
});

test("columnSumStrip() cuts tall matrices into strips where that fills the adapter", () => {
  assertEquals(columnSumStrip(12, 64, DEFAULT_TARGET), 12);
  assertEquals(columnSumStrip(3136, 192, DEFAULT_TARGET), 37);
  const software = { ...DEFAULT_TARGET, adapterClass: "software" as const };
  assertEquals(columnSumStrip(3136, 192, software), 3136);
  assertEquals(columnSumStrip(3136, 4, software), 196);
});
