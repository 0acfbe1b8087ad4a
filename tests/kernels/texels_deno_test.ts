/**
 * Every kernel of the catalogue with its inputs in textures: does it compute the very bits that it computes from buffers?
 * In Deno alone, as only llvmpipe, which no browser uses, is served so; tests/engine/texels_test.ts runs in browsers too.
 */
import { run } from "../../engine/dispatch.ts";
import type { Device, HostArray } from "../../engine/mod.ts";
import { CATALOGUE, type CataloguedKernel } from "../../kernels/catalogue.ts";
import { fill } from "../../kernels/fill.ts";
import type { Binding, Kernel } from "../../kernels/kernel.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { inTexels, MAX_TEXEL_ROWS, TEXEL_ROW, throughTexels } from "../../kernels/texels.ts";
import { matmulTiled } from "../../kernels/matmul_tiled.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertEquals, gpuTest, test } from "../harness.ts";

const allOf = ({ program }: Kernel): string[] => program.bindings.map(({ name }) => name);

/** What a binding holds before the kernel runs. */
function contents({ kernel, input }: CataloguedKernel, binding: Binding, k: number): HostArray {
  const { name, access, type } = binding;
  const values = testValues(kernel.sizes[name], k + 1);
  if (access === "write") return Float32Array.from(values, () => 7); // kernels leave some places as they are
  if (type.includes("u32")) {
    return Uint32Array.from(values, (v, i) => input(Math.floor(2 ** 22 * Math.abs(v)), name, i));
  }
  return Float32Array.from(values, (v, i) => input(v, name, i));
}

/** The bits that a kernel leaves in what it writes. */
async function bitsWritten(
  device: Device,
  catalogued: CataloguedKernel,
  kernel: Kernel,
): Promise<Uint32Array[]> {
  const { bindings } = kernel.program;
  const reads = await device.step(() => {
    const tensors = Object.fromEntries(bindings.map((binding, k) => {
      return [binding.name, device.tensor(contents(catalogued, binding, k))];
    }));
    run(kernel, tensors);
    return bindings.filter(({ access }) => access !== "read").map(({ name }) =>
      tensors[name].data()
    );
  });
  return (await Promise.all(reads)).map((data) => {
    const { buffer, byteOffset, length } = data as Float32Array;
    return new Uint32Array(buffer, byteOffset, length);
  });
}

let seen = 0;
for (const { launch, small } of CATALOGUE) {
  const rewritten = small().filter(({ kernel }) => inTexels(kernel, allOf(kernel)) !== kernel);
  if (rewritten.length === 0) continue;
  seen++;
  gpuTest(`${launch} gives the same bits when it reads through textures`, async (device) => {
    for (const catalogued of rewritten) {
      const { kernel } = catalogued, texels = inTexels(kernel, allOf(kernel));
      const [buffers, textures] = [
        await bitsWritten(device, catalogued, kernel),
        await bitsWritten(device, catalogued, texels),
      ];
      assertEquals(textures, buffers, `${kernel.program.name}[${texels.program.variant}]`);
    }
  });
}

test("most kernels have inputs that a texture can hold", () => {
  assert(seen > CATALOGUE.length / 2, `${seen} of ${CATALOGUE.length}`);
});

test("what is written, or too large for a texture, stays a buffer", () => {
  const product = matmulTiled({ batch: 1, m: 64, n: 64, k: 64 }, {}, { tm: 8, tn: 8 });
  const texelsOf = (kernel: Kernel) =>
    kernel.program.bindings.filter(({ texels }) => texels).map(({ name }) => name);
  assertEquals(texelsOf(inTexels(product, ["a", "b", "y"])), ["a", "b"]);
  assertEquals(inTexels(product, ["y"]), product);
  const most = 4 * TEXEL_ROW * MAX_TEXEL_ROWS;
  const large = { ...product, sizes: { ...product.sizes, a: most + 4, b: most } };
  assertEquals(texelsOf(inTexels(large, ["a", "b"])), ["b"]);
});

test("only where the adapter reads textures faster, and enough is read, are they used", () => {
  const tile = { tm: 8, tn: 8 };
  const large = matmulTiled({ batch: 1, m: 256, n: 256, k: 256 }, {}, tile);
  const little = matmulTiled({ batch: 1, m: 16, n: 16, k: 16 }, {}, tile);
  const llvmpipe = { ...DEFAULT_TARGET, adapterClass: "software", texels: true } as const;
  assert(throughTexels(large, llvmpipe) !== large);
  assertEquals(throughTexels(little, llvmpipe), little);
  assertEquals(throughTexels(large, DEFAULT_TARGET), large);
  assertEquals(throughTexels(fill(4096, 0), llvmpipe).program.variant, "readable"); // reads nothing
});
