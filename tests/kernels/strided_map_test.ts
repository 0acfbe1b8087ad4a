import { run } from "../../engine/dispatch.ts";
import {
  type MapFunctionName,
  type MapInputs,
  mergeDims,
  stridedMap,
  stridedMapReference,
} from "../../kernels/strided_map.ts";
import type { Tensor } from "../../engine/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, gpuTest, test } from "../harness.ts";

test("mergeDims() joins what every input walks with one stride and drops lengths of 1", () => {
  assertEquals(mergeDims([2, 3, 4], [[12, 4, 1], [12, 4, 1]]), { dims: [24], strides: [[1], [1]] });
  assertEquals(mergeDims([2, 3, 4], [[12, 4, 1], [0, 0, 1]]), {
    dims: [6, 4],
    strides: [[4, 1], [0, 1]],
  });
  assertEquals(mergeDims([2, 1, 3], [[3, 7, 1]]), { dims: [6], strides: [[1]] });
  assertEquals(mergeDims([], [[]]), { dims: [1], strides: [[0]] });
  assertEquals(mergeDims([3, 2], [[1, 3]]), { dims: [3, 2], strides: [[1, 3]] });
});

/** One case for each way of reading: as vec4, repeated, scattered, one by one; with offsets; of six dimensions. */
const CASES: [what: string, f: MapFunctionName, dims: number[], inputs: MapInputs][] = [
  ["vec4 at an offset", "copy", [3, 4], { a: { strides: [8, 1], size: 32, offset: 4 } }],
  ["four scalars, as the offset is odd", "copy", [3, 4], {
    a: { strides: [8, 1], size: 32, offset: 3 },
  }],
  ["a transposition, 4 at a time", "copy", [6, 8], { a: { strides: [1, 6], size: 48 } }],
  ["a transposition, one by one", "copy", [8, 6], { a: { strides: [1, 8], size: 48 } }],
  ["six dimensions", "copy", [2, 3, 2, 3, 2, 3], {
    a: { strides: [1, 2, 6, 12, 36, 72], size: 216 },
  }],
  ["a number", "div", [8], { a: { strides: [1], size: 8 }, b: 3 }],
  ["three inputs, each walked otherwise", "div_grad", [3, 4], {
    a: { strides: [4, 1], size: 12 },
    b: { strides: [1, 0], size: 3 },
    g: { strides: [1, 3], size: 12 },
  }],
  ["a gradient shared by ties", "share", [5], {
    a: { strides: [1], size: 5 },
    b: { strides: [0], size: 1 },
    g: { strides: [0], size: 1 },
  }],
];

for (const [what, f, dims, inputs] of CASES) {
  gpuTest(`stridedMap (${what}) equals the plain loop`, async (device) => {
    const values: Record<string, Float32Array> = {}, tensors: Record<string, Tensor> = {};
    for (const v of ["a", "b", "g"] as const) {
      const input = inputs[v];
      if (typeof input !== "object") continue;
      values[v] = testValues(input.size, v.charCodeAt(0));
      tensors[`${v}_in`] = device.tensor(values[v]);
    }
    const y = device.empty(dims);
    run(stridedMap(f, dims, inputs), { ...tensors, y });
    const want = stridedMapReference(f, dims, inputs, values as { a: Float32Array });
    assertClose(await y.data(), want.y, { rtol: 1e-6, atol: f === "copy" ? 0 : 1e-7 });
  });
}

gpuTest("stridedMap copies integers that would be NaN or denormal as f32", async (device) => {
  const x = Uint32Array.of(0x7fc12345, 0xffffffff, 1, 0x807fffff, 0x7f800001);
  const y = device.empty([5], "u32");
  run(stridedMap("copy", [5], { a: { strides: [1], size: 5 } }), { a_in: device.tensor(x), y });
  assertEquals(await y.data(), x);
});
