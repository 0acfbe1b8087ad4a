import { run } from "../../engine/dispatch.ts";
import { asTransposition, permute, transposeTiled } from "../../kernels/permute.ts";
import { stridedMapReference } from "../../kernels/strided_map.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertEquals, gpuTest, test } from "../harness.ts";

gpuTest("transposeTiled equals the plain loop at awkward sizes", async (device) => {
  for (
    const [outer, rows, columns] of [[1, 1, 1], [1, 32, 32], [2, 33, 31], [3, 7, 97], [2, 65, 4]]
  ) {
    const x = testValues(outer * rows * columns, 6);
    const y = device.empty([outer, columns, rows]);
    run(transposeTiled({ outer, rows, columns }), { a_in: device.tensor(x), y });
    const strides = [rows * columns, 1, columns];
    const want = stridedMapReference("copy", [outer, columns, rows], {
      a: { strides, size: x.length },
    }, { a: x });
    assertEquals(await y.data(), Float32Array.from(want.y));
  }
});

gpuTest("transposeTiled works beyond 65,535 workgroups", async (device) => {
  const outer = 65_600;
  const x = Uint32Array.from({ length: outer * 6 }, (_, i) => i);
  const y = device.empty([outer, 3, 2], "u32");
  run(transposeTiled({ outer, rows: 2, columns: 3 }), { a_in: device.tensor(x), y });
  const got = await y.data();
  assert(
    got.every((v, i) => v === Math.floor(i / 6) * 6 + (i % 2) * 3 + Math.floor(i % 6 / 2)),
    "a wrong value",
  );
});

test("asTransposition() finds matrices in any rank and nothing else", () => {
  assertEquals(asTransposition([7, 5], [1, 7]), { outer: 1, rows: 5, columns: 7 });
  assertEquals(asTransposition([2, 7, 5], [35, 1, 7]), { outer: 2, rows: 5, columns: 7 });
  // [B, H, W, C] -> [B, C, H, W]
  assertEquals(asTransposition([2, 3, 4, 5], [60, 1, 15, 3]), { outer: 2, rows: 20, columns: 3 });
  assertEquals(asTransposition([5, 2, 7], [7, 35, 1]), null);
  assertEquals(asTransposition([6], [1]), null);
  assertEquals(asTransposition([4, 3, 2], [1, 4, 12]), null);
});

test("permute() tiles matrices on a GPU, and keeps to strided maps on software adapters", () => {
  const variant = (target: typeof DEFAULT_TARGET) =>
    permute([64, 32], [1, 64], target).program.variant;
  assertEquals(variant(DEFAULT_TARGET), "tiled");
  assertEquals(variant({ ...DEFAULT_TARGET, adapterClass: "software" }), "rank 2, gather");
  assertEquals(permute([64, 3], [1, 64], DEFAULT_TARGET).program.name, "map_copy");
});
